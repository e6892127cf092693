"""Every write to transactions (DOMAIN 5): intake, recovery of lost orders, supplements, refunds, watermarks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts import selectors as ledger
from payops.accounts import services as ledger_services
from payops.accounts.choices import Event
from payops.accounts.models import PostingKey
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.ids import DAY_STEP, day_floor, day_of
from payops.core.institution import get_institution, own_day
from payops.core.jobs import enqueue
from payops.core.models import JobRun
from payops.core.money import format_amount
from payops.core.storage import keep
from payops.merchants.models import Merchant, MerchantProduct
from payops.orders import sql
from payops.orders.choices import Kind, Origin, RefundSource, Status
from payops.orders.intake.load import transactions_load
from payops.orders.intake.rows import KIND_TEXTS, price
from payops.orders.models import ClearingWatermark, RefundTotal, Transaction
from payops.orders.returns import post_refund_failed, refund_return_create
from payops.orders.rows import open_list_sync, transaction_insert, transaction_locked, transaction_missing
from payops.orders.vouchers import post_missing, post_transactions

__all__ = [
    "LOAD_JOB",
    "Lost",
    "intake_enqueue",
    "post_missing",
    "refund_confirm_failed",
    "refund_return_create",
    "surplus_refund_create",
    "transaction_recover",
    "transaction_supplement",
    "transactions_fail_absent",
    "transactions_load",
    "transactions_recover",
    "watermark_set",
    "watermarks_set",
]

LOAD_JOB = "orders.load"
REVERSE = (Kind.REFUND, Kind.VOID)
ACCEPTED = (Event.REFUND_ACCEPTED_PENDING, Event.REFUND_ACCEPTED_SETTLEMENT)
NOT_RECOVERABLE = {"orders.already_succeeded", "orders.refund_above_paid", "orders.refund_already_failed"}
"""A lost order that cannot simply be set right (the refund no longer fits, its failure is booked) is a case."""
FAILED = (Event.REFUND_FAILED_PENDING, Event.REFUND_FAILED_SETTLEMENT, Event.SURPLUS_TO_PAYER)


def intake_enqueue(*, stream: BinaryIO, name: str, user: str) -> JobRun:
    """Keep an uploaded file and have a worker take it in; the job's result names the intake."""
    stored = keep(stream, name=name)
    return enqueue(LOAD_JOB, {"stored_path": stored.path, "name": name, "user": user}, created_by=user)


@dataclass(frozen=True, slots=True)
class Lost:
    """An order the channel's bill shows as succeeded: when, and under which number of the channel."""

    transaction_id: int
    occurred_at: dt.datetime
    trade_no: str = ""


def transaction_recover(
    *,
    transaction_id: int,
    occurred_at: dt.datetime,
    run_id: int,
    channel_trade_no: str = "",
    username: str = "system",
) -> Transaction:
    """A lost order: the channel's bill says it succeeded (DOMAIN 7.2). It counts from the open day, booked now.

    `occurred_at` is the channel's time. Raises PayopsError 'orders.already_succeeded' when it counts already,
    'orders.refund_above_paid' when a refund no longer fits its original, and 'orders.refund_already_failed' when its
    failure is booked; such a row is a case for people.
    """
    with transaction.atomic():
        row = transaction_locked(transaction_id)
        _take_up_again(row)
        _recover([Lost(row.pk, occurred_at, channel_trade_no)], run_id=run_id, username=username)
        row.refresh_from_db()
    return row


def transactions_recover(lost: Iterable[Lost], *, run_id: int, username: str = "system") -> dict[int, PayopsError]:
    """`transaction_recover` for many orders, each once, set-based; those that stay as they are, and why."""
    by_id: dict[int, Lost] = {}
    for order in lost:
        by_id.setdefault(order.transaction_id, order)
    refused: dict[int, PayopsError] = {}
    with transaction.atomic():
        # In one order, so that two runs over the same rows wait for each other instead of blocking each other.
        rows = Transaction.objects.select_for_update(no_key=True).filter(pk__in=list(by_id)).order_by("pk")
        for row in rows:
            try:
                _take_up_again(row)
            except PayopsError as error:
                if error.code not in NOT_RECOVERABLE:
                    raise
                refused[row.pk] = error
        _recover([order for pk, order in by_id.items() if pk not in refused], run_id=run_id, username=username)
    return refused


def _take_up_again(row: Transaction) -> None:
    """Refuse a row that counts already; a refund that had failed takes its part of the original again."""
    was_failed = row.status in (Status.FAILED, Status.CLOSED)
    if row.status == Status.SUCCEEDED or (was_failed and row.effective_at is not None):
        raise PayopsError(
            "orders.already_succeeded",
            _("Transaction %s counts already; nothing is to be recovered.") % row.transaction_no,
            {"transaction_id": str(row.pk)},
        )
    if row.kind in REVERSE and was_failed:
        _refund_count_again(row)


