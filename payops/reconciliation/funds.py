"""Fund reconciliation (DOMAIN 7.4): what each line of the reserve accounts' statements is, and whether the money a
channel owes for a day has come.

A line is claimed by a conditional update in the transaction that books it, so a killed or doubled run books nothing
twice. Settlement stands above this app: it announces the movements it expects as `ExpectedMovement` rows and registers
what a payout's bank lines mean to it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Voucher
from payops.accounts.posting import Posting
from payops.channels.choices import BankAccountKind, BankLineKind, BankLineState
from payops.channels.models import BankLine, ChannelContract
from payops.core.business_days import add_working_days
from payops.core.errors import PayopsError
from payops.core.money import format_amount
from payops.discrepancies.choices import CaseKind, CaseState
from payops.discrepancies.models import Discrepancy
from payops.discrepancies.services import case_auto_clear, case_open, case_suspense_set
from payops.reconciliation.choices import ReceiptState, RunState
from payops.reconciliation.models import ChannelReceipt, ExpectedMovement, ReceiptDifference, ReconRun

LINE_SOURCE: Final = "bank_line"
DIFFERENCE_SOURCE: Final = "receipt_difference"
PAYOUT: Final = "payout"
RETURN: Final = "return"
_MEMO: Final = re.compile(r"\s*(?P<word>PAYOUT|RETURN)\s+(?P<number>[A-Za-z0-9_-]{1,40})\b", re.ASCII)
# What concerns one line or channel only and must not keep the others from being booked.
_ONE_LINE_FAULTS: Final = ("ledger.no_account", "ledger.account_closed", "business_days.not_seeded")

Handler = Callable[[str, BankLine], bool | None]
_handlers: dict[str, Handler] = {}


def register_return_handler(handler: Handler) -> None:
    """`handler(payout_no, bank_line)` books the return of a payout, once, inside the line's transaction.

    It answers False when the payout cannot have come back; the line is unidentified then.
    """
    _handlers[RETURN] = handler


def register_payout_handler(handler: Handler) -> None:
    """`handler(payout_no, bank_line)` learns that a payout left our account; the same rules as for a return."""
    _handlers[PAYOUT] = handler


# --- lines ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rule:
    """A contract's receipt pattern, compiled."""

    contract: ChannelContract
    pattern: re.Pattern[str]


def funds_match(*, username: str = "system", open_day: dt.date | None = None) -> dict[str, Any]:
    """Identify and book every new line of the reserve accounts, in the order of the statements; returns counts.

    A channel's settlement is booked RECEIPT, a payout or a return is compared with what settlement expects, anything
    else goes to suspense with a case (DOMAIN 4.5). Each line is a transaction of its own; `open_day` is the accounting
    day to book on, by default the open one. A line whose channel has no usable account is left new and listed.
    """
    rules = _rules()
    counts: Counter[str] = Counter()
    received = 0
    failed: list[dict[str, Any]] = []
    lines = BankLine.objects.filter(state=BankLineState.NEW, bank_account__kind=BankAccountKind.RESERVE)
    for line_id in list(lines.order_by("value_date", "id").values_list("id", flat=True)):
        try:
            line = _line_take(line_id, rules, username, open_day)
        except PayopsError as error:
            if error.code not in _ONE_LINE_FAULTS:
                raise
            failed.append({"bank_line": line_id, "code": error.code, "message": str(error)})
            continue
        if line is not None:
            counts[line.kind] += 1
            received += line.amount if line.kind == BankLineKind.SETTLEMENT else 0
    return {
        "lines": counts.total(),
        "settlements": counts[BankLineKind.SETTLEMENT],
        "settlement_amount": received,
        "payouts": counts[BankLineKind.PAYOUT],
        "returns": counts[BankLineKind.RETURN],
        "unidentified": counts[BankLineKind.OTHER],
        "failed": failed,
    }


def _rules() -> dict[int, list[_Rule]]:
    """Receipt patterns by bank account; the longest first, because it is the most particular."""
    rules: dict[int, list[_Rule]] = {}
    for contract in ChannelContract.objects.exclude(receipt_pattern="").order_by("code"):
        rules.setdefault(contract.reserve_account_id, []).append(_Rule(contract, re.compile(contract.receipt_pattern)))
    for of_account in rules.values():
        of_account.sort(key=lambda rule: -len(rule.pattern.pattern))
    return rules


