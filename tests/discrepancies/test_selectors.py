"""Lists, counts and ageing, and the day-end check that every cent in suspense has its case."""

from __future__ import annotations

import datetime as dt

import pytest

from payops.accounts.choices import Event
from payops.accounts.services import close_day, day_cut_off
from payops.core.errors import PayopsError
from payops.discrepancies import selectors
from payops.discrepancies.checks import CHECK, check_suspense
from payops.discrepancies.choices import AGE_BUCKETS, ActionKind, CaseKind, CaseState
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import case_close, case_escalate
from tests.discrepancies.conftest import DAY, book

pytestmark = pytest.mark.django_db


def test_staff_see_all_cases_and_a_merchant_none(lost, alice, bob, carol, mei, omar):
    case = lost()
    for person in (alice, bob, carol):
        assert list(selectors.cases_for(person)) == [case]
    for person in (mei, omar):
        assert list(selectors.cases_for(person)) == []
        with pytest.raises(PayopsError, match="no case"):
            selectors.case_get(person, case.pk)


def test_a_list_page_of_cases_costs_one_query(lost, alice, django_assert_num_queries):
    for _ in range(5):
        lost()
    with django_assert_num_queries(1):
        [(case.contract.code, case.merchant.merchant_no, case.owner) for case in selectors.open_cases(alice)]


def test_open_cases_come_the_oldest_first_and_closed_ones_not_at_all(find, decide, alice):
    young = find(CaseKind.CHANNEL_ONLY, 1)
    old = find(CaseKind.CHANNEL_ONLY, 1, business_date=DAY - dt.timedelta(days=3))
    decide(find(CaseKind.CHANNEL_ONLY, 1), ActionKind.INCOME, note="old")
    assert list(selectors.open_cases(alice)) == [old, young]


def test_counts_keep_surplus_and_shortage_apart(find, lost, decide, alice):
    find(CaseKind.CHANNEL_ONLY, 100)
    shortage = find(CaseKind.OWN_ONLY, -40)
    case_escalate(case_id=shortage.pk)
    info = find(CaseKind.KIND, 0)
    case_close(case_id=info.pk, note="fine", user=alice)
    counts = selectors.open_counts()
    assert (counts.total, counts.surplus, counts.shortage, counts.escalated) == (2, 100, 40, 1)
    assert counts.by_state == {CaseState.OPEN: 2}
    assert counts.by_kind == {CaseKind.CHANNEL_ONLY: 1, CaseKind.OWN_ONLY: 1}


def test_counts_of_one_contract(find, world):
    find(CaseKind.CHANNEL_ONLY, 100)
    find(CaseKind.CHANNEL_ONLY, 7, contract=world.alipay)
    assert selectors.open_counts(contract=world.alipay).surplus == 7
    assert selectors.suspense_total(world.alipay) == 7
    assert selectors.suspense_total() == 107


@pytest.mark.parametrize(
    ("age", "bucket"), [(-1, 0), (0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (7, 2), (8, 3), (30, 3), (31, 4), (400, 4)]
)
def test_ageing_buckets_and_their_limits(find, alice, age, bucket):
    case = find(CaseKind.OWN_ONLY, -100, business_date=DAY - dt.timedelta(days=age))
    report = selectors.ageing()
    assert [line.count for line in report] == [int(position == bucket) for position in range(len(AGE_BUCKETS))]
    assert (report[bucket].shortage, report[bucket].surplus) == (100, 0)
    assert list(selectors.cases_filtered(alice, bucket=bucket)) == [case]
    assert selectors.age_in_days(case) == max(0, age)


def test_ageing_labels():
    assert [line.label for line in selectors.ageing(today=DAY)] == ["0–1", "2–3", "4–7", "8–30", ">30"]


def test_cases_are_filtered_by_all_conditions_together(find, lost, alice, world):
    mine = find(CaseKind.OWN_ONLY, -5, merchant=world.b, contract=world.alipay)
    case_escalate(case_id=mine.pk)
    lost()
    found = selectors.cases_filtered(
        alice,
        states=[CaseState.OPEN],
        kinds=[CaseKind.OWN_ONLY],
        contract_code=world.alipay.code,
        merchant_no="M-B",
        first_date=DAY,
        last_date=DAY,
        escalated=True,
        surplus=False,
    )
    assert list(found) == [mine]
    assert list(selectors.cases_filtered(alice, surplus=True, escalated=False)) != [mine]


def test_an_action_keeps_waiting_apart_from_wrong(lost, decide):
    case = lost()
    assert not selectors.is_waiting(case)
    decide(case, ActionKind.WAIT, days=2)
    assert selectors.is_waiting(case)
    assert not selectors.is_waiting(case, today=DAY + dt.timedelta(days=3))


# -- surplus − shortage = Σ suspense of open cases ---------------------------------------------------------------------


def test_every_cent_in_suspense_is_remembered_by_an_open_case(find, decide):
    find(CaseKind.CHANNEL_ONLY, 100)
    find(CaseKind.OWN_ONLY, -40)
    decide(find(CaseKind.OWN_ONLY, -7), ActionKind.LOSS, note="gone")
    assert check_suspense(DAY) == []


def test_suspense_without_a_case_is_found_and_named(find, world):
    find(CaseKind.CHANNEL_ONLY, 100)
    book(Event.SURPLUS_FOUND, 25, channel=world.alipay.code)
    (finding,) = check_suspense(DAY)
    assert finding.context == {"owner_kind": "channel", "owner_no": "ALIPAY", "booked": 25, "cases": 0}
    assert "0.25" in finding.message


def test_a_case_without_its_suspense_is_found(find, world):
    find(CaseKind.CHANNEL_ONLY, 100)
    Discrepancy.objects.update(suspense=60)
    (finding,) = check_suspense(DAY)
    assert (finding.context["booked"], finding.context["cases"]) == (100, 60)


def test_unidentified_bank_money_is_compared_with_the_cases_of_its_account(world):
    from payops.accounts import services as ledger
    from payops.channels.models import BankAccount
    from payops.discrepancies.services import case_open

    posting = ledger.Posting(
        event=Event.UNIDENTIFIED_CREDIT,
        source_kind="test",
        source_id=1,
        amounts={"R": 900},
        owners={"bank": "RSV"},
        business_date=DAY,
    )
    ledger.post(posting)
    assert len(check_suspense(DAY)) == 1
    case_open(
        dedupe_key="bank:1",
        kind=CaseKind.BANK,
        amount=900,
        suspense=900,
        currency="CNY",
        business_date=DAY,
        evidence={},
        bank_account=BankAccount.objects.get(code="RSV"),
    )
    assert check_suspense(DAY) == []
    assert selectors.suspense_total() == 0


def test_the_check_runs_at_the_close_of_the_day_and_never_blocks_it(world):
    book(Event.SURPLUS_FOUND, 25, channel=world.alipay.code)
    day_cut_off(DAY)
    result = close_day(DAY)
    assert CHECK in {finding.check for finding in result.findings}
