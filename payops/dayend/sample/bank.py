"""The simulated bank as the sample days use it: reach it or start it, give it the settlements, move its date on."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError

START_SECONDS = 20
TIMEOUT_SECONDS = 30


class Bank:
    """A client of the parts of the simulated bank that no real bank has, and of its statement."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def answers(self) -> bool:
        try:
            return json.loads(self._ask("/health"))["status"] == "ok"
        except (OSError, ValueError, KeyError):
            return False

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
    """The bank at BANK_SIMULATOR_URL; where none answers, one of our own, ended when we are done."""
    bank = Bank(settings.BANK_SIMULATOR_URL)
    if bank.answers():
        yield bank
        return
    address = urlsplit(bank.url)
    command = [sys.executable, "-m", "simulators.bank", "--data", str(data)]
    command += ["--host", address.hostname or "127.0.0.1", "--port", str(address.port or 80)]
    process = subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.DEVNULL)
    try:
        _wait_for(bank, process)
        yield bank
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(bank: Bank, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not bank.answers():
        if process.poll() is not None or time.monotonic() > deadline:
            raise PayopsError(
                "sample.no_bank",
                _("The simulated bank does not answer at %(url)s. Is the port taken? Set BANK_SIMULATOR_URL.")
                % {"url": bank.url},
            )
        time.sleep(0.05)
