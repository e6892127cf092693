"""Saving fee rules: ties refused by name, nothing in force changed, history written."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from payops.accounts.models import AccountingDay
from payops.core.errors import PayopsError
from payops.core.upserts import Upserted
from payops.fees.engine import Component, RuleBook
from payops.fees.models import FeePackage, FeeRule
from payops.fees.services import (
    FeeRuleData,
    fee_package_upsert,
    fee_packages_upsert,
    fee_rule_create,
    fee_rules_upsert,
)

pytestmark = pytest.mark.django_db

START = dt.date(2026, 1, 1)
OPEN_DAY = dt.date(2026, 11, 20)
LATER = dt.date(2026, 12, 1)
CHEAP, DEAR = Component(rate=Decimal("0.0038")), Component(rate=Decimal("0.006"))


@pytest.fixture
def package() -> FeePackage:
    return fee_package_upsert(code="STD", name="Standard")


@pytest.fixture
def open_day() -> AccountingDay:
    return AccountingDay.objects.create(day=OPEN_DAY)


def wanted(**changes: Any) -> FeeRuleData:
    return FeeRuleData(**{"components": (CHEAP,), "effective_from": START, **changes})


def bring(package: FeePackage, *rules: FeeRuleData) -> Upserted:
    return fee_rules_upsert(packages={package.code: package}, rules={package.code: rules})


def test_a_created_rule_is_found_by_the_rule_book(package: FeePackage) -> None:
    rule = fee_rule_create(package=package, components=[CHEAP], effective_from=START, card_type="debit")
    quote = RuleBook.load(OPEN_DAY).fee_for(
        "STD", product="qr", channel="W", card_type="debit", kind="payment", currency="CNY", amount=10_000, day=OPEN_DAY
    )
    assert (quote.rule_id, quote.fee) == (rule.pk, 38)


def test_a_rule_book_leaves_out_rules_that_ended(package: FeePackage) -> None:
    fee_rule_create(package=package, components=[CHEAP], effective_from=START, effective_to=OPEN_DAY)
    with pytest.raises(PayopsError, match="STD"):
        RuleBook.load(OPEN_DAY).fee_for(
            "STD", product="", channel="", card_type="", kind="", currency="CNY", amount=1, day=START
        )


def test_a_tie_is_refused_naming_both_rules(package: FeePackage) -> None:
    fee_rule_create(package=package, components=[CHEAP], effective_from=START, product="qr")
    with pytest.raises(PayopsError) as caught:
        fee_rule_create(package=package, components=[DEAR], effective_from=START, channel="WECHAT")
    assert caught.value.code == "fees.tie"
    assert "product=qr" in str(caught.value)
    assert "channel=WECHAT" in str(caught.value)


def test_periods_that_follow_each_other_do_not_tie(package: FeePackage) -> None:
    fee_rule_create(package=package, components=[CHEAP], effective_from=START, effective_to=LATER)
    fee_rule_create(package=package, components=[DEAR], effective_from=LATER)
    assert package.rules.count() == 2


def test_stored_components_are_accepted_too(package: FeePackage) -> None:
    rule = fee_rule_create(package=package, components=[{"rate": "0.0010", "min": 1}], effective_from=START)
    assert rule.components == [{"name": "fee", "rate": "0.001", "min": 1}]


def test_an_empty_range_is_told_in_amounts(package: FeePackage) -> None:
    with pytest.raises(PayopsError, match=r"The amount range 5\.00 to 4\.99 is empty"):
        fee_rule_create(
            package=package, components=[{"rate": "0.001"}], effective_from=START, amount_from=500, amount_to=499
        )


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"effective_to": START}, "fees.bad_period"),
        ({"amount_from": 5, "amount_to": 5}, "fees.bad_range"),
        ({"amount_from": -1}, "fees.bad_range"),
        ({"refund_policy": "half"}, "fees.unknown_policy"),
        ({"currency": "XXX"}, "money.unknown_currency"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(package: FeePackage, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(PayopsError) as caught:
        fee_rule_create(**{"package": package, "components": [CHEAP], "effective_from": START, **changes})
    assert caught.value.code == code
    assert not package.rules.exists()


def test_the_same_rules_again_change_nothing(package: FeePackage) -> None:
    bring(package, wanted(), wanted(card_type="debit"))
    again = bring(package, wanted(), wanted(card_type="debit"))
    assert (again.created, again.changed, len(again.unchanged)) == ([], {}, 2)
    assert FeeRule.history.count() == 2


def test_a_rule_of_a_coming_day_may_change_and_leaves_history(package: FeePackage, open_day: AccountingDay) -> None:
    bring(package, wanted(effective_from=LATER))
    outcome = bring(package, wanted(effective_from=LATER, components=(DEAR,)))
    assert list(outcome.changed.values()) == [["components"]]
    assert FeeRule.history.filter(history_type="~").count() == 1


def test_what_a_rule_in_force_charges_cannot_change(package: FeePackage, open_day: AccountingDay) -> None:
    bring(package, wanted())
    with pytest.raises(PayopsError) as caught:
        bring(package, wanted(components=(DEAR,)))
    assert caught.value.code == "fees.in_force"
    assert caught.value.context["index"] == 0
    assert package.rules.get().components == [CHEAP.as_json()]


def test_a_rule_in_force_can_be_ended_on_a_coming_day_and_followed_by_another(
    package: FeePackage, open_day: AccountingDay
) -> None:
    bring(package, wanted())
    outcome = bring(package, wanted(effective_to=LATER), wanted(effective_from=LATER, components=(DEAR,)))
    assert (len(outcome.created), len(outcome.changed)) == (1, 1)


def test_a_rule_in_force_cannot_be_ended_in_the_past(package: FeePackage, open_day: AccountingDay) -> None:
    bring(package, wanted())
    with pytest.raises(PayopsError) as caught:
        bring(package, wanted(effective_to=OPEN_DAY))
    assert caught.value.code == "fees.in_force"


def test_a_package_in_use_takes_new_rules_for_coming_days_only(package: FeePackage, open_day: AccountingDay) -> None:
    bring(package, wanted())
    with pytest.raises(PayopsError) as caught:
        bring(package, wanted(), wanted(card_type="debit"))
    assert caught.value.code == "fees.too_early"
    assert caught.value.context["index"] == 1
    assert package.rules.count() == 1


def test_a_rule_listed_twice_is_refused(package: FeePackage) -> None:
    with pytest.raises(PayopsError) as caught:
        bring(package, wanted(), wanted(components=(DEAR,)))
    assert caught.value.code == "fees.twice"


def test_renaming_a_package_writes_history(package: FeePackage) -> None:
    assert fee_packages_upsert(names={"STD": "Other"}, reason="test").changed == {"STD": ["name"]}
    newest = FeePackage.history.filter(code="STD").latest()
    assert (newest.name, newest.history_type, newest.history_change_reason) == ("Other", "~", "test")


# --- the database's own guards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("effective_to", "'2020-01-01'", "fee_rule_period_in_order"),
        ("amount_to", "0", "fee_rule_range_in_order"),
        ("amount_from", "-1", "fee_rule_range_not_negative"),
        ("refund_policy", "'half'", "fee_rule_policy_known"),
        ("components", "'{}'", "fee_rule_components_are_a_list"),
    ],
)
def test_the_database_refuses_a_damaged_rule(package: FeePackage, column: str, value: str, constraint: str) -> None:
    rule = fee_rule_create(package=package, components=[CHEAP], effective_from=START)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE fees_feerule SET {column} = {value} WHERE id = %s", [rule.pk])


def test_the_database_refuses_the_same_rule_twice(package: FeePackage) -> None:
    rule = fee_rule_create(package=package, components=[CHEAP], effective_from=START)
    rule.pk = None
    with pytest.raises(IntegrityError, match="fee_rule_once"), transaction.atomic():
        rule.save(force_insert=True)
