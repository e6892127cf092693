"""Putting sheets into payout batches, and finding out first which of them cannot be paid.

A batch holds new payouts of sheets that are ready, and second attempts (补打款) of sheets whose payout failed by the
bank's fault: their money is in flight already, so nothing is booked for them again. Both need the same approval.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from payops.accounts import selectors as balances
from payops.accounts.choices import Event, OwnerKind
from payops.approvals.services import request_submit
from payops.channels.choices import BankAccountKind
from payops.channels.models import BankAccount
from payops.core import audit
from payops.core.errors import PayopsError
from payops.core.locks import xact_lock
from payops.core.money import amount_in_capitals, format_amount
from payops.identity.models import User
from payops.merchants.models import AccountState, MerchantStatus, SettlementAccount
from payops.settlement.choices import PayoutState, SheetState
from payops.settlement.models import Payout, PayoutBatch, PayoutEvent, SettlementSheet
from payops.settlement.payouts.history import DEAD, SYSTEM, payout_note, payout_post, sheet_move
from payops.settlement.payouts.results import numbers_debited_all_the_same

ACTION: Final = "settlement.payout_batch"
TARGET_KIND: Final = "settlement.payoutbatch"
BRANCH_CODE_ABOVE: Final = 5_000_000
"""Above 50,000.00 a bank wants the branch code (联行号) of the payee's bank; minor units."""
RESERVE_SUBJECT: Final = "100201"
LOCK: Final = "settlement.payouts"
CURRENCY: Final = "CNY"
BATCH_LIMIT: Final = 10_000


def payout_batch_create(*, day: dt.date, maker: User, bank_account: BankAccount | None = None) -> PayoutBatch | None:
    """Put what is payable after accounting date `day` into one batch and ask for its approval; None when nothing is.

    Takes ready sheets with a pay date up to the day after `day`, and sheets whose payout failed by the bank's fault.
    Sheets that cannot be paid (merchant held, account missing or flagged, branch code missing) are held first, with
    the reason in the audit log. `bank_account`: a reserve account, by default the one that holds most. A second attempt
    leaves from the account of the first unless a person names another: where that is not the default, a batch of its
    own is made, and the next call takes the rest. Raises PayopsError 'payouts.not_allowed', 'payouts.no_bank_account'.
    """
    if not maker.may("payouts.propose"):
        raise PayopsError(
            "payouts.not_allowed",
            _("%(user)s may not propose payouts (payouts.propose is missing).") % {"user": maker.username},
            {"username": maker.username},
        )
    with transaction.atomic():
        xact_lock(LOCK, "batch")
        sheets_hold_unpayable(day=day, username=maker.username)
        sheets = list(_candidates(day)[:BATCH_LIMIT])
        if not sheets:
            return None
        account = bank_account
        if account is None:
            account, sheets = _without_changing_banks(sheets, _default_account())
        batch = _insert(sheets, day + dt.timedelta(days=1), account, maker)
        batch.approval = request_submit(
            action=ACTION,
            target_kind=TARGET_KIND,
            target_id=batch.pk,
            payload={"batch_no": batch.batch_no, "count": batch.count, "amount": batch.amount},
            amount=batch.amount,
            currency=CURRENCY,
            title=batch_title(batch),
            reason=_("Payouts of %(day)s") % {"day": batch.pay_date},
            maker=maker,
        )
        batch.save(update_fields=["approval"])
    return batch


def batch_title(batch: PayoutBatch) -> str:
    """What finance approves, in figures and capitals."""
    return _("Payout batch %(batch)s: %(count)d payouts, %(amount)s %(currency)s (%(capitals)s)") % {
        "batch": batch.batch_no,
        "count": batch.count,
        "amount": format_amount(batch.amount, CURRENCY),
        "currency": CURRENCY,
        "capitals": amount_in_capitals(batch.amount),
    }


@transaction.atomic
def sheets_hold_unpayable(*, day: dt.date, username: str = SYSTEM) -> list[dict[str, Any]]:
    """Hold the sheets due after `day` that cannot be paid; returns them with the reason. Repeating finds none.

    A ready sheet is carried to the merchant's next one. Where a first payout has already failed the money comes back
    to the settlement account, because nobody can send it again.
    """
    held = []
    sheets = list(_candidates(day))
    accounts = _accounts_in_use(sheets)
    for sheet in sheets:
        code, reason = unpayable(sheet, accounts.get(sheet.merchant_id))
        if not code:
            continue
        _hold(sheet, reason, username)
        audit.record(
            username=username,
            action="settlement.sheet_held",
            object_kind="settlement.settlementsheet",
            object_id=sheet.pk,
            detail={"sheet_no": sheet.sheet_no, "code": code, "reason": reason, "amount": sheet.payout_amount},
        )
        held.append({"sheet_no": sheet.sheet_no, "merchant_no": sheet.merchant.merchant_no, "code": code})
    return held


def unpayable(sheet: SettlementSheet, account: SettlementAccount | None) -> tuple[str, str]:
    """Why the sheet cannot be paid to `account` now, as code and sentence; two empty texts when it can."""
    if sheet.merchant.status == MerchantStatus.HELD:
        return "merchant_held", _("Settlement of the merchant is held.")
    if account is None:
        return "account_missing", _("The merchant has no settlement account.")
    if account.state != AccountState.ACTIVE:
        return "account_flagged", _("The settlement account is flagged; new account data are needed.")
    if sheet.payout_amount > BRANCH_CODE_ABOVE and not account.branch_code:
        return "branch_code_missing", _("Above %(limit)s the branch code of the account's bank is needed.") % {
            "limit": format_amount(BRANCH_CODE_ABOVE, CURRENCY)
        }
    return "", ""


