"""Amount expressions, the symbolic balance check, versions, and the files of chart and rules."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from payops.accounts import services
from payops.accounts.chart import chart_file, dotted, normalised
from payops.accounts.choices import LINE_EVENTS, Event
from payops.accounts.expressions import evaluate, imbalance, parse_expression
from payops.accounts.models import Account, PostingRule, Subject
from payops.core.errors import PayopsError
from tests.accounts.conftest import MONDAY, TUESDAY

GOOD = [
    {"side": "D", "subject": "3001.01", "owner": "channel", "amount": "A"},
    {"side": "C", "subject": "2202.01", "owner": "merchant", "amount": "A"},
]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("A", (("A", 1),)),
        ("A - X - F", (("A", 1), ("F", -1), ("X", -1))),
        ("-A+ 2*K", (("A", -1), ("K", 2))),
        ("3A", (("A", 3),)),
        ("A - A + B", (("B", 1),)),
    ],
)
def test_expressions_are_sums_with_whole_coefficients(text: str, terms: object) -> None:
    assert parse_expression(text) == terms


@pytest.mark.parametrize(
    "text", ["", " ", "A B", "A *", "A * B", "1.5*A", "A / 2", "(A)", "a", "__import__", "A - ", "5"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(PayopsError) as caught:
        parse_expression(text)
    assert caught.value.code == "rules.expression"


def test_an_expression_is_computed_in_whole_numbers() -> None:
    assert evaluate(parse_expression("A - X - F"), {"A": 10_000, "X": 500, "F": 57}) == 9_443


def test_imbalance_names_the_variables_that_do_not_cancel() -> None:
    lines = [("D", parse_expression("A - X")), ("C", parse_expression("A - F"))]
    assert imbalance(lines) == {"X": -1, "F": 1}


def create(lines: list[dict[str, str]], day: dt.date = TUESDAY) -> PostingRule:
    return services.posting_rule_create(event=Event.PAYMENT, lines=lines, effective_day=day, created_by="alice")


def test_a_rule_that_does_not_balance_for_all_values_is_refused(ledger: dt.date) -> None:
    with pytest.raises(PayopsError) as caught:
        create([GOOD[0], {**GOOD[1], "amount": "A - F"}])
    assert caught.value.code == "rules.unbalanced"
    assert caught.value.context["imbalance"] == {"F": 1}


def test_a_rule_takes_effect_on_a_later_day_only(ledger: dt.date) -> None:
    with pytest.raises(PayopsError) as caught:
        create(GOOD, MONDAY)
    assert caught.value.code == "rules.too_early"


def test_versions_count_up(ledger: dt.date) -> None:
    assert [create(GOOD).version, create(GOOD).version] == [2, 3]


@pytest.mark.parametrize(
    "change",
    [{"side": "S"}, {"subject": "9999"}, {"subject": "2202"}, {"owner": "broker"}, {"amount": "A * F"}],
)
def test_a_line_that_cannot_be_booked_is_named(ledger: dt.date, change: dict[str, str]) -> None:
    with pytest.raises(PayopsError) as caught:
        create([GOOD[0], {**GOOD[1], **change}])
    assert caught.value.code in {"rules.line", "rules.expression"}


def test_every_event_has_a_seeded_rule(ledger: dt.date) -> None:
    assert set(PostingRule.objects.values_list("event", flat=True)) == set(Event.values) - set(LINE_EVENTS)


def test_loading_again_changes_nothing_and_keeps_what_was_configured(ledger: dt.date) -> None:
    create(GOOD)
    before = list(PostingRule.objects.values_list("event", "version"))
    services.ledger_setup()
    assert services.posting_rules_load() == 0
    assert list(PostingRule.objects.values_list("event", "version")) == before


def test_a_damaged_rules_file_is_refused_with_its_event(ledger: dt.date, tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "- event: PAYMENT\n  summary: x\n  lines:\n"
        "    - [D, '3001.01', channel, A]\n    - [C, '2202.01', merchant, 2*A]\n"
    )
    with pytest.raises(PayopsError) as caught:
        services.posting_rules_load(path=path)
    assert caught.value.code == "rules.unbalanced"
    assert "PAYMENT" in str(caught.value)


# --- chart and accounts ---


def test_codes_are_written_with_dots_and_kept_without() -> None:
    assert normalised("2202.01") == "220201"
    assert dotted("220201") == "2202.01"
    assert dotted("1002") == "1002"


def test_a_subject_with_sub_subjects_is_no_leaf(ledger: dt.date) -> None:
    assert not Subject.objects.get(code="2202").is_leaf
    assert Subject.objects.get(code="220201").is_leaf


def test_the_chart_holds_at_least_the_subjects_of_the_domain(ledger: dt.date) -> None:
    wanted = """1002.01 1002.02 1122.01 1122.02 1122.03 1221.01 1221.02 2202.01 2202.02 2202.03 2203.01 2203.02 2241.01
        2241.02 2241.03 2241.04 2241.05 2241.06 3001.01 3001.02 3001.03 3001.04 6021.01 6021.02 6301.01 6421.01 6421.02
        6711.01 6601.01 6603.01"""
    assert {normalised(code) for code in wanted.split()} <= set(Subject.objects.values_list("code", flat=True))


def test_a_subject_without_its_superior_is_refused(db: None, tmp_path: Path) -> None:
    path = tmp_path / "chart.yaml"
    path.write_text('- {code: "1002.01", name: a, name_zh: b, element: asset, side: D}\n')
    with pytest.raises(PayopsError) as caught:
        services.chart_load(path=path)
    assert (caught.value.code, caught.value.context["subject"]) == ("chart.row", "100201")


def test_the_side_of_a_subject_with_accounts_does_not_change(ledger: dt.date, tmp_path: Path) -> None:
    path = tmp_path / "chart.yaml"
    path.write_text(
        chart_file()
        .read_text()
        .replace("name_zh: 待结算, element: liability, side: C", "name_zh: 待结算, element: liability, side: D")
    )
    with pytest.raises(PayopsError) as caught:
        services.chart_load(path=path)
    assert caught.value.context["subject"] == "220201"


def test_an_account_is_opened_once(ledger: dt.date) -> None:
    before = Account.objects.count()
    services.open_merchant_accounts("M-A")
    assert Account.objects.count() == before


def test_accounts_of_many_merchants_are_the_same_as_those_of_one(ledger: dt.date) -> None:
    services.open_accounts_of_merchants(["M-A", "M-C", "M-D"])
    services.open_accounts_of_merchants(["M-A", "M-C", "M-D"])

    def kinds(merchant: str) -> set[tuple[str, str]]:
        rows = Account.objects.filter(owner_kind="merchant", owner_no=merchant)
        return {(row.subject.code, row.account_no.replace(merchant, "")) for row in rows.select_related("subject")}

    assert kinds("M-A") == kinds("M-C") == kinds("M-D")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"subject_code": "9999", "owner_kind": "merchant", "owner_no": "x"}, "ledger.subject_unknown"),
        ({"subject_code": "2202", "owner_kind": "merchant", "owner_no": "x"}, "ledger.subject_not_leaf"),
        ({"subject_code": "2202.01", "owner_kind": "merchant", "owner_no": ""}, "ledger.owner_unknown"),
        ({"subject_code": "2202.01", "owner_kind": "broker", "owner_no": "x"}, "ledger.owner_unknown"),
        (
            {"subject_code": "2202.01", "owner_kind": "merchant", "owner_no": "x", "currency": "XXX"},
            "money.unknown_currency",
        ),
    ],
)
def test_an_account_that_makes_no_sense_is_refused(ledger: dt.date, arguments: dict[str, str], code: str) -> None:
    with pytest.raises(PayopsError) as caught:
        services.account_open(**arguments)
    assert caught.value.code == code


def test_an_account_closes_only_at_zero(ledger: dt.date) -> None:
    account = Account.objects.get(account_no="220201-M-A")
    Account.objects.filter(pk=account.pk).update(balance=1)
    with pytest.raises(PayopsError) as caught:
        services.account_status_set(account=account, status="closed")
    assert caught.value.code == "ledger.not_zero"
