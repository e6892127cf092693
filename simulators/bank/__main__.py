"""`python -m simulators.bank --port 8097 --data DIR`: start the simulated bank and serve until told to stop."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import signal
import sys
from pathlib import Path

from simulators.bank.server import BankServer
from simulators.bank.store import Store

FIRST_DATE = dt.date(2026, 11, 13)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m simulators.bank", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8097, help="port to listen on (default 8097; 0 takes a free one)")
    parser.add_argument("--data", type=Path, required=True, help="folder the bank keeps its memory in")
    parser.add_argument("--date", type=dt.date.fromisoformat, default=FIRST_DATE, help="its date on the first start")
    parser.add_argument("--hang", type=float, default=0, help="seconds of silence where it times out (default 0)")
    options = parser.parse_args(argv)
    store = Store(options.data / "bank.sqlite3", options.date)
    try:
        server = BankServer((options.host, options.port), store, options.hang)
    except OSError as error:
        sys.stderr.write(f"The bank cannot listen on {options.host}:{options.port}: {error.strerror}.\n")
        return 1
    signal.signal(signal.SIGTERM, _stop)
    with contextlib.closing(store), server, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"bank listening on http://{options.host}:{server.server_address[1]}\n")
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.1)
    return 0


def _stop(*_signal: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