def _candidates(day: dt.date) -> QuerySet[SettlementSheet]:
    """Sheets to be paid now that have no payout on its way, in the order of merchants; locked."""
    live = Payout.objects.filter(sheet=OuterRef("pk")).exclude(state__in=DEAD)
    # Neither paid again nor given back to the merchant while it looks as if the bank had paid after all.
    debited = Payout.objects.filter(sheet=OuterRef("pk"), payout_no__in=numbers_debited_all_the_same())
    return (
        SettlementSheet.objects.select_for_update(of=("self",), no_key=True)
        .select_related("merchant")
        .filter(
            Q(state=SheetState.READY, payout_amount__gt=0) | Q(state=SheetState.IN_PAYMENT),
            ~Exists(live),
            ~Exists(debited),
            pay_date__lte=day + dt.timedelta(days=1),
        )
        .order_by("merchant__merchant_no", "id")
    )


def _hold(sheet: SettlementSheet, reason: str, username: str) -> None:
    if sheet.state == SheetState.READY:
        sheet_move(sheet.pk, (SheetState.READY,), SheetState.HELD, carry_out=sheet.payout_amount, payout_amount=0)
        return
    failed = (
        Payout.objects.filter(sheet=sheet, state=PayoutState.FAILED)
        .select_related("merchant", "batch__bank_account")
        .latest("id")
    )
    voucher = payout_post(failed, Event.PAYOUT_FAILED, username=username)
    payout_note(failed, username=username, note=reason, voucher=voucher)
    sheet_move(sheet.pk, (SheetState.IN_PAYMENT,), SheetState.FAILED, carry_out=failed.amount)


def _default_account() -> BankAccount:
    accounts = list(BankAccount.objects.filter(kind=BankAccountKind.RESERVE, currency=CURRENCY).order_by("code"))
    if not accounts:
        raise PayopsError(
            "payouts.no_bank_account",
            _("There is no reserve account in %(currency)s to pay from; set one up.") % {"currency": CURRENCY},
        )
    return max(accounts, key=lambda account: balances.balance_of(RESERVE_SUBJECT, OwnerKind.BANK, account.code))


def _without_changing_banks(
    sheets: list[SettlementSheet], default: BankAccount
) -> tuple[BankAccount, list[SettlementSheet]]:
    """Only a person sends a failed payout through another bank (DOMAIN 11.5): what the first one may have taken after
    all could not be told apart any more."""
    again = [sheet for sheet in sheets if sheet.state == SheetState.IN_PAYMENT]
    first = (
        Payout.objects.filter(sheet__in=again, state=PayoutState.FAILED)
        .order_by("sheet_id", "id")
        .distinct("sheet_id")
        .select_related("batch__bank_account")
    )
    bound = {payout.sheet_id: payout.batch.bank_account for payout in first}
    elsewhere = [account for account in bound.values() if account != default]
    if not elsewhere:
        return default, sheets
    return elsewhere[0], [sheet for sheet in sheets if bound.get(sheet.pk) == elsewhere[0]]


def _insert(sheets: list[SettlementSheet], pay_date: dt.date, account: BankAccount, maker: User) -> PayoutBatch:
    if account.kind != BankAccountKind.RESERVE:
        raise PayopsError(
            "payouts.not_a_reserve_account",
            _("Merchants are paid from customers' money; %(account)s is no reserve account.")
            % {"account": account.code},
            {"bank_account": account.code},
        )
    batch = PayoutBatch.objects.create(
        batch_no=_next_number("PB", pay_date, PayoutBatch.objects.all(), "batch_no", 3),
        pay_date=pay_date,
        bank_account=account,
        count=len(sheets),
        amount=sum(sheet.payout_amount for sheet in sheets),
    )
    former = _last_payouts(sheets)
    in_use = _accounts_in_use(sheets)
    first = int(_next_number("P", pay_date, Payout.objects.all(), "payout_no", 6)[-6:])
    payouts = Payout.objects.bulk_create(
        [
            Payout(
                payout_no=f"P{pay_date:%Y%m%d}{number:06d}",
                batch=batch,
                sheet=sheet,
                merchant=sheet.merchant,
                settlement_account=in_use[sheet.merchant_id],
                amount=sheet.payout_amount,
                currency=CURRENCY,
                previous=former.get(sheet.pk),
            )
            for number, sheet in enumerate(sheets, start=first)
        ]
    )
    PayoutEvent.objects.bulk_create(
        PayoutEvent(
            payout=payout,
            to_state=payout.state,
            username=maker.username,
            note=_("Again after %(number)s") % {"number": payout.previous.payout_no} if payout.previous else "",
        )
        for payout in payouts
    )
    return batch


def _next_number(prefix: str, pay_date: dt.date, rows: QuerySet[Any], field: str, digits: int) -> str:
    """The number after the day's last; the caller holds the lock under which all numbers are given."""
    start = f"{prefix}{pay_date:%Y%m%d}"
    last = rows.filter(**{f"{field}__startswith": start}).order_by(f"-{field}").values_list(field, flat=True).first()
    return f"{start}{int(last[len(start) :]) + 1 if last else 1:0{digits}d}"


def _last_payouts(sheets: list[SettlementSheet]) -> dict[int, Payout]:
    """The newest former payout per sheet, which the new one follows."""
    former = Payout.objects.filter(sheet__in=sheets).order_by("sheet_id", "-id").distinct("sheet_id")
    return {payout.sheet_id: payout for payout in former}


def _accounts_in_use(sheets: list[SettlementSheet]) -> dict[int, SettlementAccount]:
    """The account each merchant is paid to now, flagged or not."""
    accounts = SettlementAccount.objects.filter(merchant__in=[sheet.merchant_id for sheet in sheets]).exclude(
        state=AccountState.REPLACED
    )
    return {account.merchant_id: account for account in accounts}
