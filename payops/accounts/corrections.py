"""Correcting a wrong voucher: which kind fits, what it books, proposing and booking it (DOMAIN 9).

A correction is planned before it is proposed and planned again before it is booked, by the same checks; the second
plan must be the one that was approved. The database refuses the same things once more (`guards_documents.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from payops.accounts.choices import CorrectionKind, DayState, DocumentState, Event, Side
from payops.accounts.documents import account_find, next_numbers
from payops.accounts.errors import guard_errors
from payops.accounts.guards_registers import KEPT_BY_REGISTERS, PENDING_CLEARING
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.models import (
    Account,
    AccountingDay,
    CorrectedEntry,
    Correction,
    CorrectionVoucher,
    Entry,
    PostingKey,
    Voucher,
)
from payops.accounts.posting import account_closed, open_accounting_day
from payops.accounts.selectors import voucher_entries
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import LARGE_AMOUNT, Description, register_action
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.core.ids import day_of
from payops.core.locks import xact_locks
from payops.core.money import format_amount
from payops.identity.models import User

ACTION: Final = "ledger.correction"
TARGET_KIND: Final = "voucher"
SOURCE_KIND: Final = "correction_voucher"
MAKER: Final = "ledger.correct"
CHECKER: Final = "adjustments.approve"
LOCK: Final = "accounts.correction"
EVENTS: Final = {
    CorrectionKind.SAME_DAY_WIPE: Event.CORRECTION_WIPE,
    CorrectionKind.SAME_DAY_REVERSAL: Event.CORRECTION_REVERSAL,
    CorrectionKind.NEXT_DAY: Event.CORRECTION_NEXT_DAY,
    CorrectionKind.RED_REVERSAL: Event.CORRECTION_RED_REVERSAL,
    CorrectionKind.PRIOR_YEAR: Event.CORRECTION_PRIOR_YEAR,
}
WHOLE_KINDS: Final = (CorrectionKind.SAME_DAY_REVERSAL, CorrectionKind.RED_REVERSAL)
SAME_DAY_KINDS: Final = (CorrectionKind.SAME_DAY_WIPE, CorrectionKind.SAME_DAY_REVERSAL)
LINES_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class RightLine:
    """Where money belongs: an account number (or subject and owner) and minor units > 0."""

    account: str
    amount: int


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """One line a correction will book; `takes_back` is the wrong entry it answers, None for a right line."""

    account_no: str
    side: str
    amount: int
    takes_back: int | None = None


@dataclass(frozen=True, slots=True)
class PlannedVoucher:
    """One voucher a correction will make, on which day, and for whole-chain kinds the voucher it cancels."""

    lines: tuple[PlannedLine, ...]
    day: dt.date
    business_date: dt.date
    reverses: int | None = None


@dataclass(frozen=True, slots=True)
class CorrectionPlan:
    """What a correction will do; `amount` is what it takes back, in minor units of one side."""

    kind: CorrectionKind
    voucher_id: int
    vouchers: tuple[PlannedVoucher, ...]
    amount: int
    currency: str

    def frozen(self) -> list[dict[str, Any]]:
        """The plan as JSON, as the checker approves it. Days stay out: a later open day does not change it."""
        return [
            {
                "reverses": str(voucher.reverses or ""),
                "lines": [
                    {
                        "account": line.account_no,
                        "side": str(line.side),
                        "amount": line.amount,
                        "takes_back": str(line.takes_back or ""),
                    }
                    for line in voucher.lines
                ],
            }
            for voucher in self.vouchers
        ]


# --- which kind -------------------------------------------------------------------------------------------------------


def kind_one_sided(voucher_id: int) -> CorrectionKind:
    """Wipe while the voucher's own accounting day is not closed, later red and blue, in a later year blue only."""
    day = day_of(voucher_id)
    if _still_open([day]):
        return CorrectionKind.SAME_DAY_WIPE
    return CorrectionKind.NEXT_DAY if day.year == open_accounting_day().year else CorrectionKind.PRIOR_YEAR


