"""Whatever comes in whatever order, no cent is lost, and what was planted is found as what it is and nothing else."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from payops.accounts.models import Account, Voucher
from payops.accounts.selectors import balance_of
from payops.approvals.services import request_approve
from payops.channels.models import ChannelContract
from payops.core.ids import id_range
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.rules import allowed_actions
from payops.discrepancies.services import action_propose
from payops.orders.models import Transaction
from payops.reconciliation.choices import ItemState
from payops.reconciliation.models import OpenItem, ReconRun
from tests.examples import examples
from tests.reconciliation.builders import FRI, MON, Town, line
from tests.reconciliation.lives import ALIPAY, BILL_DAYS, DAYS, LIVES, WECHAT, Life, Programme, Walk, open_of

pytestmark = pytest.mark.django_db

CODES = {"pending clearing": "300101", "surplus": "224101", "shortage": "122101", "receivable": "112201"}
MERCHANTS = ("M-A", "M-B")


# --- what is drawn ----------------------------------------------------------------------------------------------------

a_channel = st.sampled_from([WECHAT, ALIPAY])
a_bill = st.tuples(a_channel, st.sampled_from(BILL_DAYS))
lives = st.lists(
    st.tuples(st.sampled_from(sorted(LIVES)), st.integers(0, 2), a_channel, st.integers(200, 99_999)),
    min_size=2,
    max_size=16,
)
programmes = st.builds(
    Programme,
    delays=st.dictionaries(a_bill, st.integers(1, 3), max_size=5),
    drafts=st.dictionaries(a_bill, st.tuples(st.integers(1, 255), st.booleans()), max_size=4),
    again=st.lists(st.tuples(st.sampled_from(DAYS), a_channel, st.sampled_from(DAYS)), max_size=4),
    backwards=st.booleans(),
)
decisions = st.lists(
    st.tuples(st.sampled_from(BILL_DAYS), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6
)


def profile(full: int) -> settings:
    """A failing programme is printed as drawn: shrinking takes minutes."""
    return settings(
        max_examples=examples(full),
        deadline=None,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


# --- what must hold ---------------------------------------------------------------------------------------------------


def suspense_is_what_is_open() -> None:
    """Surplus − shortage = Σd of the definite items, less what is claimed of fees (DOMAIN 4.5)."""
    for contract in ChannelContract.objects.all():
        items = OpenItem.objects.filter(contract=contract, state=ItemState.DEFINITE)
        expected = sum(d - claim for d, claim in items.values_list("d", "fee_claim"))
        balances = balances_of(contract)
        assert balances["surplus"] - balances["shortage"] == expected, contract.code


def ends_as_told(walk: Walk) -> None:
    """The books as the lives alone would have them, whatever way led here."""
    for channel, contract in walk.contracts.items():
        mine = [it for it in walk.lives if it.channel == channel]
        assert open_of(contract) == {key: d for it in mine for key, d in it.open.items()}
        left = [d for it in mine for d in it.open.values()]
        assert balances_of(contract) == {
            "pending clearing": 0,
            "surplus": sum(d for d in left if d > 0),
            "shortage": -sum(d for d in left if d < 0) + sum(it.claim for it in mine),
            "receivable": settled_by(walk, channel),
        }
    for merchant in MERCHANTS:
        told = sum(it.pending for it in walk.lives if it.merchant == merchant)
        assert (pending(merchant), in_flight(merchant)) == (told, 0)


def running_again_changes_nothing(walk: Walk) -> None:
    """Every day once more: no voucher, the same balances, the same items."""
    before = vouchers(), money(), items()
    walk.run_all_again()
    assert (vouchers(), money(), items()) == before


def items() -> list[tuple[Any, ...]]:
    return list(OpenItem.objects.order_by("pk").values_list("pk", "result", "state", "d", "first_date", "cleared_date"))


def settled_by(walk: Walk, channel: str) -> int:
    """What the final bills of a channel say it pays us, minor units."""
    contract = walk.contracts[channel]
    bills = [lines for (code, _day), lines in walk.bills.items() if code == channel]
    return sum(entry.row(1, contract).settled_amount for lines in bills for entry in lines)


def balances_of(contract: ChannelContract) -> dict[str, int]:
    return {name: balance_of(code, "channel", contract.code) for name, code in CODES.items()}


def pending(merchant: str) -> int:
    return balance_of("220201", "merchant", merchant)


def in_flight(merchant: str) -> int:
    return balance_of("220203", "merchant", merchant)


def money() -> dict[tuple[str, str], int]:
    """Every account that is not at zero."""
    return {(a.subject.code, a.owner_no): a.balance for a in Account.objects.select_related("subject") if a.balance}


def vouchers() -> int:
    return Voucher.objects.in_range(*id_range(MON, FRI + dt.timedelta(days=1))).count()


def told(run: ReconRun) -> Any:
    """Everything a run says, without what names the run itself."""
    rows = run.result_rows.order_by("kind", "match_key", "d").values_list("kind", "match_key", "d", "own_amount")
    return run.contract_id, run.channel_date, run.totals, run.results, run.equation, run.matched_count, list(rows)


# --- everything in time -----------------------------------------------------------------------------------------------


def every_life() -> list[Life]:
    """Each life once per channel; the day changes from one to the next."""
    drawn = [(name, n % 3, channel, 10_000 + n) for n, name in enumerate(sorted(LIVES)) for channel in (WECHAT, ALIPAY)]
    return Life.all_of(drawn)


def test_every_planted_difference_is_found_as_what_it_is_and_nothing_else_is(town: Town) -> None:
    walk = Walk(town, every_life(), Programme())
    walk.after_run = suspense_is_what_is_open
    walk.play()
    ends_as_told(walk)


def test_a_repeated_run_books_no_voucher_and_tells_the_same(town: Town) -> None:
    walk = Walk(town, every_life(), Programme())
    walk.play()
    running_again_changes_nothing(walk)
    before = [told(run) for run in ReconRun.objects.filter(is_current=True)]
    running_again_changes_nothing(walk)
    assert [told(run) for run in ReconRun.objects.filter(is_current=True)] == before


def test_what_is_open_after_t_plus_2_has_been_escalated_and_nothing_else(town: Town) -> None:
    walk = Walk(town, every_life(), Programme())
    walk.play()
    late = OpenItem.objects.filter(state=ItemState.DEFINITE, first_date__lte=FRI - dt.timedelta(days=2))
    escalated = Discrepancy.objects.filter(escalated_at__isnull=False, state="open")
    assert set(escalated.values_list("pk", flat=True)) == set(late.values_list("case", flat=True))


# --- everything in any order ------------------------------------------------------------------------------------------


@given(drawn=lives, programme=programmes)
@profile(8)
def test_late_and_corrected_files_leave_nothing_of_their_lateness(town: Town, drawn: Any, programme: Programme) -> None:
    with transaction.atomic():
        walk = Walk(town, Life.all_of(drawn), programme)
        walk.after_run = suspense_is_what_is_open
        walk.play()
        ends_as_told(walk)
        running_again_changes_nothing(walk)
        transaction.set_rollback(True)


# --- with people deciding in between ----------------------------------------------------------------------------------


class Office:
    """Alice proposes and Bob approves something about a case, of the mornings' open ones."""

    def __init__(self, walk: Walk, alice: Any, bob: Any, decisions: list[tuple[dt.date, int, int]]) -> None:
        self.walk, self.alice, self.bob, self.decisions = walk, alice, bob, decisions

    def morning(self, day: dt.date) -> None:
        for when, which, choice in self.decisions:
            waiting = list(Discrepancy.objects.filter(state="open").exclude(suspense=0).order_by("pk"))
            if when == day and waiting:
                self.decide(day, waiting[which % len(waiting)], choice)

    def decide(self, day: dt.date, case: Discrepancy, choice: int) -> None:
        kinds = [kind for kind in allowed_actions(case) if kind != "wait"]
        kind = kinds[choice % len(kinds)]
        # A line nobody knows names no merchant; people find out whose it is.
        known = case.merchant_id is not None or kind in ("loss", "income")
        params = {} if known else {"merchant_no": MERCHANTS[choice % 2]}
        action = action_propose(case_id=case.pk, kind=kind, params=params, user=self.alice, note="n")
        request_approve(request_id=action.approval_id, checker=self.bob)
        action.refresh_from_db()
        if kind == "refund_payer":
            self.take_refund(day + dt.timedelta(days=1), Transaction.objects.get(pk=action.transaction_id))

    def take_refund(self, day: dt.date, refund: Transaction) -> None:
        """The channel takes the refund on the next day."""
        taken = line(refund.match_key, day, "11:00:00", refund.amount, kind="refund")
        self.walk.bills[refund.contract.code, day].append(taken)


@given(drawn=lives, programme=programmes, decided=decisions)
@profile(6)
def test_what_people_decided_stays_and_no_cent_is_lost_over_it(
    town: Town, alice: Any, bob: Any, drawn: Any, programme: Programme, decided: Any
) -> None:
    with transaction.atomic():
        walk = Walk(town, Life.all_of(drawn), programme)
        walk.after_run = suspense_is_what_is_open
        walk.morning = Office(walk, alice, bob, decided).morning
        walk.play()
        for channel, contract in walk.contracts.items():
            assert balances_of(contract)["receivable"] == settled_by(walk, channel)
        assert [in_flight(merchant) for merchant in MERCHANTS] == [0, 0]
        booked = CaseAction.objects.filter(state="booked")
        assert booked.count() == booked.values("voucher_id").distinct().count()
        running_again_changes_nothing(walk)
        transaction.set_rollback(True)