@transaction.atomic
def _line_take(line_id: int, rules: dict[int, list[_Rule]], username: str, open_day: dt.date | None) -> BankLine | None:
    """Book one line, or None when somebody else has it already."""
    claimed = BankLine.objects.filter(pk=line_id, state=BankLineState.NEW).update(state=BankLineState.MATCHED)
    if not claimed:
        return None
    line = BankLine.objects.select_related("bank_account").get(pk=line_id)
    found = _settlement_of(line, rules.get(line.bank_account_id, ()))
    if found is not None:
        _receipt_book(line, *found, username, open_day)
    elif not _movement_take(line):
        _unidentified_book(line, username, open_day)
    line.save(update_fields=["state", "kind", "contract", "channel_date", "payout_no", "voucher_id"])
    return line


def _settlement_of(line: BankLine, rules: Iterable[_Rule]) -> tuple[ChannelContract, dt.date] | None:
    text = f"{line.counterparty} {line.memo}"
    for rule in rules:
        match = rule.pattern.search(text)
        if match is None or line.currency != rule.contract.currency:
            continue
        try:
            return rule.contract, _compact_date(match["date"] or "")
        except ValueError:
            continue
    return None


def _compact_date(text: str) -> dt.date:
    """20261113 as a date; ValueError for anything else."""
    if len(text) != 8 or not text.isascii() or not text.isdigit():
        raise ValueError(text)
    return dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))


def _receipt_book(
    line: BankLine, contract: ChannelContract, channel_date: dt.date, username: str, open_day: dt.date | None
) -> None:
    receipt = _receipt_of(contract, channel_date)
    ChannelReceipt.objects.filter(pk=receipt.pk).update(received=F("received") + line.amount)
    owners = {"channel": contract.code, "bank": line.bank_account.code}
    voucher = _post_line(Event.RECEIPT, line, line.amount, owners, username, open_day)
    line.kind, line.contract, line.channel_date = BankLineKind.SETTLEMENT, contract, channel_date
    line.voucher_id = voucher.pk if voucher else None


def _receipt_of(contract: ChannelContract, channel_date: dt.date) -> ChannelReceipt:
    receipt, _created = ChannelReceipt.objects.get_or_create(
        contract=contract,
        channel_date=channel_date,
        defaults={"due_date": add_working_days(channel_date, contract.settle_days)},
    )
    return receipt


def _movement_take(line: BankLine) -> bool:
    """Match a payout or a returned payout with what settlement expects; False when nothing of the kind is expected."""
    match = _MEMO.match(line.memo)
    if match is None:
        return False
    kind, number = match["word"].lower(), match["number"]
    if (kind == PAYOUT) != (line.amount < 0):
        return False
    if kind == RETURN:
        _return_expect(line, number)
    expected = ExpectedMovement.objects.filter(
        reference=number, kind=kind, amount=line.amount, bank_account=line.bank_account, bank_line_id=None
    ).update(bank_line_id=line.pk)
    if not expected:
        return False
    handler = _handlers.get(kind)
    if handler is not None and handler(number, line) is False:
        ExpectedMovement.objects.filter(reference=number, kind=kind).update(bank_line_id=None)
        return False
    line.kind, line.payout_no = BankLineKind(kind), number
    return True


def _return_expect(line: BankLine, number: str) -> None:
    """The bank line may be the first to tell of a return: the payout itself is what makes it expected."""
    paid = ExpectedMovement.objects.filter(
        reference=number, kind=PAYOUT, amount=-line.amount, bank_account=line.bank_account
    )
    if paid.exists():
        ExpectedMovement.objects.get_or_create(
            reference=number,
            kind=RETURN,
            defaults={
                "bank_account": line.bank_account,
                "amount": line.amount,
                "expected_on": line.value_date,
            },
        )