def kind_whole(chain: Sequence[Voucher]) -> CorrectionKind | None:
    """How the whole chain is cancelled; None when a part of it is of an earlier year, whose books are finished."""
    days = [day_of(voucher.pk) for voucher in chain]
    if _still_open(days):
        return CorrectionKind.SAME_DAY_REVERSAL
    return CorrectionKind.RED_REVERSAL if min(days).year == open_accounting_day().year else None


def _still_open(days: Iterable[dt.date]) -> bool:
    wanted = set(days)
    states = AccountingDay.objects.filter(day__in=wanted).exclude(state=DayState.CLOSED)
    return states.count() == len(wanted)


# --- the books around a voucher ---------------------------------------------------------------------------------------


def voucher_get(voucher_id: int) -> Voucher:
    """The voucher; PayopsError 'corrections.not_found'."""
    found = Voucher.objects.filter(pk=voucher_id).first()
    if found is None:
        raise PayopsError(
            "corrections.not_found",
            _("There is no voucher %(voucher)s.") % {"voucher": voucher_id},
            {"voucher_id": str(voucher_id)},
        )
    return found


def chain_of(voucher: Voucher) -> list[Voucher]:
    """All vouchers of the same source document, this one included, in the order of their booking.

    Read through the posting keys, so that no day has to be searched.
    """
    keys = PostingKey.objects.filter(event__in=Event.values, source_id=voucher.source_id)
    ids = sorted(keys.values_list("voucher_id", flat=True))
    return [
        each for each in Voucher.objects.filter(pk__in=ids).order_by("id") if each.source_kind == voucher.source_kind
    ]


def links_of(voucher_ids: Iterable[int]) -> dict[int, CorrectedEntry]:
    """The corrected lines of some vouchers by the number of the wrong line."""
    found: dict[int, CorrectedEntry] = {}
    for voucher_id in voucher_ids:
        rows = CorrectedEntry.objects.filter(entry_id__gt=voucher_id, entry_id__lt=voucher_id + 1000)
        found |= {row.entry_id: row for row in rows.select_related("correction")}
    return found


def reds_of(voucher_id: int) -> dict[int, CorrectedEntry]:
    """The lines of a voucher that take others back, by their own number."""
    rows = CorrectedEntry.objects.filter(red_entry_id__gt=voucher_id, red_entry_id__lt=voucher_id + 1000)
    return {row.red_entry_id: row for row in rows.select_related("correction")}


def reversed_vouchers(voucher_ids: Iterable[int | None]) -> set[int]:
    """Those of the vouchers that a whole-chain correction has cancelled."""
    wanted = [voucher_id for voucher_id in voucher_ids if voucher_id]
    rows = CorrectionVoucher.objects.filter(reverses__in=wanted, correction__state=DocumentState.BOOKED)
    return set(rows.values_list("reverses", flat=True))


def made_by_correction(voucher_id: int) -> CorrectionVoucher | None:
    """The correction's own row of a voucher that a correction made."""
    return CorrectionVoucher.objects.filter(voucher_id=voucher_id).select_related("correction").first()


def _finished_entries(voucher: Voucher) -> list[Entry]:
    entries = list(voucher_entries(voucher.pk))
    if len(entries) != voucher.line_count:
        raise PayopsError(
            "corrections.unfinished",
            _(
                "Voucher %(voucher)s is not complete: %(there)d of %(lines)d lines. "
                "Only a finished voucher is corrected."
            )
            % {"voucher": voucher.pk, "there": len(entries), "lines": voucher.line_count},
            {"voucher_id": str(voucher.pk)},
        )
    return entries


# --- planning ---------------------------------------------------------------------------------------------------------


