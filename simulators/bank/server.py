"""The HTTP side of the simulated bank: reads and checks requests, lets the store act, writes answers."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from simulators.bank.errors import BankError
from simulators.bank.outcomes import SCRIPTABLE
from simulators.bank.store import Store

MAX_BODY = 32 * 1024 * 1024
STATEMENT_HEADER = (
    "bank_account",
    "value_date",
    "bank_reference",
    "counterparty",
    "memo",
    "direction",
    "amount",
    "currency",
    "balance",
)


class BankServer(ThreadingHTTPServer):
    """One bank; `hang` is how many seconds it stays silent before it drops a connection."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], store: Store, hang: float = 0) -> None:
        super().__init__(address, BankHandler)
        self.store = store
        self.hang = hang


class BankHandler(BaseHTTPRequestHandler):
    """Routes of docs/bank-simulator.md."""

    protocol_version = "HTTP/1.1"
    server: BankServer

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the caller logs what it sends."""

    def _answer(self, method: str) -> None:
        try:
            body = self._body() if method == "POST" else {}
            result = self._route(method, body)
        except BankError as error:
            self._send(error.status, {"error": error.code, "message": error.message})
            return
        if result is None:
            self._stay_silent()
        elif isinstance(result, str):
            self._send_bytes(200, "text/csv; charset=utf-8", result.encode())
        else:
            self._send(200, result)

    def _route(self, method: str, body: dict[str, Any]) -> dict[str, Any] | str | None:
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.split("/") if part]
        fixed: dict[str, dict[str, Callable[[], Any]]] = {
            "health": {"GET": self._health},
            "clock": {"GET": lambda: {"date": self.server.store.today()}, "POST": lambda: self._clock(body)},
            "payouts": {"POST": lambda: self._payout(body)},
            "channel-settlements": {"POST": lambda: self._settlements(body)},
            "admin/behaviour": {"POST": lambda: self._behaviour(body)},
            "admin/reset": {"POST": lambda: {"date": self.server.store.reset(_date(body, "date"))}},
        }
        if "/".join(parts) in fixed:
            methods = fixed["/".join(parts)]
        elif len(parts) == 2 and parts[0] == "payouts":
            methods = {"GET": lambda: self.server.store.payout_query(parts[1])}
        elif len(parts) == 3 and parts[0] == "accounts" and parts[2] == "statement":
            methods = {"GET": lambda: self._statement(parts[1], parse_qs(url.query))}
        else:
            raise BankError(404, "not_found", f"There is nothing at {url.path}.")
        if method not in methods:
            raise BankError(405, "method_not_allowed", f"{url.path} takes {' or '.join(methods)}.")
        return methods[method]()

    # -- requests ----------------------------------------------------------------------------------------------------

    def _health(self) -> dict[str, Any]:
        store = self.server.store
        return {"status": "ok", "date": store.today(), "data": str(store.folder)}

    def _clock(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"date": self.server.store.move_on(_date(body, "date"))}

    def _payout(self, body: dict[str, Any]) -> dict[str, Any] | None:
        fields = {name: _text(body, name) for name in ("account_no", "payee_account", "payee_name")}
        fields |= {name: _text(body, name, "") for name in ("payee_bank", "branch_code", "memo")}
        fields |= {"amount": _whole(body, "amount", 1), "currency": _text(body, "currency", "CNY")}
        return self.server.store.payout_take(_text(body, "payout_no"), fields)

    def _settlements(self, body: dict[str, Any]) -> dict[str, Any]:
        entries = body.get("settlements")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise BankError(400, "bad_request", "settlements must be a list of objects.")
        return self.server.store.settlements_take([_settlement(entry) for entry in entries])

    def _behaviour(self, body: dict[str, Any]) -> dict[str, Any]:
        field = "payout_no" if "payout_no" in body else "payee_account"
        value, outcome = _text(body, field), body.get("outcome")
        if outcome is not None and outcome not in SCRIPTABLE:
            raise BankError(400, "bad_request", f"outcome must be one of {', '.join(SCRIPTABLE)} or null.")
        queries = _whole(body, "queries", 0) if "queries" in body else None
        days = _whole(body, "return_after_days", 0) if "return_after_days" in body else 1
        self.server.store.script_set(field, value, outcome, queries, days)
        return {field: value, "outcome": outcome}

    def _statement(self, account_no: str, query: dict[str, list[str]]) -> str:
        wanted = {name: values[-1] for name, values in query.items()}
        first = _date(wanted, "from" if "from" in wanted else "date").isoformat()
        last = _date(wanted, "to" if "to" in wanted else "date").isoformat() if len(wanted) > 1 else first
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(STATEMENT_HEADER)
        for line in self.server.store.statement(account_no, first, last):
            direction = "debit" if line["amount"] < 0 else "credit"
            row = (line["account_no"], line["value_date"], line["reference"], line["counterparty"], line["memo"])
            writer.writerow((*row, direction, _major(abs(line["amount"])), line["currency"], _major(line["balance"])))
        return out.getvalue()

    # -- bytes -------------------------------------------------------------------------------------------------------

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            raise BankError(400, "bad_request", f"Content-Length must be a number up to {MAX_BODY}.")
        try:
            body = json.loads(self.rfile.read(int(length)))
        except ValueError:
            raise BankError(400, "bad_request", "The body is not JSON in UTF-8.") from None
        if not isinstance(body, dict):
            raise BankError(400, "bad_request", "The body must be a JSON object.")
        return body

    def _stay_silent(self) -> None:
        """What a time-out looks like from outside: the request went out, nothing comes back."""
        time.sleep(self.server.hang)
        self.close_connection = True

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        self._send_bytes(status, "application/json; charset=utf-8", json.dumps(answer, ensure_ascii=False).encode())

    def _send_bytes(self, status: int, content_type: str, content: bytes) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except ConnectionError:
            # The caller gave up waiting; what was decided is stored, and a query will tell.
            self.close_connection = True


def _settlement(entry: dict[str, Any]) -> dict[str, Any]:
    direction = _text(entry, "direction", "credit")
    if direction not in ("credit", "debit"):
        raise BankError(400, "bad_request", f"direction must be credit or debit, not {direction}.")
    amount = _whole(entry, "amount", 1)
    return {
        "reference": _text(entry, "reference"),
        "account_no": _text(entry, "account_no"),
        "value_date": _date(entry, "value_date").isoformat(),
        "counterparty": _text(entry, "counterparty", ""),
        "memo": _text(entry, "memo", ""),
        "amount": amount if direction == "credit" else -amount,
        "currency": _text(entry, "currency", "CNY"),
    }


def _text(body: dict[str, Any], name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or (default is None and not value):
        raise BankError(400, "bad_request", f"{name} is missing or not text.")
    return value


def _whole(body: dict[str, Any], name: str, least: int) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BankError(400, "bad_request", f"{name} must be a whole number of at least {least}.")
    return value


def _date(body: dict[str, Any], name: str) -> dt.date:
    try:
        return dt.date.fromisoformat(_text(body, name))
    except ValueError:
        raise BankError(400, "bad_request", f"{name} must be a date like 2026-11-16.") from None


def _major(minor: int) -> str:
    """Minor units as the statement writes them: 128800 → 1288.00."""
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"
