"""What pages about configuration need to be shown: a freeze, a frozen customer, a deduction, a mapped format."""

from __future__ import annotations

from payops.accounts import services
from payops.accounts.choices import Event
from payops.accounts.models import Account, Deduction, Freeze
from payops.accounts.selectors import open_day
from payops.approvals.services import request_approve
from payops.channels.bills.selectors import line_range
from payops.channels.mapping.approval import mapping_propose
from payops.channels.models import BankAccount, BillLine, FormatMapping
from payops.identity.models import User
from payops.merchants.models import CustomerFreeze, Merchant
from payops.merchants.restrictions import customer_freeze
from payops.orders.models import Transaction
from payops.orders.selectors import own_window
from payops.reconciliation.models import BankRule, MatchGroup, MatchMember, ReconRun


def settlement(position: int = 0) -> Account:
    """The settlement account of one of the merchants."""
    return Account.objects.filter(subject__code="220202").order_by("owner_no")[position]


def freeze(amount: int = 12_345) -> Freeze:
    """A court's slip, partly released."""
    slip = services.freeze_place(
        account=settlement(),
        amount=amount,
        reason="Order of the court",
        source_kind="court_order",
        source_id="(2026) 7",
        created_by="alice",
    )
    return services.freeze_release(freeze=slip, amount=2_345, reason="Partly lifted", released_by="alice")


def customer_frozen() -> CustomerFreeze:
    """The first merchant's customer, frozen."""
    merchant = Merchant.objects.select_related("customer").order_by("pk").first()
    order, _accounts = customer_freeze(
        customer=merchant.customer,
        status="judicial",
        reason="Order of the court",
        document="(2026) 8",
        placed_by="alice",
    )
    return order


def deduction(amount: int = 10**9) -> Deduction:
    """More than the merchant has: the rest waits on a slip."""
    account = settlement()
    return services.deduct(
        account=account,
        amount=amount,
        event=Event.RECOVERY_COLLECTED,
        variable="D",
        owners={"merchant": account.owner_no},
        source_kind="case",
        source_id=1,
        business_date=open_day(),
        reason="Chargeback",
        created_by="alice",
    )


__all__ = ["customer_frozen", "deduction", "freeze", "settlement"]


def bank_rule() -> BankRule:
    """Interest on the reserve account."""
    return BankRule.objects.create(
        bank_account=BankAccount.objects.filter(kind="reserve").order_by("pk").first(),
        name="Interest",
        priority=10,
        direction="in",
        memo_pattern="Interest",
        kind="interest",
        made_by="alice",
        approval_id=1,
    )


def mapping() -> FormatMapping:
    """A mapped format of two people."""
    from tests.channels.test_generic import SPEC

    alice, bob = (User.objects.get(username=name) for name in ("alice", "bob"))
    sample = {"name": "sample.csv", "sha256": "0" * 64, "lines": 2, "bad": 0, "proven": True, "refused": ""}
    proposal = mapping_propose(
        code="newpay", name="New Pay", spec=SPEC, sample=sample, reason="New channel.", maker=alice
    )
    request_approve(request_id=proposal.pk, checker=bob)
    return FormatMapping.objects.get(approval=proposal)


def match_group() -> MatchGroup:
    """A payment and its line claimed by hand, as a request would have it."""
    run = ReconRun.objects.filter(is_current=True).order_by("pk").first()
    own = Transaction.objects.in_range(*own_window(run.channel_date)).filter(
        contract=run.contract, own_date=run.channel_date, kind=1, effective_at__isnull=False
    )
    lines = BillLine.objects.in_range(*line_range(run.file)).filter(kind=1)
    keys = {line.match_key: line for line in lines}
    row = next(row for row in own if row.match_key in keys and row.amount == keys[row.match_key].amount)
    group = MatchGroup.objects.create(
        contract=run.contract,
        kind="by_hand",
        own_amount=row.amount,
        channel_amount=row.amount,
        difference=0,
        approval_id=1,
        made_by="alice",
    )
    sides = (("own", row.pk), ("channel", keys[row.match_key].pk))
    MatchMember.objects.bulk_create(
        [MatchMember(group=group, side=side, row_id=row_id, amount=row.amount) for side, row_id in sides]
    )
    return group