def plan_one_sided(*, voucher_id: int, entry_ids: Iterable[int], right: Sequence[RightLine]) -> CorrectionPlan:
    """The plan that moves the ticked lines of one side of a voucher to the right accounts; checks every rule.

    Amounts are minor units. Raises PayopsError 'corrections.not_found', '.unfinished', '.reversed', '.dependent',
    '.no_lines', '.other_voucher', '.red_line', '.already_corrected', '.two_sides', '.two_currencies', '.totals',
    '.nothing_changes', '.registered', 'ledger.unknown_account', 'ledger.account_closed'.
    """
    voucher = voucher_get(voucher_id)
    wrong = _wrong_lines(voucher, sorted(set(entry_ids)))
    side, currency = wrong[0].side, wrong[0].currency
    places = _right_places(right, currency)
    _refuse_registered([*(entry.account for entry in wrong), *(account for account, _amount in places)])
    taken, given = sum(entry.amount for entry in wrong), sum(amount for _account, amount in places)
    if taken != given:
        raise PayopsError(
            "corrections.totals",
            _("The wrong lines come to %(taken)s %(currency)s, the right accounts to %(given)s: they must be equal.")
            % {"taken": format_amount(taken, currency), "given": format_amount(given, currency), "currency": currency},
            {"taken": taken, "given": given},
        )
    before = sorted((entry.account.account_no, entry.amount) for entry in wrong)
    if before == sorted((account.account_no, amount) for account, amount in places):
        raise PayopsError("corrections.nothing_changes", _("The right accounts are the wrong ones: nothing changes."))
    kind = kind_one_sided(voucher.pk)
    back_side, sign = (_other(side), 1) if kind == CorrectionKind.PRIOR_YEAR else (side, -1)
    lines = [PlannedLine(entry.account.account_no, back_side, sign * entry.amount, entry.pk) for entry in wrong]
    lines += [PlannedLine(account.account_no, side, amount) for account, amount in places]
    day = day_of(voucher.pk) if kind == CorrectionKind.SAME_DAY_WIPE else open_accounting_day()
    made = PlannedVoucher(tuple(lines), day, voucher.business_date)
    return CorrectionPlan(kind, voucher.pk, (made,), taken, currency)


def _other(side: str) -> Side:
    return Side.CREDIT if side == Side.DEBIT else Side.DEBIT


def _wrong_lines(voucher: Voucher, entry_ids: list[int]) -> list[Entry]:
    entries = {entry.pk: entry for entry in _finished_entries(voucher)}
    if not entry_ids:
        raise PayopsError("corrections.no_lines", _("Tick the wrong lines of the voucher."))
    for number in entry_ids:
        if number not in entries:
            raise PayopsError(
                "corrections.other_voucher",
                _("Line %(entry)s does not belong to voucher %(voucher)s; lines of one voucher are corrected together.")
                % {"entry": number, "voucher": voucher.pk},
                {"entry_id": str(number)},
            )
    _refuse_reversed(voucher)
    links, reds = links_of([voucher.pk]), reds_of(voucher.pk)
    for number in entry_ids:
        if entries[number].amount < 0 or number in reds:
            raise PayopsError(
                "corrections.red_line",
                _("Line %(entry)s takes another line back; only lines that stand by themselves are corrected.")
                % {"entry": number},
                {"entry_id": str(number)},
            )
        if number in links:
            raise _already_corrected(number, links[number])
    wrong = [entries[number] for number in entry_ids]
    if len({entry.side for entry in wrong}) > 1:
        raise PayopsError(
            "corrections.two_sides",
            _("Tick lines of one side only, debit or credit. To cancel both, reverse the whole voucher."),
        )
    if len({entry.currency for entry in wrong}) > 1:
        raise PayopsError("corrections.two_currencies", _("Tick lines of one currency only."))
    return wrong