def _unidentified_book(line: BankLine, username: str, open_day: dt.date | None) -> None:
    event = Event.UNIDENTIFIED_CREDIT if line.amount > 0 else Event.UNIDENTIFIED_DEBIT
    voucher = _post_line(event, line, abs(line.amount), {"bank": line.bank_account.code}, username, open_day)
    line.state, line.kind = BankLineState.UNIDENTIFIED, BankLineKind.OTHER
    line.voucher_id = voucher.pk if voucher else None
    case_open(
        dedupe_key=f"bank:{line.pk}",
        kind=CaseKind.BANK,
        amount=line.amount,
        suspense=line.amount,
        currency=line.currency,
        business_date=line.value_date,
        bank_account=line.bank_account,
        bank_line_id=line.pk,
        evidence={
            "own": None,
            "channel": None,
            "bank": {
                "reference": line.reference,
                "value_date": line.value_date.isoformat(),
                "counterparty": line.counterparty,
                "memo": line.memo,
                "amount": line.amount,
            },
        },
    )


def _post_line(
    event: Event, line: BankLine, amount: int, owners: dict[str, str], username: str, open_day: dt.date | None
) -> Voucher | None:
    return ledger.post(
        Posting(
            event=event,
            source_kind=LINE_SOURCE,
            source_id=line.pk,
            amounts={"R": amount},
            owners=owners,
            business_date=line.value_date,
            currency=line.currency,
            memo=f"{line.reference} {line.memo}",
        ),
        day=open_day,
        posted_by=username,
    )


# --- channel days -----------------------------------------------------------------------------------------------------


@transaction.atomic
def receipt_due_set(*, contract: ChannelContract, channel_date: dt.date, due: int) -> ChannelReceipt:
    """What the bill of a day says the channel owes us (minor units, Σ settled amount); called by every run.

    The money is due on the n-th working day after the channel date. Books nothing; `funds_check` compares.
    """
    receipt = _receipt_of(contract, channel_date)
    ChannelReceipt.objects.filter(pk=receipt.pk).update(
        due=due, due_date=add_working_days(channel_date, contract.settle_days)
    )
    receipt.refresh_from_db()
    return receipt


def funds_check(*, day: dt.date, username: str = "system", open_day: dt.date | None = None) -> dict[str, Any]:
    """Compare what each channel owes with what the bank received, as of `day` (the open accounting day).

    Too much is a difference at once, too little only from the due date on. Only the change against what is booked is
    booked; money that comes later books the opposite and clears the case. A day without a finished run has no known
    due amount and waits. Returns counts and the sums now in suspense.
    """
    counts: Counter[str] = Counter()
    changed = 0
    failed: list[dict[str, Any]] = []
    for receipt_id in _undecided().values_list("id", flat=True):
        try:
            state, delta = _checked(receipt_id, day, username, open_day)
        except PayopsError as error:
            if error.code not in _ONE_LINE_FAULTS:
                raise
            failed.append({"receipt": receipt_id, "code": error.code, "message": str(error)})
            continue
        counts[state] += 1
        changed += delta != 0
    booked = ChannelReceipt.objects.exclude(short_booked=0).values_list("short_booked", flat=True)
    return {
        "checked": counts.total(),
        "agreed": counts[ReceiptState.AGREED],
        "different": counts[ReceiptState.DIFFERENT],
        "waiting": counts[ReceiptState.WAITING],
        "booked": changed,
        "short": sum(amount for amount in booked if amount > 0),
        "over": -sum(amount for amount in booked if amount < 0),
        "failed": failed,
    }


def _undecided() -> QuerySet[ChannelReceipt]:
    """Receipts whose comparison may come out differently than it is stored."""
    return ChannelReceipt.objects.filter(
        ~Q(due=F("received") + F("short_booked")) | Q(state=ReceiptState.WAITING)
    ).order_by("channel_date", "id")


def _checked(receipt_id: int, day: dt.date, username: str, open_day: dt.date | None) -> tuple[ReceiptState, int]:
    """`_receipt_check`, again if an action resolved the case between its reading and its change."""
    try:
        return _receipt_check(receipt_id, day, username, open_day)
    except PayopsError as error:
        if error.code != "discrepancies.already_resolved":
            raise
        return _receipt_check(receipt_id, day, username, open_day)


