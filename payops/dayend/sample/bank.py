"""The simulated bank as the sample days use it: reach it or start it, give it the settlements, move its date on."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

TIMEOUT_SECONDS = 30


class Bank:
    """A client of the parts of the simulated bank that no real bank has, and of its statement."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def health(self) -> dict[str, Any]:
        """What it says of itself; empty where nothing of the kind answers."""
        try:
            answer = json.loads(self._ask("/health"))
        except (OSError, ValueError):
            return {}
        return answer if isinstance(answer, dict) else {}

    def reset(self, day: dt.date) -> None:
        self._post("/admin/reset", {"date": day.isoformat()})

    def move_on(self, day: dt.date) -> None:
        self._post("/clock", {"date": day.isoformat()})

    def settle(self, settlements: list[dict[str, Any]]) -> None:
        self._post("/channel-settlements", {"settlements": settlements})

    def statement(self, account_no: str, first: dt.date, last: dt.date) -> bytes:
        return self._ask(f"/accounts/{account_no}/statement?from={first}&to={last}")

    def _post(self, path: str, body: dict[str, Any]) -> None:
        try:
            self._ask(path, json.dumps(body).encode())
        except urllib.error.HTTPError as error:
            told = error.read().decode("utf-8", "replace")
            raise PayopsError(
                "sample.bank_refused",
                _("The simulated bank refused %(path)s: %(answer)s") % {"path": path, "answer": told[:300]},
            ) from error

    def _ask(self, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body)  # noqa: S310 - the configured address
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            return answer.read()


@contextlib.contextmanager
def running_bank(data: Path) -> Iterator[Bank]:
    """The bank that keeps its memory in `data`, or the one BANK_SIMULATOR_URL was set to on purpose.

    Where neither answers, one of our own for as long as this lasts. A bank of another installation that happens to
    listen on the default port is left alone: its books are not ours.
    """
    bank = Bank(settings.BANK_SIMULATOR_URL)
    chosen = bool(os.environ.get("BANK_SIMULATOR_URL"))
    health = bank.health()
    if health and (chosen or health.get("data") == str(data.resolve())):
        yield bank
        return
    configured = settings.BANK_SIMULATOR_URL
    process = _started(data, urlsplit(configured).port or 80 if chosen else 0)
    try:
        settings.BANK_SIMULATOR_URL = _address(process)
        yield Bank(settings.BANK_SIMULATOR_URL)
    finally:
        settings.BANK_SIMULATOR_URL = configured
        _end(process)


def _started(data: Path, port: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "simulators.bank", "--port", str(port), "--data", str(data)]
    return subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True)


def _address(process: subprocess.Popen[str]) -> str:
    """The bank's first words name its address; silence means that it ended."""
    assert process.stdout is not None
    words = process.stdout.readline().split()
    if not words:
        raise PayopsError(
            "sample.no_bank",
            _("The simulated bank did not start. Is the port of BANK_SIMULATOR_URL taken?"),
        )
    return words[-1]


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