def _already_corrected(number: int, link: CorrectedEntry) -> PayopsError:
    return PayopsError(
        "corrections.already_corrected",
        _("Line %(entry)s was corrected already, by %(correction)s. Correct what that one booked, if it is wrong too.")
        % {"entry": number, "correction": link.correction.number},
        {"entry_id": str(number), "correction": link.correction.number},
    )


def _refuse_reversed(voucher: Voucher) -> None:
    if reversed_vouchers([voucher.pk]):
        raise PayopsError(
            "corrections.reversed",
            _("Voucher %(voucher)s was reversed as a whole; there is nothing left of it to correct.")
            % {"voucher": voucher.pk},
            {"voucher_id": str(voucher.pk)},
        )
    made = made_by_correction(voucher.pk)
    if made is not None and made.reverses is not None:
        raise PayopsError(
            "corrections.dependent",
            _("Voucher %(voucher)s only cancels voucher %(other)s; it is neither corrected nor reversed.")
            % {"voucher": voucher.pk, "other": made.reverses},
            {"voucher_id": str(voucher.pk)},
        )


def _right_places(right: Sequence[RightLine], currency: str) -> list[tuple[Account, int]]:
    if not right:
        raise PayopsError("corrections.no_right_lines", _("Give the right accounts and their amounts."))
    places = []
    for line in right:
        account = account_find(line.account, currency)
        if account.currency != currency:
            raise PayopsError(
                "corrections.two_currencies",
                _("Account %(account)s is kept in %(currency)s, the wrong lines are not.")
                % {"account": account.account_no, "currency": account.currency},
                {"account_no": account.account_no},
            )
        if account.status == "closed":
            raise account_closed(account.account_no)
        if line.amount <= 0:
            raise PayopsError(
                "corrections.amount",
                _("The amount on %(account)s must be above zero.") % {"account": account.account_no},
                {"account_no": account.account_no, "amount": line.amount},
            )
        places.append((account, line.amount))
    return places


def _refuse_registered(accounts: Sequence[Account]) -> None:
    """Suspense and money in flight are worked by their registers, never moved line by line (DOMAIN 8)."""
    if all(account.subject.code == PENDING_CLEARING for account in accounts):
        return
    for account in accounts:
        if account.subject.code in KEPT_BY_REGISTERS:
            raise PayopsError(
                "corrections.registered",
                _(
                    "What stands on %(account)s is worked as cases, refunds or payouts. "
                    "Resolve it there, or reverse the whole voucher."
                )
                % {"account": account.account_no},
                {"account_no": account.account_no},
            )


def plan_whole(*, voucher_id: int) -> CorrectionPlan:
    """The plan that cancels a voucher and all others of its source document, line by line in red; checks every rule.

    Raises PayopsError 'corrections.not_found', '.unfinished', '.reversed', '.dependent', '.corrected', '.prior_year'.
    """
    voucher = voucher_get(voucher_id)
    _refuse_reversed(voucher)
    if made_by_correction(voucher.pk) is not None:
        raise PayopsError(
            "corrections.dependent",
            _("Voucher %(voucher)s was made by a correction: it may be corrected itself, but not reversed.")
            % {"voucher": voucher.pk},
            {"voucher_id": str(voucher.pk)},
        )
    chain = chain_of(voucher)
    cancelled = reversed_vouchers(each.pk for each in chain)
    chain = [each for each in chain if each.pk not in cancelled]
    for number, link in links_of(each.pk for each in chain).items():
        raise PayopsError(
            "corrections.corrected",
            _("Line %(entry)s of the chain was corrected by %(correction)s; a corrected voucher is not reversed.")
            % {"entry": number, "correction": link.correction.number},
            {"entry_id": str(number), "correction": link.correction.number},
        )
    kind = kind_whole(chain)
    if kind is None:
        raise PayopsError(
            "corrections.prior_year",
            _("A voucher of an earlier year is not reversed, its year is finished. Correct each of its sides."),
            {"voucher_id": str(voucher.pk)},
        )
    today = open_accounting_day()
    made, currencies, amount = [], set(), 0
    for each in chain:
        entries = _finished_entries(each)
        currencies |= {entry.currency for entry in entries}
        amount += sum(entry.amount for entry in entries if entry.side == Side.DEBIT)
        lines = tuple(PlannedLine(e.account.account_no, e.side, -e.amount, e.pk) for e in entries)
        day = day_of(each.pk) if kind == CorrectionKind.SAME_DAY_REVERSAL else today
        made.append(PlannedVoucher(lines, day, each.business_date, each.pk))
    return CorrectionPlan(kind, voucher.pk, tuple(made), amount, currencies.pop() if len(currencies) == 1 else "")