@transaction.atomic
def _receipt_check(receipt_id: int, day: dt.date, username: str, open_day: dt.date | None) -> tuple[ReceiptState, int]:
    """The receipt's new state and the change of what is booked as its difference."""
    run = ReconRun.objects.filter(
        contract=OuterRef("contract"), channel_date=OuterRef("channel_date"), is_current=True, state=RunState.COMPLETE
    )
    receipt = (
        ChannelReceipt.objects.select_for_update(of=("self",), no_key=True)
        .select_related("contract", "case")
        .annotate(due_known=Exists(run))
        .get(pk=receipt_id)
    )
    if not receipt.due_known:
        return ReceiptState.WAITING, 0
    short = receipt.due - receipt.received
    # Money still to come (or to be paid by us, on a day of refunds) is awaited; money beyond what is due is not. What
    # was once booked as short stays booked until money comes, even if an earlier day is checked again.
    awaited = short * receipt.due > 0 and short * receipt.short_booked <= 0
    too_early = awaited and day < receipt.due_date
    target = 0 if too_early else short
    delta = target - receipt.short_booked
    if delta:
        _difference_book(receipt, delta, username, open_day)
    receipt.short_booked = target
    receipt.state = _state(short, target)
    receipt.save(update_fields=["short_booked", "state", "case"])
    return receipt.state, delta


def _state(short: int, booked: int) -> ReceiptState:
    if short == 0:
        return ReceiptState.AGREED
    return ReceiptState.DIFFERENT if booked else ReceiptState.WAITING


def _difference_book(receipt: ChannelReceipt, delta: int, username: str, open_day: dt.date | None) -> None:
    """Book the change and keep the case's suspense equal to what is in the suspense accounts.

    A shortage that an action resolved (a loss accepted) is gone from suspense: money coming after it is a surplus, and
    a case of its own.
    """
    case = receipt.case
    before = case.suspense if case is not None else 0
    after = before - delta
    for event, change in (
        (Event.RECEIPT_SHORT, max(-after, 0) - max(-before, 0)),
        (Event.RECEIPT_OVER, max(after, 0) - max(before, 0)),
    ):
        if change:
            _difference_post(receipt, event, change, username, open_day)
    _case_follow(receipt, after)


def _difference_post(
    receipt: ChannelReceipt, event: Event, change: int, username: str, open_day: dt.date | None
) -> None:
    difference = ReceiptDifference.objects.create(
        receipt=receipt, amount=change if event == Event.RECEIPT_SHORT else -change
    )
    voucher = ledger.post(
        Posting(
            event=event,
            source_kind=DIFFERENCE_SOURCE,
            source_id=difference.pk,
            amounts={"D": change},
            owners={"channel": receipt.contract.code},
            business_date=receipt.channel_date,
            currency=receipt.contract.currency,
            memo=f"{receipt.contract.code} {receipt.channel_date}",
        ),
        day=open_day,
        posted_by=username,
    )
    difference.voucher_id = voucher.pk if voucher else None
    difference.save(update_fields=["voucher_id"])


def _case_follow(receipt: ChannelReceipt, suspense: int) -> None:
    """Open, change or clear the receipt's case so that it remembers `suspense` (minor units, + surplus)."""
    case = receipt.case
    note = _("Due %(due)s, received %(received)s.") % {
        "due": format_amount(receipt.due, receipt.contract.currency),
        "received": format_amount(receipt.received, receipt.contract.currency),
    }
    if case is not None and case.is_open:
        if suspense == 0:
            case_auto_clear(case_id=case.pk, note=note)
        else:
            case_suspense_set(case_id=case.pk, suspense=suspense, amount=suspense, note=note)
    elif suspense:
        receipt.case = case_open(
            dedupe_key=_case_key(receipt, case),
            kind=CaseKind.RECEIPT,
            amount=suspense,
            suspense=suspense,
            currency=receipt.contract.currency,
            business_date=receipt.channel_date,
            contract=receipt.contract,
            evidence={
                "own": None,
                "channel": None,
                "receipt": {
                    "due": receipt.due,
                    "received": receipt.received,
                    "due_date": receipt.due_date.isoformat(),
                },
            },
        )


def _case_key(receipt: ChannelReceipt, case: Discrepancy | None) -> str:
    """A cleared case is opened again under its key; after one closed by an action a new one begins."""
    if case is None:
        return f"receipt:{receipt.pk}"
    return f"receipt:{receipt.pk}:{case.pk}" if case.state == CaseState.CLOSED else case.dedupe_key


# --- what is missing at the bank --------------------------------------------------------------------------------------


def movements_overdue(*, day: dt.date) -> QuerySet[ExpectedMovement]:
    """Movements settlement expected before `day` that no bank line has shown yet."""
    return ExpectedMovement.objects.filter(bank_line_id=None, expected_on__lt=day).order_by("expected_on", "id")
