"""``python -m payops.config.serve``: everything a demonstration needs, in one terminal, until Ctrl-C.

Starts the site (gunicorn), a worker, the timetable (beat) and the simulated bank as children, says where they are and
who can log in, and stops them all by their process ids. Production runs the same parts under systemd or in
containers, see ``deploy/``.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import django
from django.conf import settings

# The users of the sample set-up, whose passwords are printed; production set-up files carry none.
DEMO_USERS = ("alice", "bob", "dora", "carol", "admin", "mei", "omar")
HOST = "127.0.0.1"
READY_WAIT_SECONDS = 90
STOP_WAIT_SECONDS = 5
CHECK_SECONDS = 0.5


class Stopped(Exception):  # noqa: N818 -- not an error
    """Ctrl-C or a polite kill."""


@dataclass
class Part:
    """One child process and the file its words go to."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen | None = None

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C reaches us alone, and we end the children in order.
            self.process = subprocess.Popen(
                self.command,
                cwd=settings.BASE_DIR,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped; 0 after Ctrl-C, 1 when a part ended by itself."""
    options = _options(arguments)
    django.setup()
    port = _free_port(options.port)
    bank_port = _free_port(options.bank_port)
    parts = _parts(port, bank_port)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    try:
        for part in parts:
            part.start()
        _wait_until_ready(port, parts)
        _say(_welcome(port, bank_port))
        while not any(part.has_ended() for part in parts):
            time.sleep(CHECK_SECONDS)
        raise RuntimeError
    except Stopped:
        _say("Stopping …")
        return 0
    except RuntimeError:
        for part in parts:
            if part.has_ended():
                _say(f"The {part.name} ended by itself. The end of {part.log}:\n{part.tail()}")
        return 1
    finally:
        _stop_all(parts)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve payops for a demonstration.")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PAYOPS_PORT", "8000")))
    parser.add_argument("--bank-port", type=int, default=8097)
    return parser.parse_args(arguments)


def _parts(port: int, bank_port: int) -> list[Part]:
    python = sys.executable
    environment = {
        "DJANGO_SETTINGS_MODULE": "payops.config.settings",
        "BANK_SIMULATOR_URL": f"http://{HOST}:{bank_port}",
        "PYTHONUNBUFFERED": "1",
    }
    celery = [python, "-m", "celery", "-A", "payops.config"]
    bank_data = str(settings.PAYOPS_VAR_DIR / "bank")
    commands = {
        "bank": [python, "-m", "simulators.bank", "--port", str(bank_port), "--data", bank_data],
        "site": [
            *(python, "-m", "gunicorn", "payops.config.wsgi", "--bind", f"{HOST}:{port}"),
            *("--workers", "2", "--threads", "4", "--timeout", "120", "--access-logfile", "-"),
        ],
        "worker": [*celery, "worker", "--hostname", "w@payops", "--loglevel", "WARNING", "--without-mingle"],
        "timetable": [*celery, "beat", "--loglevel", "WARNING", "--pidfile", ""],
    }
    logs = settings.PAYOPS_VAR_DIR / "log"
    return [Part(name, command, environment, logs / f"{name}.log") for name, command in commands.items()]


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


def _free_port(wanted: int) -> int:
    """The wanted port, or the next free one: another demo may be running."""
    for port in range(wanted, wanted + 50) if wanted else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise SystemExit(f"No free port from {wanted} to {wanted + 49}; choose another with --port.")


def _wait_until_ready(port: int, parts: Iterable[Part]) -> None:
    """The login page answers; anything that ends before that is a failure."""
    deadline = time.monotonic() + READY_WAIT_SECONDS
    while time.monotonic() < deadline:
        if any(part.has_ended() for part in parts):
            raise RuntimeError
        try:
            with urllib.request.urlopen(f"http://{HOST}:{port}/accounts/login/", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(CHECK_SECONDS)
    raise SystemExit(f"The site did not answer within {READY_WAIT_SECONDS} s; see {settings.PAYOPS_VAR_DIR / 'log'}.")


def _welcome(port: int, bank_port: int) -> str:
    site = f"http://{HOST}:{port}"
    lines = [
        "",
        "payops is running.",
        f"  Console (staff)      {site}/console/",
        f"  Portal (merchants)   {site}/portal/",
        f"  API                  {site}/api/v1/",
        f"  Simulated bank       http://{HOST}:{bank_port}",
        f"  Logs                 {settings.PAYOPS_VAR_DIR / 'log'}",
        "",
        *_logins(),
        "",
        "Stop with Ctrl-C.",
    ]
    return "\n".join(lines)


def _logins() -> list[str]:
    """The sample users, as far as they are there and still have the sample's password."""
    from payops.identity.models import User

    users = {user.username: user for user in User.objects.filter(username__in=DEMO_USERS, is_active=True)}
    shown = []
    for name in DEMO_USERS:
        user, password = users.get(name), f"demo-{name}-2026"
        if user is not None and user.check_password(password):
            of = f" of {user.merchant_no}" if user.is_merchant else ""
            shown.append(f"  {name:<10} {password:<20} {user.get_role_display()}{of}")
    if not shown:
        return ["There is no sample user; run `make day` first, or add users with a set-up file."]
    return ["Log in as", *shown]


def _stop_all(parts: list[Part]) -> None:
    """Ask all, wait a little, then insist: every job survives a kill by design."""
    running = [part for part in reversed(parts) if part.process is not None and not part.has_ended()]
    for part in running:
        part.process.terminate()
    deadline = time.monotonic() + STOP_WAIT_SECONDS
    for part in running:
        try:
            part.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill_session(part.process.pid)
            part.process.wait()


def _kill_session(leader: int) -> None:
    """A worker's children are in the session its start made, so this reaches them and nobody else."""
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payops.config.settings")
    sys.exit(main())
