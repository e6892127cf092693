"""Finding the rule that applies: the most specific first, ties refused, periods respected."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from payops.core.errors import PayopsError
from payops.fees.engine import FeeQuote, Rule, RuleBook, ties

DAY = dt.date(2026, 11, 20)
ANY = Rule(1, "STD", "", "", "", "", "CNY", 0, None, [{"rate": "0.006"}], "pro_rata", dt.date(2026, 1, 1), None)


def rule(rule_id: int, rate: str = "0.001", **changes: Any) -> Rule:
    return replace(ANY, rule_id=rule_id, components=[{"rate": rate}], **changes)


def ask(book: RuleBook, **changes: Any) -> FeeQuote:
    question = {
        "product": "jsapi",
        "channel": "WECHAT",
        "card_type": "debit",
        "kind": "payment",
        "currency": "CNY",
        "amount": 100_000,
        "day": DAY,
    }
    package = changes.pop("package", "STD")
    return book.fee_for(package, **{**question, **changes})


def test_a_rule_without_criteria_fits_everything() -> None:
    assert ask(RuleBook([ANY])) == FeeQuote(1, 600, "pro_rata")


def test_the_rule_with_more_criteria_wins() -> None:
    book = RuleBook([ANY, rule(2, card_type="debit"), rule(3, card_type="debit", channel="WECHAT")])
    assert ask(book).rule_id == 3
    assert ask(book, channel="ALIPAY").rule_id == 2
    assert ask(book, card_type="credit").rule_id == 1


def test_a_range_of_amounts_is_more_specific_than_none_and_excludes_its_end() -> None:
    book = RuleBook([ANY, rule(2, amount_from=1_000, amount_to=100_000)])
    assert ask(book, amount=999).rule_id == 1
    assert ask(book, amount=1_000).rule_id == 2
    assert ask(book, amount=99_999).rule_id == 2
    assert ask(book, amount=100_000).rule_id == 1


def test_bands_by_amount_follow_each_other() -> None:
    book = RuleBook(
        [rule(1, amount_to=10_000), rule(2, amount_from=10_000, amount_to=50_000), rule(3, amount_from=50_000)]
    )
    assert [ask(book, amount=amount).rule_id for amount in (1, 9_999, 10_000, 49_999, 50_000)] == [1, 1, 2, 2, 3]


def test_the_rule_of_the_day_applies_and_its_last_day_is_exclusive() -> None:
    change = dt.date(2026, 11, 20)
    book = RuleBook([replace(ANY, effective_to=change), rule(2, effective_from=change)])
    assert ask(book, day=dt.date(2026, 11, 19)).rule_id == 1
    assert ask(book, day=change).rule_id == 2


@pytest.mark.parametrize(
    "changes",
    [{"package": "NONE"}, {"currency": "USD"}, {"day": dt.date(2025, 12, 31)}],
)
def test_no_fitting_rule_is_an_error_naming_the_question(changes: dict[str, Any]) -> None:
    with pytest.raises(PayopsError) as caught:
        ask(RuleBook([ANY]), **changes)
    assert caught.value.code == "fees.no_rule"
    assert caught.value.context["amount"] == 100_000
    assert f"amount 1,000.00 {changes.get('currency', 'CNY')}." in str(caught.value)


def test_an_amount_outside_all_ranges_has_no_rule() -> None:
    with pytest.raises(PayopsError) as caught:
        ask(RuleBook([rule(1, amount_to=10)]))
    assert caught.value.code == "fees.no_rule"


def test_the_answer_for_a_repeated_question_depends_on_the_amount_only() -> None:
    book = RuleBook([ANY])
    assert [ask(book, amount=amount).fee for amount in (100, 10_000, 100)] == [1, 60, 1]


def test_two_rules_with_equally_many_matching_criteria_are_a_tie() -> None:
    by_product, by_channel = rule(1, product="jsapi"), rule(2, channel="WECHAT")
    assert ties(by_product, by_channel)
    with pytest.raises(PayopsError) as caught:
        ask(RuleBook([by_product, by_channel]))
    assert caught.value.code == "fees.tie"
    assert caught.value.context["rule_ids"] == [1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"package_code": "OTHER"},
        {"currency": "USD"},
        {"card_type": "credit"},
        {"card_type": "debit", "channel": "WECHAT"},
        {"card_type": "debit", "effective_from": dt.date(2027, 1, 1)},
        {"card_type": "debit", "amount_from": 5_000},
    ],
)
def test_rules_that_never_meet_or_differ_in_weight_do_not_tie(changes: dict[str, Any]) -> None:
    first = rule(1, card_type="debit", effective_to=dt.date(2027, 1, 1))
    assert not ties(first, rule(2, **changes))
    assert not ties(rule(2, **changes), first)
