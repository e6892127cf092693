"""The bank client: whatever cannot be understood is no answer, never a success or a failure."""

from __future__ import annotations

import datetime as dt
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from payops.core.errors import PayopsError
from payops.settlement.bank import (
    BankConflictError,
    BankRefusedError,
    BankSilenceError,
    BankStatus,
    BankUnreachableError,
    HttpBank,
    PayoutOrder,
    bank_client,
)
from tests.settlement.payout_world import PAY_DATE, RESERVE, running_bank

ORDER = PayoutOrder("P1", RESERVE, "62258800000001", "Tea House", "Bank", "", 10_000, "CNY", "M-A")


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[HttpBank]:
    with running_bank(tmp_path) as running:
        yield running


@contextmanager
def answering(status: int, body: bytes, headers: dict[str, str] | None = None) -> Iterator[HttpBank]:
    """A server that gives one and the same answer."""

    class Handler(BaseHTTPRequestHandler):
        def _say(self) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _say  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield HttpBank(f"http://127.0.0.1:{server.server_address[1]}", timeout_seconds=2)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_payout_is_accepted_and_found_again(bank: HttpBank) -> None:
    sent = bank.payout_send(ORDER)
    asked = bank.payout_query("P1")
    assert (sent.status, sent.amount, sent.currency) == (BankStatus.ACCEPTED, 10_000, "CNY")
    assert asked is not None
    assert (asked.status, asked.bank_reference) == (BankStatus.SUCCEEDED, sent.bank_reference)


def test_a_number_the_bank_never_received_is_none(bank: HttpBank) -> None:
    assert bank.payout_query("P404/../health") is None


def test_the_same_number_with_other_data_is_a_conflict(bank: HttpBank) -> None:
    bank.payout_send(ORDER)
    other = PayoutOrder("P1", RESERVE, "62258800000001", "Tea House", "Bank", "", 10_001, "CNY", "M-A")
    with pytest.raises(BankConflictError):
        bank.payout_send(other)


def test_a_malformed_order_is_refused(bank: HttpBank) -> None:
    with pytest.raises(BankRefusedError):
        bank.payout_send(PayoutOrder("P1", "", "6225", "", "", "", 1, "CNY", ""))


def test_a_dropped_connection_is_silence(bank: HttpBank) -> None:
    with pytest.raises(BankSilenceError):
        bank.payout_send(PayoutOrder("P2", RESERVE, "62258800009002", "Tea House", "", "", 1, "CNY", ""))


def test_a_bank_that_does_not_answer_in_time_is_silence() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        client = HttpBank(f"http://127.0.0.1:{deaf.getsockname()[1]}", timeout_seconds=0.2)
        with pytest.raises(BankSilenceError):
            client.payout_send(ORDER)


def test_a_refused_connection_means_nothing_was_sent() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = HttpBank(f"http://127.0.0.1:{closed.getsockname()[1]}", timeout_seconds=1)
        with pytest.raises(BankUnreachableError):
            client.payout_send(ORDER)


def good(**changes: Any) -> bytes:
    return json.dumps({"payout_no": "P1", "status": "succeeded", "amount": 10_000, **changes}).encode()


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, good()),
        (302, good()),
        (404, b'{"error": "not_found"}'),
        (409, b'{"error": "busy"}'),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b"[" * 100_000),
        (200, b"\xff\xfe"),
        (200, good(status="paid")),
        (200, good(payout_no="P2")),
        (200, good(status=None)),
        (200, good(status=[])),
    ],
)
def test_an_answer_that_cannot_be_understood_is_silence(status: int, body: bytes) -> None:
    with answering(status, body, {"Location": "/health"}) as client:
        for ask in (lambda: client.payout_send(ORDER), lambda: client.payout_query("P1")):
            with pytest.raises(BankSilenceError):
                ask()


def test_a_fault_is_the_accounts_only_when_the_bank_says_so() -> None:
    with answering(200, good(status="failed", account_fault="yes")) as client:
        assert client.payout_send(ORDER).account_fault is False


def test_the_statement_comes_as_a_receipts_file(bank: HttpBank) -> None:
    bank.payout_send(ORDER)
    lines = bank.statement(RESERVE, PAY_DATE, PAY_DATE + dt.timedelta(days=1)).decode().splitlines()
    assert lines[0].startswith("bank_account,value_date")
    assert "PAYOUT P1" in lines[1]


@pytest.mark.parametrize("url", ["ftp://bank", "bank:80", "http://", "file:///etc/passwd"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(PayopsError) as refused:
        HttpBank(url)
    assert refused.value.code == "bank.bad_url"


def test_another_bank_is_a_setting(settings: Any) -> None:
    settings.PAYOPS_BANK_CLIENT = "tests.settlement.test_bank.OtherBank"
    assert isinstance(bank_client(), OtherBank)


class OtherBank(HttpBank):
    """Stands for a real one."""