def _recover(lost: list[Lost], *, run_id: int, username: str) -> None:
    """Set locked rows succeeded, take them off the open list and post what they are due, day by day of their ids."""
    open_day, cut_off = ledger_services.open_day_hold(), get_institution().own_cut_off
    own_dates: dict[tuple[dt.date, dt.date], list[int]] = {}
    with connection.cursor() as cursor:
        for day in sorted({day_of(order.transaction_id) for order in lost}):
            orders = [order for order in lost if day_of(order.transaction_id) == day]
            rows = ((o.transaction_id, o.occurred_at, o.trade_no, own_day(o.occurred_at, cut_off)) for o in orders)
            columns = zip(*rows, strict=True)
            lo = day_floor(day)
            statement = sql.RECOVER_DAY.format(LO=lo, HI=lo + DAY_STEP)
            cursor.execute(statement, [run_id, open_day, *map(list, columns)])
            for pk, own_date in cursor.fetchall():
                own_dates.setdefault((day, own_date), []).append(pk)
    ids = sorted(pk for members in own_dates.values() for pk in members)
    open_list_sync(ids)
    post_transactions(
        [(min(members), max(members) + 1, own_date) for (_day, own_date), members in own_dates.items()],
        ids,
        posted_by=username,
    )


def _refund_count_again(row: Transaction) -> None:
    if PostingKey.objects.filter(event__in=FAILED, source_id=row.pk).exists():
        raise PayopsError(
            "orders.refund_already_failed",
            _("The failure of refund %s is booked already. Open a case instead.") % row.transaction_no,
            {"transaction_id": str(row.pk)},
        )
    if row.original_id is None:
        return
    try:
        with transaction.atomic():
            total = RefundTotal.objects.select_for_update(no_key=True).filter(pk=row.original_id).first()
            if total is None:
                original = Transaction.objects.filter(pk=row.original_id).first()
                if original is None:
                    raise transaction_missing(row.original_id)
                total = RefundTotal(original_id=original.pk, paid=original.amount)
            total.refunded += row.amount
            total.returned_fee -= row.fee
            total.returned_cost -= row.expected_cost
            total.save()
    except IntegrityError as error:
        raise PayopsError(
            "orders.refund_above_paid",
            _("Refund %(number)s of %(amount)s no longer fits what was paid. Open a case instead.")
            % {"number": row.transaction_no, "amount": format_amount(row.amount, row.currency)},
            {"transaction_id": str(row.pk)},
        ) from error


def transactions_fail_absent(ids: list[int]) -> int:
    """Rows not final and absent from the bill after the window → failed, without voucher (DOMAIN 7.2).

    Returns how many changed; rows that count or are final are left alone. Refunds give their part of the original
    free again.
    """
    changed: list[tuple[int, int, int | None, int, int, int]] = []
    with transaction.atomic(), connection.cursor() as cursor:
        for day in sorted({day_of(pk) for pk in ids}):
            lo = day_floor(day)
            cursor.execute(sql.FAIL_ABSENT_DAY.format(LO=lo, HI=lo + DAY_STEP), [list(ids)])
            changed.extend(cursor.fetchall())
        for _pk, kind, original_id, amount, fee, cost in changed:
            if kind in REVERSE and original_id is not None:
                _refund_release(original_id, amount, fee, cost)
        open_list_sync([row[0] for row in changed])
    return len(changed)


def _refund_release(original_id: int, amount: int, fee: int, cost: int) -> None:
    total = RefundTotal.objects.select_for_update(no_key=True).filter(pk=original_id).first()
    if total is not None:
        total.refunded -= amount
        total.returned_fee += fee
        total.returned_cost += cost
        total.save(update_fields=["refunded", "returned_fee", "returned_cost"])


