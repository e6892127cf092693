"""Posting rules in the hands of people: proposed, tried on an example, approved, compared; and what is missing."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from payops.accounts import services
from payops.accounts.choices import Event
from payops.accounts.models import PostingRule, Subject
from payops.accounts.posting import Line
from payops.accounts.rule_preview import (
    Example,
    example_of_voucher,
    latest_example,
    rule_difference,
    rule_preview,
    rules_missing,
)
from payops.accounts.rules import rule_lines_errors
from payops.approvals.services import request_approve
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, OWNERS, TUESDAY, Book

CLEARING = [
    {"side": "D", "subject": "2202.01", "owner": "merchant", "amount": "A - X"},
    {"side": "C", "subject": "2202.02", "owner": "merchant", "amount": "A - X - F"},
    {"side": "C", "subject": "6021.01", "owner": "institution", "amount": "F"},
]
SPLIT = [*CLEARING[:2], {**CLEARING[2], "subject": "6301.01"}]


def propose(maker: Any, lines: list[dict[str, str]] = SPLIT, day: dt.date = TUESDAY, event: int = 401) -> Any:
    return services.posting_rule_propose(
        event=event, lines=lines, effective_day=day, summary="", reason="audit", maker=maker
    )


def code_of(call: Any) -> str:
    with pytest.raises(PayopsError) as caught:
        call()
    return caught.value.code


# --- lines ---


def line_errors(*changes: dict[str, str]) -> list[tuple[str, Any]]:
    lines = [{**line, **change} for line, change in zip(CLEARING, [*changes, {}, {}, {}], strict=False)]
    return [(error.code, error.context.get("line")) for error in rule_lines_errors(lines)]


def test_every_line_that_cannot_be_booked_is_named(ledger: dt.date) -> None:
    assert line_errors({"side": "X"}, {"amount": "A * F"}, {"subject": "2202"}) == [
        ("rules.line", 1),
        ("rules.expression", 2),
        ("rules.line", 3),
    ]


def test_lines_that_can_be_read_are_asked_whether_they_balance(ledger: dt.date) -> None:
    assert line_errors({"amount": "A"}) == [("rules.unbalanced", None)]


def test_a_line_that_is_always_zero_is_named(ledger: dt.date) -> None:
    assert line_errors({"amount": "A - A"}) == [("rules.line", 1)]


def memo_line(side: str = "D") -> dict[str, str]:
    Subject.objects.get_or_create(
        code="9001", defaults={"name": "Guarantees", "name_zh": "担保", "element": "memo", "normal_side": "D"}
    )
    return {"side": side, "subject": "9001", "owner": "merchant", "amount": "G"}


def test_memorandum_lines_stand_alone_and_need_no_balance(ledger: dt.date) -> None:
    assert rule_lines_errors([memo_line()]) == []


def test_memorandum_lines_are_never_mixed_with_others(ledger: dt.date) -> None:
    (error,) = rule_lines_errors([*CLEARING, memo_line()])
    assert (error.code, error.context["line"]) == ("rules.memorandum", 4)


# --- versions ---


def test_a_version_is_made_when_another_person_approves(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = propose(alice)
    assert PostingRule.objects.filter(event=401).count() == 1
    request_approve(request_id=request.pk, checker=bob)
    rule = PostingRule.objects.get(event=401, version=2)
    assert (rule.lines, rule.effective_day, rule.created_by) == (SPLIT, TUESDAY, "alice")


def test_a_day_that_began_meanwhile_is_too_late_to_approve(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = propose(alice)
    services.day_cut_off(MONDAY)
    assert code_of(lambda: request_approve(request_id=request.pk, checker=bob)) == "rules.too_early"


def test_a_version_made_meanwhile_makes_the_proposal_stale(ledger: dt.date, alice: Any, bob: Any) -> None:
    request = propose(alice)
    services.posting_rule_create(event=401, lines=SPLIT, effective_day=TUESDAY)
    assert code_of(lambda: request_approve(request_id=request.pk, checker=bob)) == "approvals.target_changed"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lines": CLEARING[:2]}, "rules.unbalanced"),
        ({"lines": CLEARING}, "rules.same"),
        ({"day": MONDAY}, "rules.too_early"),
        ({"event": Event.MANUAL}, "rules.event"),
        ({"event": 9999}, "rules.event"),
    ],
)
def test_what_cannot_become_a_version_is_not_proposed(
    ledger: dt.date, alice: Any, changes: dict[str, Any], code: str
) -> None:
    assert code_of(lambda: propose(alice, **changes)) == code


def test_the_difference_of_two_versions_is_told_line_by_line() -> None:
    assert rule_difference(CLEARING, SPLIT) == [
        (" ", "D 2202.01 merchant A - X"),
        (" ", "C 2202.02 merchant A - X - F"),
        ("−", "C 6021.01 institution F"),
        ("+", "C 6301.01 institution F"),
    ]


# --- examples ---


def cleared(book: Book, **amounts: int) -> Any:
    return services.post(book.posting(Event.CLEARING_NET, **amounts))


def test_the_amounts_of_a_voucher_are_recovered_from_its_entries(book: Book) -> None:
    voucher = services.post(book.posting(Event.BILL_NETTED, S=9_940, K=60))
    example = example_of_voucher(voucher)
    assert (example.amounts, example.owners, example.assumed) == ({"S": 9_940, "K": 60}, {"channel": "wx"}, ())


def test_a_line_that_swapped_its_side_is_recovered_with_its_sign(book: Book) -> None:
    voucher = services.post(book.posting(Event.BILL_NETTED, S=-500, K=-3))
    assert example_of_voucher(voucher).amounts == {"S": -500, "K": -3}


def test_what_the_entries_leave_open_is_taken_as_zero_and_named(book: Book) -> None:
    """Pending shows A − X only: A counts as all of it."""
    example = example_of_voucher(cleared(book, A=10_000, X=500, F=57))
    assert example.amounts == {"A": 9_500, "F": 57, "X": 0}
    assert example.assumed == ("A", "X")


def test_a_voucher_that_no_rule_made_is_no_example(book: Book) -> None:
    voucher = cleared(book, A=10_000, X=0, F=57)
    voucher.rule_version = 99
    assert code_of(lambda: example_of_voucher(voucher)) == "rules.not_by_rule"


def test_old_and_new_lines_stand_side_by_side(book: Book) -> None:
    example = example_of_voucher(cleared(book, A=10_000, X=0, F=57))
    preview = rule_preview(event=401, lines=SPLIT, example=example, day=MONDAY)
    assert preview.old[-1] == Line("602101", "institution", "", "C", 57)
    assert preview.new[-1] == Line("630101", "institution", "", "C", 57)
    assert preview.old[:2] == preview.new[:2]


def test_a_variable_the_example_does_not_know_is_asked_for(book: Book) -> None:
    example = Example({"A": 100, "X": 0, "F": 0}, OWNERS, "CNY")
    lines = [{**CLEARING[0], "amount": "A - X + B"}, {**CLEARING[1], "amount": "A - X - F + B"}, CLEARING[2]]
    with pytest.raises(PayopsError) as caught:
        rule_preview(event=401, lines=lines, example=example, day=MONDAY)
    assert (caught.value.code, caught.value.context["variable"]) == ("ledger.variable_missing", "B")


def test_the_latest_voucher_of_the_event_is_the_example(book: Book) -> None:
    cleared(book, A=1, X=0, F=0)
    newest = cleared(book, A=2, X=0, F=0)
    assert latest_example(401).voucher_id == newest.pk
    assert latest_example(411) is None


# --- what is missing ---


def test_after_set_up_nothing_is_missing(ledger: dt.date) -> None:
    assert rules_missing().lines() == []


def test_an_event_without_a_rule_in_force_is_named(ledger: dt.date) -> None:
    from tests.accounts.test_guards import run

    run("SET CONSTRAINTS ALL IMMEDIATE")
    run("ALTER TABLE accounts_postingrule DISABLE TRIGGER USER")
    PostingRule.objects.filter(event=Event.FEE_CARRIED).update(effective_day=dt.date(2030, 1, 1))
    assert rules_missing().events == [Event.FEE_CARRIED]
    assert rules_missing(dt.date(2030, 1, 1)).events == []


def test_an_account_that_a_rule_needs_and_an_owner_lacks_is_named(ledger: dt.date) -> None:
    lines = [{**CLEARING[0], "subject": "2241.06"}, *CLEARING[1:]]
    services.posting_rule_create(event=401, lines=lines, effective_day=TUESDAY)
    services.day_cut_off(MONDAY)
    gaps = {gap.owner_no: gap.missing for gap in rules_missing().accounts}
    assert gaps == {"M-A": ("224106",), "M-B": ("224106",)}


def test_a_bank_added_by_halves_is_named(ledger: dt.date) -> None:
    services.account_open(subject_code="1002.01", owner_kind="bank", owner_no="R9")
    assert {gap.owner_no for gap in rules_missing().accounts} == {"R9"}
