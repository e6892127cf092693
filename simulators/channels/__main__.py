"""`python -m simulators.channels --port 8098 --data DIR`: serve the bills in DIR until told to stop."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from pathlib import Path

from simulators.channels.server import APP_ID, MCHID, PLATFORM_SERIAL, SERIAL, ChannelServer


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m simulators.channels", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8098, help="port to listen on (default 8098; 0 takes a free one)")
    parser.add_argument("--data", type=Path, required=True, help="folder of bills and keys")
    parser.add_argument("--link-seconds", type=float, default=30, help="how long a download link lives (default 30)")
    options = parser.parse_args(argv)
    try:
        server = ChannelServer((options.host, options.port), options.data, options.link_seconds)
    except OSError as error:
        sys.stderr.write(f"The channels cannot listen on {options.host}:{options.port}: {error.strerror}.\n")
        return 1
    signal.signal(signal.SIGTERM, _stop)
    with server, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(
            f"channels listening on {server.url}\nWeChat Pay: merchant {MCHID}, certificate {SERIAL}, platform key"
            f" {PLATFORM_SERIAL}\nAlipay: application {APP_ID}, {server.url}/gateway.do\nkeys in {server.keys.folder}\n"
        )
        sys.stdout.flush()
        server.serve_forever(poll_interval=0.1)
    return 0


def _stop(*_signal: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
