"""The commands as scripts use them: JSON on standard output, messages on standard error, and on bad input nothing done.

What each service refuses is tested beside the service; here it is what the caller of a command sees, and what is left.
"""

from __future__ import annotations

import csv
import io
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from payops.accounts.models import Entry, Voucher
from payops.channels.models import BankLine, BillFile, BillLine
from payops.core.ids import id_range
from payops.dayend.setup_file import load_setup
from payops.merchants.models import Merchant
from payops.orders.models import Transaction
from payops.reconciliation.models import ReconRun
from payops.settlement.models import ClearedDay, SettlementSheet
from payops.statements.models import Statement
from tests.dayend.days import CHANNELS, MON, TUE, SampleDays, approve_payouts, output_of

FAR = "2026-11-20"


def answer(*arguments: str) -> Any:
    """What the command prints as JSON; it must succeed and say nothing else on standard output."""
    code, out, err = output_of(*arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def refusal(*arguments: str) -> tuple[dict[str, Any], str]:
    """The error of a command that must fail: as JSON on standard output, as a sentence on standard error."""
    code, out, err = output_of(*arguments, "--json")
    assert code not in (0, None)
    assert err.strip()
    assert "Traceback" not in err
    return (json.loads(out) if out else {}), err


def what_is_there() -> dict[str, int]:
    """How much of everything is loaded, booked and decided."""
    days = id_range(MON, TUE)
    return {
        **{model.__name__: model.objects.in_range(*days).count() for model in (Transaction, BillLine, Voucher, Entry)},
        **{
            model.__name__: model.objects.count()
            for model in (BankLine, Merchant, ReconRun, ClearedDay, SettlementSheet, Statement)
        },
        "accepted": BillFile.objects.filter(state__in=("accepted", "held")).count(),
    }


# --- a day by commands ------------------------------------------------------------------------------------------------


def test_a_day_can_be_walked_by_commands_alone(days: SampleDays, tmp_path: Path) -> None:
    again = answer("load_setup", str(days.root / "setup.yaml"))
    assert not any(figures["created"] or figures["changed"] for figures in again["sections"].values())

    orders = answer("load_orders", str(days.orders_file(MON)))
    assert (orders["state"], orders["refused"]) == ("loaded", [])
    assert orders["created"] == orders["rows"] > 0

    for channel in CHANNELS:
        bill = answer("load_bill", str(days.bill_file(channel, MON)), "--channel", channel, "--date", MON.isoformat())
        assert (bill["channel"], bill["state"], bill["version"], bill["error"]) == (channel, "accepted", 1, None)
        assert bill["lines"] > 0

    settlements = json.loads((days.root / MON.isoformat() / "settlements.json").read_text(encoding="utf-8"))
    days.bank.settle(settlements["settlements"])
    days.bank.move_on(TUE)
    statement = tmp_path / "statement.csv"
    statement.write_bytes(days.bank.statement(days.reserve, MON, TUE))
    receipts = answer("load_receipts", str(statement))
    assert (receipts["state"], receipts["created"]) == ("loaded", receipts["rows"])

    walked = answer("day", "run", "--date", MON.isoformat(), "--user", "alice")
    assert {step["step"]: step["state"] for step in walked["steps"]}["payouts"] == "waiting"
    approve_payouts()
    paid = answer("payouts", "--date", MON.isoformat(), "--send", "--poll")
    assert {"date", "send", "poll", "in_flight"} <= set(paid)

    built = answer("statements", "--date", MON.isoformat(), "--out", str(tmp_path / "statements"))
    assert built["count"] == len(built["statements"]) == len(list((tmp_path / "statements").iterdir()))
    balance = answer("trial_balance", "--date", MON.isoformat())
    assert balance["balanced"] is True


def test_each_step_by_itself_says_what_the_day_run_left(days: SampleDays) -> None:
    days.all_of(MON)
    days.run(MON)
    before, day = what_is_there(), MON.isoformat()

    run = answer("reconcile", "--channel", "WECHAT", "--date", day)
    assert (run["channel"], run["date"], run["run_no"], run["vouchers"]) == ("WECHAT", day, 2, [])
    assert run["equation"]["holds"] is True
    assert sum(kind["count"] for name, kind in run["results"].items() if name != "matched") == len(run["discrepancies"])

    assert set(answer("clear", "--date", day)) >= {"contracts", "skipped"}
    answer("settle", "--date", day)
    assert all(check["passed"] for check in answer("balance_check", "--date", day))
    closed = answer("day", "close", "--date", day)
    assert (closed["day"], closed["findings"]) == (day, [])
    assert what_is_there() == {**before, "ReconRun": before["ReconRun"] + 1}


def test_a_failed_step_ends_the_day_run_with_1_and_its_reason(
    days: SampleDays, monkeypatch: pytest.MonkeyPatch
) -> None:
    from payops.core.errors import PayopsError
    from payops.dayend import steps

    def refuse(**_: Any) -> None:
        raise PayopsError("test.broken", "The drawer is stuck.")

    monkeypatch.setattr(steps.settlement, "settlement_run", refuse)
    days.all_of(MON)
    error, told = refusal("day", "run", "--date", MON.isoformat())
    assert (error["error"]["code"], told.strip()) == ("test.broken", "The drawer is stuck.")


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(days: SampleDays) -> Iterator[SampleDays]:
    """Monday's orders are in; whatever the test does must leave exactly that."""
    days.orders(MON)
    before = what_is_there()
    yield days
    assert what_is_there() == before


def bill_arguments(path: Path, channel: str = "WECHAT", day: Any = MON) -> tuple[str, ...]:
    return ("load_bill", str(path), "--channel", channel, "--date", str(day))


@pytest.mark.parametrize(
    "arguments",
    [
        ("load_bill", "{bill}", "--channel", "NOPE", "--date", "{day}"),
        ("reconcile", "--channel", "NOPE", "--date", "{day}"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_unknown_channel_is_named_with_those_there_are(loaded: SampleDays, arguments: tuple[str, ...]) -> None:
    places = {"bill": loaded.bill_file("WECHAT", MON), "day": MON}
    error, told = refusal(*(argument.format(**places) for argument in arguments))
    assert "NOPE" in told
    assert all(channel in told for channel in CHANNELS)
    assert error["error"]["message"] == told.strip()


@pytest.mark.parametrize(
    "arguments",
    [
        ("reconcile", "--channel", "WECHAT", "--date", FAR),
        ("clear", "--date", FAR),
        ("settle", "--date", FAR),
        ("balance_check", "--date", FAR),
        ("statements", "--date", FAR),
        ("payouts", "--date", FAR, "--maker", "alice"),
        ("day", "run", "--date", FAR),
        ("day", "close", "--date", FAR),
        ("trial_balance", "--date", FAR),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_a_day_that_never_was_is_refused_by_name(loaded: SampleDays, arguments: tuple[str, ...]) -> None:
    _error, told = refusal(*arguments)
    assert FAR in told


@pytest.mark.parametrize("text", ["2026-02-30", "20/11/2026", "tomorrow"])
@pytest.mark.parametrize(
    "command", [("clear",), ("day", "run"), ("trial_balance",), ("load_bill", "f", "--channel", "X")]
)
def test_what_is_no_date_is_refused(loaded: SampleDays, command: tuple[str, ...], text: str) -> None:
    code, out, err = output_of(*command, "--date", text)
    assert (code, out) != (0, "")
    assert text in err


def test_the_bill_of_another_day_is_refused(loaded: SampleDays) -> None:
    result, told = refusal(*bill_arguments(loaded.bill_file("WECHAT", TUE)))
    assert (result["state"], result["lines"]) == ("rejected", 0)
    assert TUE.isoformat() in told


@pytest.mark.parametrize("own", CHANNELS)
def test_the_bill_of_another_channel_is_refused(loaded: SampleDays, own: str) -> None:
    for other in set(CHANNELS) - {own}:
        result, _told = refusal(*bill_arguments(loaded.bill_file(other, MON), own))
        assert result["state"] == "rejected"


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_truncated_bill_is_refused(loaded: SampleDays, tmp_path: Path, channel: str) -> None:
    whole = loaded.bill_file(channel, MON)
    content = whole.read_bytes()
    cut = tmp_path / whole.name
    for share in (0.2, 0.5, 0.97):
        # Within a line: a cut between two lines of a format without totals shows only when the money comes (funds).
        size = int(len(content) * share)
        line_end = content.rfind(b"\n", 0, size)
        cut.write_bytes(content[: size if line_end < 0 else line_end + 40])
        result, _told = refusal(*bill_arguments(cut, channel))
        assert result["state"] == "rejected"


def test_a_footer_off_by_a_cent_is_refused_with_both_figures(loaded: SampleDays, tmp_path: Path) -> None:
    whole = loaded.bill_file("WECHAT", MON)
    text = whole.read_text(encoding="utf-8-sig")
    head, footer = text.rstrip().rsplit("\n", 1)
    figures = footer.split(",")
    cents = round(float(figures[1].strip("`")) * 100)
    figures[1] = f"`{(cents + 1) // 100}.{(cents + 1) % 100:02d}"
    off = tmp_path / whole.name
    off.write_text("\n".join([head, ",".join(figures)]) + "\n", encoding="utf-8-sig")
    result, told = refusal(*bill_arguments(off))
    assert result["state"] == "rejected"
    assert {figures[1].strip("`"), f"{cents // 100}.{cents % 100:02d}"} <= {
        word.strip(".,;“”").replace(",", "") for word in told.split()
    }


def random_bytes() -> bytes:
    return random.Random(1).randbytes(3_000_000)


def bomb() -> bytes:
    """Five hundred megabytes of blanks in half a megabyte."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("orders.csv", "w", force_zip64=True) as member:
            for _ in range(500):
                member.write(b" " * 1_000_000)
    return packed.getvalue()


@pytest.mark.parametrize("command", ["load_setup", "load_orders", "load_bill", "load_receipts"])
def test_three_megabytes_of_random_bytes_are_refused(loaded: SampleDays, tmp_path: Path, command: str) -> None:
    rest = ("--channel", "WECHAT", "--date", MON.isoformat()) if command == "load_bill" else ()
    for suffix in ("", ".csv", ".zip", ".gz"):
        path = tmp_path / f"noise{suffix}"
        path.write_bytes(random_bytes())
        _error, told = refusal(command, str(path), *rest)
        assert len(told) < 2_000


@pytest.mark.parametrize("command", ["load_orders", "load_bill"])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(
    loaded: SampleDays, tmp_path: Path, command: str
) -> None:
    path = tmp_path / "bomb.zip"
    path.write_bytes(bomb())
    rest = ("--channel", "WECHAT", "--date", MON.isoformat()) if command == "load_bill" else ()
    refusal(command, str(path), *rest)


@pytest.fixture
def orders_with(loaded: SampleDays, tmp_path: Path) -> Callable[..., Path]:
    """`orders_with(amount="1.234")`: Tuesday's orders with the first payment changed so."""

    def make(**changes: str) -> Path:
        with loaded.orders_file(TUE).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        first = next(row for row in rows if row["kind"] == "payment")
        first.update(changes)
        path = tmp_path / "orders.csv"
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    return make


@pytest.mark.parametrize(
    ("field", "value"),
    [("amount", "1.234"), ("merchant_no", "M99999"), ("channel", "nope"), ("channel_account", "999"), ("amount", "-1")],
)
def test_one_bad_order_refuses_the_file_and_says_where(
    orders_with: Callable[..., Path], field: str, value: str
) -> None:
    result, told = refusal("load_orders", str(orders_with(**{field: value})))
    assert (result["state"], result["created"]) == ("refused", 0)
    (row,) = result["refused"]
    assert (row["field"], row["value"]) == (field, value)
    assert f"line {row['line']}" in told
    assert value in told


def test_a_refund_above_what_was_paid_refuses_the_file_with_the_figures(loaded: SampleDays, tmp_path: Path) -> None:
    with loaded.orders_file(MON).open(encoding="utf-8", newline="") as stream:
        paid = next(row for row in csv.DictReader(stream) if row["kind"] == "payment" and row["status"] == "succeeded")
    refund = {**paid, "kind": "refund", "transaction_no": "RF1", "original_transaction_no": paid["transaction_no"]}
    refund |= {"channel_request_no": "RF1", "amount": "999999.00"}
    path = tmp_path / "refund.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(refund))
        writer.writeheader()
        writer.writerow(refund)
    result, told = refusal("load_orders", str(path))
    assert result["state"] == "refused"
    assert "999,999.00" in told or "999999.00" in told


def test_an_unknown_merchant_has_no_statements(loaded: SampleDays, tmp_path: Path) -> None:
    _error, told = refusal("statements", "--date", MON.isoformat(), "--merchant", "M99999", "--out", str(tmp_path))
    assert "M99999" in told


def test_an_unknown_user_proposes_nothing(loaded: SampleDays) -> None:
    _error, told = refusal("payouts", "--date", MON.isoformat(), "--maker", "nobody")
    assert "nobody" in told


@pytest.mark.parametrize("command", ["load_setup", "load_orders", "load_bill", "load_receipts"])
def test_a_file_that_is_not_there_is_named(loaded: SampleDays, command: str) -> None:
    rest = ("--channel", "WECHAT", "--date", MON.isoformat()) if command == "load_bill" else ()
    _error, told = refusal(command, "/nowhere/at-all.csv", *rest)
    assert "at-all.csv" in told


def test_a_setup_file_with_a_mistake_changes_nothing(loaded: SampleDays, tmp_path: Path) -> None:
    text = (loaded.root / "setup.yaml").read_text(encoding="utf-8")
    path = tmp_path / "setup.yaml"
    path.write_text(text.replace("Sample Payments", "Renamed").replace("cost_mode: netted", "cost_mode: nettet", 1))
    _error, told = refusal("load_setup", str(path))
    assert "nettet" in told
    assert not load_setup(loaded.root / "setup.yaml").touched


def test_before_any_day_is_open_the_commands_say_so(db: None) -> None:
    for arguments in (("trial_balance",), ("day", "run", "--date", FAR), ("clear", "--date", FAR)):
        _error, told = refusal(*arguments)
        assert "open" in told
