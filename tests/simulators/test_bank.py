"""The simulated bank, talked to over HTTP as payops talks to it (docs/bank-simulator.md)."""

from __future__ import annotations

import csv
import datetime as dt
import http.client
import io
import json
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulators.bank.server import BankServer
from simulators.bank.store import Store

FRIDAY = dt.date(2026, 11, 13)
RESERVE = "0200001009014400001"
ROOT = Path(__file__).resolve().parents[2]


class Bank:
    """A client that answers (status, body)."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, **body: Any) -> tuple[int, Any]:
        return self._ask(urllib.request.Request(self.url + path, json.dumps(body).encode(), method="POST"))

    def pay(self, number: str, ending: str = "0001", amount: int = 100_00, **more: Any) -> tuple[int, Any]:
        fields = {"payee_account": f"6225880000{ending}", "payee_name": "Tea House Ltd.", "account_no": RESERVE}
        return self.post("/payouts", payout_no=number, amount=amount, **(fields | more))

    def query(self, number: str) -> tuple[int, Any]:
        return self.get(f"/payouts/{number}")

    def statement(self, period: str) -> list[dict[str, str]]:
        _status, text = self.get(f"/accounts/{RESERVE}/statement?{period}")
        return list(csv.DictReader(io.StringIO(text)))

    @staticmethod
    def _ask(request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read().decode()
                return answer.status, json.loads(text) if "json" in answer.headers["Content-Type"] else text
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    store = Store(tmp_path / "bank.sqlite3", FRIDAY)
    server = BankServer(("127.0.0.1", 0), store)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Bank(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()
    thread.join()
    server.server_close()
    store.close()


def test_a_payout_is_accepted_and_a_query_says_it_succeeded(bank: Bank) -> None:
    status, answer = bank.pay("P1")
    assert (status, answer["status"], answer["code"]) == (200, "accepted", "ACCEPTED")
    assert bank.query("P1")[1]["status"] == "succeeded"
    (line,) = bank.statement("date=2026-11-13")
    assert line["bank_reference"] == answer["bank_reference"]
    assert (line["direction"], line["amount"], line["balance"]) == ("debit", "100.00", "-100.00")
    assert line["memo"].startswith("PAYOUT P1")


def test_the_same_number_is_never_paid_twice(bank: Bank) -> None:
    bank.pay("P1")
    status, _answer = bank.pay("P1")
    assert status == 200
    assert len(bank.statement("date=2026-11-13")) == 1


@pytest.mark.parametrize("change", [{"amount": 1}, {"payee_name": "Somebody else"}, {"ending": "0002"}])
def test_the_same_number_with_other_data_is_refused(bank: Bank, change: dict[str, Any]) -> None:
    bank.pay("P1")
    status, answer = bank.pay("P1", **change)
    assert (status, answer["error"]) == (409, "payout_conflict")


def test_a_wrong_account_fails_for_good_and_moves_nothing(bank: Bank) -> None:
    _status, answer = bank.pay("P1", "9001")
    assert (answer["status"], answer["code"], answer["account_fault"]) == ("failed", "ACCOUNT_NOT_FOUND", True)
    assert bank.query("P1")[1]["status"] == "failed"
    assert bank.statement("date=2026-11-13") == []


def test_a_closed_bank_fails_without_fault_of_the_account_and_a_second_attempt_succeeds(bank: Bank) -> None:
    _status, answer = bank.pay("P1", "9005")
    assert (answer["status"], answer["account_fault"]) == ("failed", False)
    assert bank.pay("P2", "9005")[1]["status"] == "accepted"
    assert bank.pay("P1", "9005")[1]["status"] == "failed"
    assert len(bank.statement("date=2026-11-13")) == 1


def test_a_time_out_gives_no_answer_then_unknown_then_success_and_one_debit(bank: Bank) -> None:
    with pytest.raises((http.client.RemoteDisconnected, urllib.error.URLError, ConnectionError)):
        bank.pay("P1", "9002")
    assert bank.query("P1")[1]["status"] == "unknown"
    assert bank.query("P1")[1]["status"] == "succeeded"
    assert len(bank.statement("date=2026-11-13")) == 1


def test_an_unknown_payout_may_turn_out_failed(bank: Bank) -> None:
    assert bank.pay("P1", "9003")[1]["status"] == "unknown"
    assert bank.query("P1")[1]["status"] == "unknown"
    answer = bank.query("P1")[1]
    assert (answer["status"], answer["code"]) == ("failed", "NAME_MISMATCH")
    assert bank.statement("date=2026-11-13") == []


def test_a_payout_comes_back_the_next_day(bank: Bank) -> None:
    bank.pay("P1", "9004")
    assert bank.query("P1")[1]["status"] == "succeeded"
    bank.post("/clock", date="2026-11-14")
    answer = bank.query("P1")[1]
    assert (answer["status"], answer["returned_on"]) == ("returned", "2026-11-14")
    debit, credit = bank.statement("from=2026-11-13&to=2026-11-14")
    assert (credit["direction"], credit["amount"], credit["balance"]) == ("credit", debit["amount"], "0.00")
    assert credit["memo"].startswith("RETURN P1")


def test_a_request_lost_on_the_way_may_be_sent_again(bank: Bank) -> None:
    with pytest.raises((http.client.RemoteDisconnected, urllib.error.URLError, ConnectionError)):
        bank.pay("P1", "9006")
    assert bank.query("P1")[0] == 404
    assert bank.pay("P1", "9006")[1]["status"] == "accepted"
    assert bank.query("P1")[1]["status"] == "succeeded"
    assert len(bank.statement("date=2026-11-13")) == 1


def test_a_large_amount_needs_the_branch_code(bank: Bank) -> None:
    assert bank.pay("P1", amount=50_000_01)[1]["code"] == "BRANCH_CODE_MISSING"
    assert bank.pay("P2", amount=50_000_01, branch_code="102900000001")[1]["status"] == "accepted"
    assert bank.pay("P3", amount=50_000_00)[1]["status"] == "accepted"


def test_a_script_goes_before_the_account_ending(bank: Bank) -> None:
    bank.post("/admin/behaviour", payout_no="P1", outcome="unknown_fail", queries=0)
    assert bank.pay("P1")[1]["status"] == "unknown"
    assert bank.query("P1")[1]["status"] == "failed"
    bank.post("/admin/behaviour", payout_no="P2", outcome="fail_bank")
    bank.post("/admin/behaviour", payout_no="P2", outcome=None)
    assert bank.pay("P2")[1]["status"] == "accepted"


def settlement(**changes: Any) -> dict[str, Any]:
    entry = {
        "reference": "CSW20261113",
        "account_no": RESERVE,
        "value_date": "2026-11-16",
        "counterparty": "WeChat Pay clearing",
        "memo": "WECHAT settlement 20261113",
        "direction": "credit",
        "amount": 1234_56,
        "currency": "CNY",
    }
    return entry | changes


def test_a_settlement_stands_in_the_statement_from_its_value_date_on(bank: Bank) -> None:
    assert bank.post("/channel-settlements", settlements=[settlement()])[1] == {"created": 1, "unchanged": 0}
    assert bank.statement("from=2026-11-13&to=2026-11-20") == []
    bank.post("/clock", date="2026-11-17")
    (line,) = bank.statement("date=2026-11-16")
    assert (line["memo"], line["amount"], line["balance"]) == ("WECHAT settlement 20261113", "1234.56", "1234.56")
    assert bank.post("/channel-settlements", settlements=[settlement()])[1] == {"created": 0, "unchanged": 1}
    assert len(bank.statement("from=2026-11-13&to=2026-11-20")) == 1


def test_a_settlement_reference_with_other_data_is_refused_whole(bank: Bank) -> None:
    bank.post("/channel-settlements", settlements=[settlement()])
    changed = [settlement(reference="CSW20261114"), settlement(amount=1)]
    status, answer = bank.post("/channel-settlements", settlements=changed)
    assert (status, answer["error"]) == (409, "settlement_conflict")
    bank.post("/clock", date="2026-11-17")
    assert len(bank.statement("date=2026-11-16")) == 1


def test_the_date_never_goes_back(bank: Bank) -> None:
    bank.post("/clock", date="2026-11-16")
    assert bank.post("/clock", date="2026-11-13")[1] == {"date": "2026-11-16"}
    assert bank.get("/health")[1]["date"] == "2026-11-16"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/payouts", {"payout_no": "P1"}),
        ("/payouts", {"payout_no": "P1", "account_no": "1", "payee_account": "2", "payee_name": "x", "amount": 1.5}),
        ("/payouts", {"payout_no": "P1", "account_no": "1", "payee_account": "2", "payee_name": "x", "amount": 0}),
        ("/clock", {"date": "yesterday"}),
        ("/channel-settlements", {"settlements": [{}]}),
        ("/channel-settlements", {"settlements": "all"}),
        ("/admin/behaviour", {"payout_no": "P1", "outcome": "explode"}),
    ],
)
def test_nonsense_is_refused_with_a_reason(bank: Bank, path: str, body: dict[str, Any]) -> None:
    status, answer = bank.post(path, **body)
    assert (status, answer["error"]) == (400, "bad_request")
    assert answer["message"]


def test_what_is_not_there_is_404_and_the_wrong_verb_405(bank: Bank) -> None:
    assert bank.get("/nothing")[0] == 404
    assert bank.get("/payouts")[0] == 405
    assert bank.query("P404")[1]["error"] == "payout_not_found"


@pytest.mark.crash
def test_a_killed_bank_remembers_everything_it_answered(tmp_path: Path) -> None:
    process, bank = started(tmp_path)
    bank.post("/channel-settlements", settlements=[settlement(value_date="2026-11-13")])
    bank.pay("P1")
    before = bank.statement("date=2026-11-13")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    process, bank = started(tmp_path)
    assert bank.statement("date=2026-11-13") == before
    assert len(before) == 2
    assert bank.pay("P1")[0] == 200
    assert bank.statement("date=2026-11-13") == before
    process.terminate()
    assert process.wait(timeout=10) == 0
    process.stdout.close()


def started(data: Path) -> tuple[subprocess.Popen[str], Bank]:
    command = [sys.executable, "-m", "simulators.bank", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    return process, Bank(url)
