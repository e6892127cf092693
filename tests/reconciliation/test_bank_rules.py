"""What a bank line is, by prioritised rules made by one person and approved by another (DOMAIN 7.4)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from payops.accounts import selectors as balances
from payops.accounts import services as ledger
from payops.approvals.services import request_approve
from payops.channels.choices import BankLineKind, BankLineState
from payops.channels.models import BankAccount, BankLine
from payops.core.errors import PayopsError
from payops.discrepancies.models import Discrepancy
from payops.reconciliation import funds
from payops.reconciliation.funds import movements
from payops.reconciliation.funds.own_money import own_money_propose
from payops.reconciliation.funds.rule_approval import rule_propose
from payops.reconciliation.funds.rules import rule_try
from payops.reconciliation.models import BankRule, ChannelReceipt, ExpectedMovement
from tests.orders.conftest import World
from tests.reconciliation.money import FRIDAY, MONDAY, bank_line, bill, build, reserve, suspense


@pytest.fixture
def world(db: None) -> World:
    return build()


@pytest.fixture(autouse=True)
def _no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movements, "_handlers", {})


def rule(name: str, kind: BankLineKind, **fields: Any) -> BankRule:
    """An unsaved rule of the reserve account."""
    values = {"priority": 10, "direction": "any", "bank_account": BankAccount.objects.get(code="RSV")}
    return BankRule(name=name, kind=kind, **{**values, **fields})


def interest(**fields: Any) -> BankRule:
    return rule("interest", BankLineKind.INTEREST, **{"direction": "in", "memo_pattern": "Interest", **fields})


def carried(**fields: Any) -> BankRule:
    return rule("carried", BankLineKind.CARRIED, **{"direction": "out", "memo_pattern": "^FEES", **fields})


@pytest.fixture
def agreed(alice: Any, bob: Any) -> Any:
    """``agreed(rule)``: proposed by one, approved by another."""

    def decide(proposed: BankRule) -> BankRule:
        request = rule_propose(rule=proposed, tried=0, changed=0, reason="the bank's letter", maker=alice)
        request_approve(request_id=request.pk, checker=bob)
        return BankRule.objects.latest("pk")

    return decide


@pytest.fixture
def own_funds(world: World) -> BankAccount:
    account = BankAccount.objects.create(code="OWN", bank_name="Own bank", account_no="777", kind="own")
    ledger.open_bank_account("OWN", "own")
    return account


def taken(line: BankLine) -> BankLine:
    funds.funds_match()
    line.refresh_from_db()
    return line


# --- what a rule makes of a line --------------------------------------------------------------------------------------


def test_interest_is_booked_and_not_yet_income(world: World, agreed: Any) -> None:
    made = agreed(interest())
    line = taken(bank_line(77, "Interest Q3"))
    assert (line.state, line.kind, line.rule_id) == (BankLineState.MATCHED, BankLineKind.INTEREST, made.pk)
    assert (reserve(), balances.balance_of("224106", "bank", "RSV")) == (77, 77)
    assert not Discrepancy.objects.exists()


def test_a_transfer_leaves_by_fund_transfer_and_comes_back_from_it(world: World, agreed: Any) -> None:
    agreed(rule("transfer", BankLineKind.TRANSFER, counterparty="payops reserve"))
    taken(bank_line(-700, "move", counterparty="PAYOPS RESERVE B"))
    assert (reserve(), balances.balance_of("300103")) == (-700, 700)
    taken(bank_line(700, "move", counterparty="Payops Reserve B"))
    assert (reserve(), balances.balance_of("300103")) == (0, 0)


def test_a_settlement_is_known_by_a_rule_of_its_bank(world: World, agreed: Any) -> None:
    bill(world, 9_000)
    made = agreed(
        rule("tenpay", BankLineKind.SETTLEMENT, memo_pattern=r"TENPAY/(?P<date>\d{8})", contract=world.wechat)
    )
    line = taken(bank_line(9_000, "TENPAY/20261113/x"))
    assert (line.contract, line.channel_date, line.rule_id) == (world.wechat, FRIDAY, made.pk)
    assert ChannelReceipt.objects.get().received == 9_000


def test_a_payout_is_known_by_the_banks_own_wording(world: World, agreed: Any) -> None:
    account = BankAccount.objects.get(code="RSV")
    ExpectedMovement.objects.create(
        bank_account=account, reference="P1", kind="payout", amount=-500, expected_on=MONDAY
    )
    agreed(rule("paid", BankLineKind.PAYOUT, direction="out", memo_pattern=r"E2E (?P<number>\w+)"))
    assert taken(bank_line(-500, "DD E2E P1")).payout_no == "P1"
    assert taken(bank_line(-500, "DD E2E P2")).state == BankLineState.UNIDENTIFIED


def test_the_lowest_priority_number_decides(world: World, agreed: Any) -> None:
    agreed(interest(priority=20))
    agreed(rule("transfer", BankLineKind.TRANSFER, memo_pattern="Interest rate swap", priority=5))
    assert taken(bank_line(50, "Interest rate swap")).kind == BankLineKind.TRANSFER
    assert taken(bank_line(50, "Interest")).kind == BankLineKind.INTEREST


def test_a_rule_holds_between_its_amounts_and_in_its_direction_only(world: World, agreed: Any) -> None:
    agreed(interest(min_amount=10, max_amount=100))
    for amount in (9, 101, -50):
        assert taken(bank_line(amount, "Interest")).state == BankLineState.UNIDENTIFIED
    for amount in (10, 100):
        assert taken(bank_line(amount, "Interest")).kind == BankLineKind.INTEREST


def test_a_line_no_rule_holds_for_is_for_a_person(world: World, agreed: Any) -> None:
    agreed(interest())
    taken(bank_line(50, "gift"))
    assert suspense("bank", "RSV") == (50, 0)
    assert Discrepancy.objects.count() == 1


# --- own money --------------------------------------------------------------------------------------------------------


def test_fee_income_carried_waits_and_is_booked_when_two_agree(
    world: World, own_funds: BankAccount, agreed: Any, alice: Any, bob: Any
) -> None:
    agreed(carried())
    line = taken(bank_line(-300, "FEES October"))
    assert (line.state, line.voucher_id, reserve()) == (BankLineState.WAITING, None, 0)
    request = own_money_propose(bank_line_id=line.pk, own_account=own_funds, reason="as every month", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    line.refresh_from_db()
    assert (line.state, reserve()) == (BankLineState.MATCHED, -300)
    assert balances.balance_of("100202", "bank", "OWN") == 300


def test_a_charge_on_the_reserve_is_paid_out_of_carried_own_money(
    world: World, own_funds: BankAccount, agreed: Any, alice: Any, bob: Any
) -> None:
    agreed(rule("charge", BankLineKind.CHARGE, direction="out", memo_pattern="^CHG"))
    line = taken(bank_line(-5, "CHG account"))
    request = own_money_propose(bank_line_id=line.pk, own_account=own_funds, reason="monthly", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    assert (reserve(), balances.balance_of("660301"), balances.balance_of("100202", "bank", "OWN")) == (-5, 5, 0)


def test_a_booked_line_is_not_booked_as_own_money_again(
    world: World, own_funds: BankAccount, agreed: Any, alice: Any, bob: Any
) -> None:
    agreed(carried())
    line = taken(bank_line(-300, "FEES October"))
    request = own_money_propose(bank_line_id=line.pk, own_account=own_funds, reason="once", maker=alice)
    request_approve(request_id=request.pk, checker=bob)
    with pytest.raises(PayopsError) as caught:
        own_money_propose(bank_line_id=line.pk, own_account=own_funds, reason="twice", maker=alice)
    assert caught.value.code == "funds.not_waiting"


def test_own_money_never_goes_to_a_reserve_account(world: World, agreed: Any, alice: Any) -> None:
    agreed(carried())
    line = taken(bank_line(-300, "FEES October"))
    with pytest.raises(PayopsError) as caught:
        own_money_propose(bank_line_id=line.pk, own_account=line.bank_account, reason="no", maker=alice)
    assert caught.value.code == "funds.not_own_funds"


def test_a_line_set_aside_by_a_rule_is_asked_again_when_the_rule_ends(world: World, agreed: Any) -> None:
    agreed(carried())
    line = taken(bank_line(-300, "FEES October"))
    agreed(carried(active=False))
    assert taken(line).state == BankLineState.UNIDENTIFIED
    assert suspense("bank", "RSV") == (0, 300)


# --- configuration ----------------------------------------------------------------------------------------------------


def test_who_proposed_a_rule_does_not_approve_it(world: World, alice: Any) -> None:
    request = rule_propose(rule=interest(), tried=0, changed=0, reason="mine", maker=alice)
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=request.pk, checker=alice)
    assert caught.value.code == "approvals.own_request"
    assert not BankRule.objects.exists()


def test_a_changed_rule_is_another_version_and_the_former_stays(world: World, agreed: Any) -> None:
    agreed(interest())
    agreed(interest(memo_pattern="INT"))
    assert list(BankRule.objects.order_by("version").values_list("version", "memo_pattern", "is_current")) == [
        (1, "Interest", False),
        (2, "INT", True),
    ]


def test_an_ended_rule_holds_for_nothing(world: World, agreed: Any) -> None:
    agreed(interest())
    agreed(interest(active=False))
    assert taken(bank_line(77, "Interest")).state == BankLineState.UNIDENTIFIED


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"memo_pattern": ""}, "no_condition"),
        ({"memo_pattern": "("}, "bad_pattern"),
        ({"direction": "out"}, "direction"),
        ({"kind": BankLineKind.RETURN}, "no_group"),
        ({"min_amount": 2, "max_amount": 1}, "amounts"),
        ({"kind": BankLineKind.SETTLEMENT, "memo_pattern": r"(?P<date>\d{8})"}, "contract"),
    ],
)
def test_a_rule_that_cannot_hold_is_refused(world: World, alice: Any, fields: dict[str, Any], code: str) -> None:
    proposed = interest()
    for name, value in fields.items():
        setattr(proposed, name, value)
    with pytest.raises(PayopsError) as caught:
        rule_propose(rule=proposed, tried=0, changed=0, reason="a slip", maker=alice)
    assert caught.value.code == f"bank_rules.{code}"


def test_two_rules_never_share_a_priority(world: World, agreed: Any, alice: Any) -> None:
    agreed(interest())
    with pytest.raises(PayopsError) as caught:
        rule_propose(rule=carried(), tried=0, changed=0, reason="tie", maker=alice)
    assert caught.value.code == "bank_rules.priority"


# --- trying -----------------------------------------------------------------------------------------------------------


def test_trying_a_rule_tells_which_past_lines_it_would_take_and_books_nothing(world: World) -> None:
    wanted = taken(bank_line(77, "Interest Q3"))
    taken(bank_line(50, "gift"))
    bank_line(88, "Interest Q2", value_date=MONDAY - dt.timedelta(days=40))
    before = reserve()
    tried, changes = rule_try(interest(), until=MONDAY)
    assert tried == 2
    assert [(change.line, change.now, change.then.kind) for change in changes] == [
        (wanted, None, BankLineKind.INTEREST),
    ]
    assert (reserve(), BankRule.objects.count()) == (before, 0)


def test_trying_the_end_of_a_rule_tells_what_nobody_would_know_any_more(world: World, agreed: Any) -> None:
    agreed(interest())
    taken(bank_line(77, "Interest Q3"))
    _tried, changes = rule_try(interest(active=False), until=MONDAY)
    assert [change.then for change in changes] == [None]


# --- what the database refuses ----------------------------------------------------------------------------------------


def refused(statement: str) -> str:
    """The name of the constraint, or the words of the trigger, that stop the statement."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    return caught.value.__cause__.diag.constraint_name or str(caught.value)