# --- proposing and booking --------------------------------------------------------------------------------------------


@transaction.atomic
def correction_propose(
    *,
    voucher_id: int,
    user: User,
    reason: str,
    entry_ids: Iterable[int] = (),
    right: Sequence[RightLine] = (),
    whole: bool = False,
) -> Correction:
    """Propose a correction; it is booked when another person approves it. Which kind it is follows from the days.

    `whole` cancels all vouchers of the same source document, else `entry_ids` and `right` as in `plan_one_sided`.
    Raises PayopsError 'corrections.reason', what the planning refuses, 'approvals.not_allowed' and
    'approvals.already_pending' (another correction of this voucher waits).
    """
    if not reason.strip():
        raise PayopsError("corrections.reason", _("Say why the voucher is wrong, so that the checker can judge."))
    wrong = sorted(set(entry_ids))
    plan = (
        plan_whole(voucher_id=voucher_id)
        if whole
        else plan_one_sided(voucher_id=voucher_id, entry_ids=wrong, right=right)
    )
    correction = Correction(
        number=next_numbers("CR", open_accounting_day())[0],
        kind=plan.kind,
        voucher_id=plan.voucher_id,
        lines=_document_lines(plan),
        reason=reason.strip()[:500],
        proposed_by=user,
    )
    correction.save(force_insert=True)
    request = request_submit(
        action=ACTION,
        target_kind=TARGET_KIND,
        target_id=str(plan.voucher_id),
        payload={
            "correction": correction.pk,
            "number": correction.number,
            "kind": plan.kind.value,
            "voucher": str(plan.voucher_id),
            "currency": plan.currency,
            "vouchers": plan.frozen(),
        },
        amount=plan.amount,
        currency=plan.currency,
        title=_title(correction),
        reason=correction.reason,
        maker=user,
    )
    correction.approval = request
    correction.save(update_fields=["approval"])
    return correction


def _document_lines(plan: CorrectionPlan) -> list[dict[str, Any]]:
    if plan.kind in WHOLE_KINDS:
        return []
    (made,) = plan.vouchers
    return [
        {"entry": line.takes_back, "amount": abs(line.amount)}
        if line.takes_back
        else {"account": line.account_no, "amount": line.amount}
        for line in made.lines
    ]


def _title(correction: Correction) -> str:
    return _("%(number)s: %(kind)s of voucher %(voucher)s") % {
        "number": correction.number,
        "kind": CorrectionKind(correction.kind).label,
        "voucher": correction.voucher_id,
    }


