"""What a re-issued bill changes is told row by row and to the cent; who takes it over knows it before."""

from __future__ import annotations

import io
from typing import Any

import pytest

from payops.approvals.registry import action_get
from payops.approvals.services import request_approve, request_submit
from payops.channels.bills import services
from payops.channels.bills.approvals import ACTION, TARGET_KIND, left_out_text
from payops.channels.bills.differences import (
    ADDED,
    CHANGED,
    REMOVED,
    difference_of,
    difference_rows,
    version_to_compare,
    versions_of,
)
from payops.channels.bills.services import bill_load, bill_take_over
from payops.channels.mapping.approval import mapping_propose
from payops.channels.models import BillFile
from tests.channels.bills.conftest import DAY, contract
from tests.channels.test_generic import HEADER, SPEC

ROWS = [f"2026-11-18,09:00:{n:02d},T{n},O{n},,支付,{n}.00,0.10" for n in range(1, 6)]


@pytest.fixture
def newpay(alice, bob):
    """A channel whose files the tests write line by line."""
    sample = {"name": "s", "sha256": "", "lines": 1, "bad": 0, "proven": True, "refused": ""}
    proposal = mapping_propose(
        code="newpay", name="New Pay", spec=SPEC, sample=sample, reason="New channel.", maker=alice
    )
    request_approve(request_id=proposal.pk, checker=bob)
    return contract("NEWPAY", "generic:newpay", "M100")


def load(newpay, *rows: str, count: int | None = None, amount: str = "") -> BillFile:
    """A bill of these rows with totals that agree unless others are given."""
    fen = sum(int(row.split(",")[6].replace(".", "")) for row in rows if row.split(",")[6][0].isdigit())
    footer = f"合计,{len(rows) if count is None else count},{amount or f'{fen // 100}.{fen % 100:02d}'}"
    text = "\n".join([HEADER, *rows, footer, ""])
    file = bill_load(contract=newpay, channel_date=DAY, stream=io.BytesIO(text.encode()), name="n.csv", user="alice")
    assert file.state in ("accepted", "held"), file.error_message
    return file


def changes(old: BillFile, new: BillFile, **options: Any) -> list[tuple[str, str, list[str]]]:
    return [(row.change, row.trade_no, row.fields) for row in difference_rows(old, new, limit=100, **options)]


def test_added_removed_and_changed_rows_are_told_with_both_values(newpay):
    first = load(newpay, *ROWS[:4])
    second = load(newpay, *ROWS[1:3], ROWS[3].replace("4.00,0.10", "4.50,0.20"), ROWS[4])
    assert version_to_compare(second) == first
    assert sorted(changes(first, second)) == [
        (ADDED, "T5", []),
        (CHANGED, "T4", ["amount", "settled_amount", "fee"]),
        (REMOVED, "T1", []),
    ]
    (changed,) = difference_rows(first, second, limit=10, change=CHANGED)
    assert (changed.old.amount, changed.new.amount, changed.old.fee, changed.new.fee) == (400, 450, 10, 20)


def test_the_figures_of_the_difference_lead_from_one_total_to_the_other(newpay):
    first = load(newpay, *ROWS[:4])
    second = load(newpay, *ROWS[1:3], ROWS[3].replace("4.00,0.10", "4.50,0.20"), ROWS[4])
    found = difference_of(first, second)
    assert found.same == 2
    assert found.sums[ADDED] == (1, 500, 490, 10)
    assert found.sums[REMOVED] == (1, 100, 90, 10)
    assert found.sums[CHANGED] == (1, 50, 40, 10)
    assert first.totals["all"]["settled"] + found.settled == second.totals["all"]["settled"]


def test_the_same_rows_in_another_order_are_no_difference(newpay):
    first, second = load(newpay, *ROWS), load(newpay, *reversed(ROWS))
    assert difference_of(first, second).none
    assert changes(first, second) == []


def test_the_list_ends_where_it_is_told_to_and_follows_the_file(newpay):
    first, second = load(newpay, ROWS[0]), load(newpay, *ROWS)
    assert [row.trade_no for row in difference_rows(first, second, limit=2)] == ["T2", "T3"]


def test_a_version_that_was_rejected_is_nothing_to_compare_with(newpay):
    text = f"{HEADER}\n{ROWS[0]}\n合计,2,1.00\n"
    bill_load(contract=newpay, channel_date=DAY, stream=io.BytesIO(text.encode()), name="n.csv", user="alice")
    second = load(newpay, ROWS[0])
    assert version_to_compare(second) is None
    assert [version.version for version in versions_of(second)] == [2, 1]


def test_a_reissue_that_waits_is_compared_with_what_stands_and_taken_over_by_a_person(newpay, monkeypatch):
    first = load(newpay, *ROWS[:4])
    monkeypatch.setattr(services, "_take_over_checks", [lambda accepted: True])
    load(newpay, *ROWS[:3])
    third = load(newpay, *ROWS)
    assert (third.state, third.error_code) == ("held", "bill.needs_take_over")
    assert version_to_compare(third) == first
    assert changes(first, third) == [(ADDED, "T5", [])]
    bill_take_over(bill_file_id=third.pk, user="alice")
    first.refresh_from_db()
    assert first.state == "superseded"


# --- what a held file's unreadable lines hold ---


def test_the_files_own_totals_say_what_the_unreadable_lines_hold(newpay, alice):
    file = load(newpay, *ROWS[:2], ROWS[2].replace("3.00", "x"), count=3, amount="6.00")
    assert left_out_text(file) == "Lines 1, Amount 3.00"
    request = request_submit(
        action=ACTION, target_kind=TARGET_KIND, target_id=file.pk, payload={}, amount=None, currency="CNY",
        title="Accept", reason="Told by telephone.", maker=alice,
    )  # fmt: skip
    assert "Lines 1, Amount 3.00" in [value for _label, value in action_get(ACTION).describe(request).rows]


def test_without_totals_nobody_can_know_it(unionpay):
    from tests.channels.bills.conftest import SAMPLES

    data = (SAMPLES / "bad/unionpay_zm_bad_amount").read_bytes()
    file = bill_load(contract=unionpay, channel_date=DAY, stream=io.BytesIO(data), name="INN26111888ZM_777290058999901")
    assert left_out_text(file).startswith("unknown")
