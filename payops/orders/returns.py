"""Refunds that come back: the channel had taken them, then could not pay them out (DOMAIN 4.5, refund returned)."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from payops.accounts import services as ledger_services
from payops.accounts.choices import Event
from payops.accounts.posting import Posting
from payops.orders.choices import Kind, Origin, RefundSource, Status
from payops.orders.models import Transaction
from payops.orders.rows import transaction_insert, transaction_locked
from payops.orders.vouchers import SOURCE_KIND, post_transaction


def refund_return_create(*, transaction_id: int, username: str = "system") -> Transaction:
    """The movement that brings a taken refund back: today's own date, booked, the merchant credited again.

    `transaction_id` is the refund; it stays as it is, its return is a row of its own with the fee taken again.
    """
    with transaction.atomic():
        refund = transaction_locked(transaction_id)
        day = ledger_services.open_day_hold()
        now = timezone.now()
        returned = transaction_insert(
            prefix="RRN",
            day=day,
            kind=Kind.REFUND_RETURN,
            status=Status.SUCCEEDED,
            contract_id=refund.contract_id,
            merchant_id=refund.merchant_id,
            own_date=day,
            business_date=day,
            match_key=refund.match_key,
            channel_trade_no=refund.channel_trade_no,
            merchant_order_no=refund.merchant_order_no,
            product=refund.product,
            card_type=refund.card_type,
            amount=refund.amount,
            currency=refund.currency,
            fee=-refund.fee,
            fee_rule_id=refund.fee_rule_id,
            collection=refund.collection,
            expected_cost=-refund.expected_cost,
            cost_rule_id=refund.cost_rule_id,
            original_id=refund.pk,
            refund_source=refund.refund_source,
            origin=Origin.REFUND_RETURN,
            payer=refund.payer,
            created_at=now,
            succeeded_at=now,
            effective_at=now,
        )
        post_transaction(returned.pk, day, posted_by=username)
        post_refund_failed(refund=refund, username=username)
    return returned


def post_refund_failed(*, refund: Transaction, username: str) -> None:
    """Refunds in flight → where the refund's money came from."""
    contract = refund.contract
    amounts = {"A": refund.amount}
    if refund.origin == Origin.SURPLUS_REFUND:
        # It came out of suspense: the same voucher, the other way round.
        event, amounts = Event.SURPLUS_TO_PAYER, {"D": -refund.amount}
    elif refund.refund_source == RefundSource.SETTLEMENT:
        event = Event.REFUND_FAILED_SETTLEMENT
    else:
        event = Event.REFUND_FAILED_PENDING
    ledger_services.post(
        Posting(
            event=event,
            source_kind=SOURCE_KIND,
            source_id=refund.pk,
            amounts=amounts,
            owners={"merchant": refund.merchant.merchant_no, "channel": contract.code},
            business_date=refund.business_date,
            currency=refund.currency,
        ),
        posted_by=username,
    )