def plan_of(correction: Correction) -> CorrectionPlan:
    """The plan of a proposed correction as the books are now; raises as planning does, when it no longer fits."""
    if correction.kind in WHOLE_KINDS:
        return plan_whole(voucher_id=correction.voucher_id)
    return plan_one_sided(
        voucher_id=correction.voucher_id,
        entry_ids=[line["entry"] for line in correction.lines if "entry" in line],
        right=[RightLine(line["account"], line["amount"]) for line in correction.lines if "account" in line],
    )


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    """Book an approved correction; called in the transaction of the approval, with the request's row locked."""
    correction = Correction.objects.select_for_update(no_key=True).get(pk=request.payload["correction"])
    # Two corrections around the same source document take turns, so that the second sees what the first has booked.
    voucher = voucher_get(correction.voucher_id)
    xact_locks(LOCK, [f"{voucher.source_kind}:{voucher.source_id}"])
    plan = plan_of(correction)
    if plan.kind != correction.kind:
        raise PayopsError(
            "corrections.day_passed",
            _(
                "%(number)s was proposed as “%(proposed)s”, and now it would be “%(now)s”. "
                "Reject it and propose it again."
            )
            % {
                "number": correction.number,
                "proposed": correction.get_kind_display(),
                "now": plan.kind.label,
            },
            {"correction": correction.number, "kind": plan.kind.value},
        )
    if plan.frozen() != request.payload["vouchers"]:
        raise PayopsError(
            "corrections.changed",
            _("%(number)s would book something else than was proposed. Reject it and propose it again.")
            % {"number": correction.number},
            {"correction": correction.number},
        )
    with guard_errors():
        vouchers = [_book(correction, planned, request.checker.username) for planned in plan.vouchers]
        correction.state, correction.booked_at = DocumentState.BOOKED, timezone.now()
        correction.save(update_fields=["state", "booked_at"])
    return {"correction": correction.number, "vouchers": [str(voucher.pk) for voucher in vouchers]}


def _book(correction: Correction, planned: PlannedVoucher, username: str) -> Voucher:
    row = CorrectionVoucher.objects.create(correction=correction, reverses=planned.reverses)
    kind = CorrectionKind(correction.kind)
    voucher = post_lines(
        LinesPosting(
            event=EVENTS[kind],
            source_kind=SOURCE_KIND,
            source_id=row.pk,
            lines=[RawLine(line.account_no, line.side, line.amount) for line in planned.lines],
            business_date=planned.business_date,
            memo=correction.number,
        ),
        day=planned.day,
        posted_by=username,
    )
    row.voucher_id = voucher.pk
    row.save(update_fields=["voucher_id"])
    CorrectedEntry.objects.bulk_create(
        CorrectedEntry(
            entry_id=line.takes_back,
            red_entry_id=voucher.pk + number,
            correction=correction,
            side=_other(line.side) if kind == CorrectionKind.PRIOR_YEAR else line.side,
            hidden=kind in SAME_DAY_KINDS,
        )
        for number, line in enumerate(planned.lines, start=1)
        if line.takes_back
    )
    return voucher


def _fingerprint(_target_kind: str, target_id: str) -> str:
    """Everything that decides what may be corrected: the chain, its corrected lines, its reversals."""
    chain = chain_of(voucher_get(int(target_id)))
    ids = [voucher.pk for voucher in chain]
    return f"{ids}|{sorted(links_of(ids))}|{sorted(reversed_vouchers(ids))}"


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    correction = Correction.objects.get(pk=payload["correction"])
    currency = payload["currency"] or "CNY"
    rows: list[tuple[Any, Any]] = [
        (_("Kind"), CorrectionKind(payload["kind"]).label),
        (_("Wrong voucher"), payload["voucher"]),
        (_("Vouchers to be made"), len(payload["vouchers"])),
    ]
    lines = [line for voucher in payload["vouchers"] for line in voucher["lines"]]
    for line in lines[:LINES_SHOWN]:
        label = f"{Side(line['side']).label} {line['account']}"
        rows.append((label, format_amount(line["amount"], currency)))
    if len(lines) > LINES_SHOWN:
        rows.append(("…", _("and %(count)d more") % {"count": len(lines) - LINES_SHOWN}))
    return Description(_title(correction), "console:correction", (correction.pk,), rows)


def _closed(request: ApprovalRequest) -> None:
    Correction.objects.filter(pk=request.payload["correction"], state=DocumentState.PROPOSED).update(
        state=DocumentState.REJECTED
    )


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        closed=_closed,
        maker_permission=MAKER,
        checker_permission=CHECKER,
        tiers=LARGE_AMOUNT,
    )