@transaction.atomic
def transaction_supplement(
    *,
    contract: ChannelContract,
    merchant: Merchant,
    amount: int,
    kind: int = Kind.PAYMENT,
    match_key: str,
    occurred_at: dt.datetime,
    username: str,
    channel_trade_no: str = "",
    merchant_order_no: str = "",
    product: str = "",
    card_type: str = "",
    payer: str = "",
) -> Transaction:
    """A payment only the channel knew, taken into the books by a person's decision (补单): origin `supplement`.

    It counts on the open day and is cleared with it; its voucher is the case action's (surplus in suspense → merchant
    pending), so no payment voucher is made. `amount` in minor units of the contract's currency. `product` defaults to
    the merchant's only or first product; its fee rule on the open day applies.
    """
    deals = MerchantProduct.objects.filter(merchant=merchant).select_related("package").order_by("product")
    deal = deals.filter(product=product).first() if product else deals.first()
    if deal is None:
        raise PayopsError(
            "orders.unknown_product",
            _("Merchant %(merchant)s has no contract for product “%(product)s”. Add it first.")
            % {"merchant": merchant.merchant_no, "product": product},
            {"merchant": merchant.merchant_no, "product": product},
        )
    day = ledger_services.open_day_hold()
    fee, rule_id = price(
        package=deal.package.code,
        channel=contract.channel.code,
        product=deal.product,
        card_type=card_type,
        kind=KIND_TEXTS.get(int(kind), "payment"),
        currency=contract.currency,
        amount=amount,
        day=day,
    )
    return transaction_insert(
        prefix="SUP",
        day=day,
        kind=kind,
        status=Status.SUCCEEDED,
        contract=contract,
        merchant=merchant,
        own_date=day,
        business_date=own_day(occurred_at),
        match_key=match_key,
        channel_trade_no=channel_trade_no,
        merchant_order_no=merchant_order_no,
        product=deal.product,
        card_type=card_type,
        amount=amount,
        currency=contract.currency,
        fee=fee,
        fee_rule_id=rule_id,
        collection=deal.collection,
        origin=Origin.SUPPLEMENT,
        payer=payer,
        created_at=occurred_at,
        succeeded_at=occurred_at,
        effective_at=timezone.now(),
        extra={"supplemented_by": username},
    )


def surplus_refund_create(
    *,
    contract: ChannelContract,
    merchant: Merchant,
    amount: int,
    original_id: int | None = None,
    match_key: str = "",
    username: str,
) -> Transaction:
    """A refund to the payer of money found in surplus: processing until intake or the next bill finishes it.

    Its money is in flight already by the case action's voucher, so only the taking by the channel is still to be
    booked. It does not count until it succeeded, whatever the contract's refund date: nobody but us knows of it yet.
    It is outside Σ refunds ≤ paid, because it was never part of what the order paid. `match_key` defaults to its own
    number, which is then the request number at the channel.
    """
    day = ledger.open_day()
    now = timezone.now()
    with transaction.atomic():
        return transaction_insert(
            prefix="SRF",
            day=day,
            kind=Kind.REFUND,
            status=Status.PROCESSING,
            contract=contract,
            merchant=merchant,
            own_date=day,
            business_date=day,
            match_key=match_key,
            amount=amount,
            currency=contract.currency,
            original_id=original_id,
            refund_source=RefundSource.PENDING,
            origin=Origin.SURPLUS_REFUND,
            created_at=now,
            extra={"created_by": username},
        )


def refund_confirm_failed(transaction_id: int, *, username: str = "system") -> bool:
    """A pre-failed refund is confirmed by reconciliation: in flight → its source. False when nothing was in flight.

    Raises PayopsError 'orders.refund_not_failed' when the row is no failed refund or the channel had taken it.
    """
    with transaction.atomic():
        row = transaction_locked(transaction_id)
        if row.kind != Kind.REFUND or row.status not in (Status.FAILED, Status.CLOSED) or row.effective_at is not None:
            raise PayopsError(
                "orders.refund_not_failed",
                _("Transaction %s is not a refund that failed before the channel took it.") % row.transaction_no,
                {"transaction_id": str(row.pk)},
            )
        booked = set(
            PostingKey.objects.filter(event__in=(*ACCEPTED, *FAILED), source_id=row.pk).values_list("event", flat=True)
        )
        in_flight = row.origin == Origin.SURPLUS_REFUND or booked.intersection(ACCEPTED)
        if not in_flight or booked.intersection(FAILED):
            return False
        post_refund_failed(refund=row, username=username)
    return True


def watermark_set(*, merchant_id: int, contract_id: int, day: dt.date) -> ClearingWatermark:
    """Settlement says: this merchant's transactions of the contract are cleared up to `day`. Only moves forward."""
    with transaction.atomic():
        mark, created = ClearingWatermark.objects.select_for_update().get_or_create(
            merchant_id=merchant_id, contract_id=contract_id, defaults={"cleared_until": day}
        )
        if not created and mark.cleared_until < day:
            mark.cleared_until = day
            mark.save(update_fields=["cleared_until"])
    return mark


def watermarks_set(*, merchant_ids: Iterable[int], contract_id: int, day: dt.date) -> None:
    """The same for many merchants of one contract, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql.WATERMARKS_SET, [contract_id, day, sorted(merchant_ids)])