def copied(**columns: str) -> str:
    """An insert of the rule's row once more with other values in these columns."""
    names = [field.column for field in BankRule._meta.concrete_fields if field.column != "id"]
    values = [columns.get(name, name) for name in names]
    return (
        f"INSERT INTO reconciliation_bankrule ({', '.join(names)})"
        f" SELECT {', '.join(values)} FROM reconciliation_bankrule"
    )


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ({"version": "2"}, "bank_rule_one_current"),
        ({"is_current": "false"}, "bank_rule_version"),
        ({"name": "'another'"}, "bank_rule_priority_once"),
        ({"name": "'another'", "priority": "11", "memo_pattern": "''"}, "bank_rule_has_a_condition"),
    ],
)
def test_rules_in_force_are_unambiguous(world: World, agreed: Any, columns: dict[str, str], name: str) -> None:
    agreed(interest())
    assert refused(copied(**columns)) == name


def test_a_version_is_never_edited_revived_or_removed(world: World, agreed: Any) -> None:
    agreed(interest())
    assert "never change" in refused("UPDATE reconciliation_bankrule SET memo_pattern = 'x'")
    assert "never change" in refused("DELETE FROM reconciliation_bankrule")
    agreed(interest(active=False))
    assert "never change" in refused("UPDATE reconciliation_bankrule SET is_current = true WHERE version = 1")
