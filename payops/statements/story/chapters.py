"""The chapters of a story: what each part of the house knows about the rows, as events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from django.db.models import Q
from django.utils.translation import gettext as _

from payops.accounts.choices import Event as BookingEvent
from payops.channels.bills.selectors import file_of_line, line_range
from payops.channels.choices import BillType, LineKind
from payops.channels.models import BillFile
from payops.core.formatting import money_with_currency
from payops.core.ids import day_of
from payops.core.retelling import retold
from payops.discrepancies.models import Discrepancy
from payops.orders.choices import Kind, Origin
from payops.orders.models import Transaction
from payops.orders.selectors import refunds_of
from payops.reconciliation.choices import ResultKind, RunState
from payops.reconciliation.models import OpenItem, ReconResult, ReconRun, RunVoucher
from payops.statements.story.bookings import vouchers_told
from payops.statements.story.events import Event
from payops.statements.story.finding import DAYS_AROUND, Subjects
from payops.statements.story.groups import group_events, groups_of
from payops.statements.story.payments import settlement_told

LINE_KINDS: Final = dict(LineKind.choices) | dict(Kind.choices)
BILL_TAKEN: Final = (BookingEvent.BILL_NETTED, BookingEvent.BILL_BILLED)
RUNS_TOLD: Final = 100
"""Runs of one story at most; a day is rarely run more than a few times."""


def tell(subjects: Subjects) -> list[Event]:
    """Every event of the rows, in no order."""
    items = _items(subjects)
    runs = _runs(subjects, items)
    said = _said(subjects, runs, items)
    cases = _cases(subjects, items)
    paid, payment_vouchers = settlement_told(subjects)
    booked = [
        *payment_vouchers,
        *(row.voucher_id for run in runs for row in _bookings(run, said, subjects)),
        *(action.voucher_id for case in cases for action in case.actions.all()),
    ]
    return [
        *_orders(subjects),
        *_bills(subjects, runs),
        *_run_events(subjects, runs, said),
        *_item_events(items),
        *group_events(subjects),
        *_case_events(cases),
        *paid,
        *vouchers_told(subjects, booked),
    ]


# --- our own side -----------------------------------------------------------------------------------------------------


def _orders(subjects: Subjects) -> Iterator[Event]:
    for row in subjects.transactions.values():
        about = {"chapter": "order", "page": ("transaction", row.pk), "currency": row.currency}
        amount = row.sign * row.amount
        kind = row.get_kind_display()
        where = f"{row.transaction_no}, {row.contract.code}, {row.merchant.merchant_no}"
        if row.origin != Origin.INTAKE:
            where = f"{where}, {row.get_origin_display()}"
        yield Event(
            row.created_at, kind="order_created", title=_("%s created") % kind, text=where, amount=amount, **about
        )
        if row.succeeded_at:
            yield Event(row.succeeded_at, kind="order_succeeded", title=_("%s succeeded") % kind, text=where, **about)
        if row.effective_at:
            counts = _("Counts on the accounting date %s") % row.own_date
            yield Event(
                row.effective_at,
                kind="order_counts",
                title=counts,
                text=row.get_status_display(),
                amount=amount,
                **about,
            )
        yield from _relatives(row, subjects)


def _relatives(row: Transaction, subjects: Subjects) -> Iterator[Event]:
    """What was refunded or voided of it, and what it itself gives back."""
    related = list(refunds_of(row, day_of(row.pk) + dt.timedelta(days=45)).order_by("id")[:20])
    if row.original_id:
        related += Transaction.objects.filter(pk=row.original_id)
    for other in related:
        if other.pk in subjects.transactions:
            continue
        original = other.pk == row.original_id
        yield Event(
            other.created_at,
            "order",
            "order_original" if original else "order_reversed",
            _("Original transaction") if original else other.get_kind_display(),
            ("transaction", other.pk),
            f"{other.transaction_no}, {other.get_status_display()}",
            other.sign * other.amount,
            other.currency,
        )


# --- the channel's side -----------------------------------------------------------------------------------------------


def _bills(subjects: Subjects, runs: list[ReconRun]) -> Iterator[Event]:
    """Each version of the bills of these days: when it came, and what it says of the key, even if that is nothing."""
    lines = {line.pk: line for line in subjects.lines.values()}
    # A row of a live group has its other half under another number, which is nothing to look for.
    found_elsewhere = groups_of(subjects).filter(end__isnull=True).exists()
    files = {file.pk: file for file in _files(subjects)} | {run.file_id: run.file for run in runs}
    for file in files.values():
        low, high = line_range(file)
        inside = [line for pk, line in sorted(lines.items()) if low <= pk < high]
        name = _("Bill %(channel)s %(day)s version %(version)d") % {
            "channel": file.contract.code,
            "day": file.channel_date,
            "version": file.version,
        }
        if not inside:
            yield Event(
                file.received_at,
                "bill",
                "bill_without",
                name,
                ("bill_file", file.pk),
                _("has no line of it (%s)") % file.get_state_display(),
                by=file.received_by,
                tone="warning" if file.state == "accepted" and not found_elsewhere else "",
            )
        for line in inside:
            text = _("line %(line)d: %(kind)s %(status)s, trade number %(trade)s, settled %(settled)s, fee %(fee)s") % {
                "line": line.line_no,
                "kind": LINE_KINDS.get(line.kind, line.kind),
                "status": line.status,
                "trade": line.trade_no or "–",
                "settled": money_with_currency(line.settled_amount, line.currency),
                "fee": money_with_currency(line.fee, line.currency),
            }
            yield Event(
                file.received_at,
                "bill",
                "bill_line",
                name,
                ("bill_line", line.pk),
                f"{text} ({file.get_state_display()})",
                line.amount,
                line.currency,
                file.received_by,
            )


def _files(subjects: Subjects) -> list[BillFile]:
    """Files the lines stand in, and all versions of the bills of our own rows' dates."""
    days = Q(pk__in={file_of_line(pk).pk for pk in subjects.lines})
    for row in subjects.transactions.values():
        days |= Q(contract=row.contract_id, channel_date=row.own_date, bill_type=BillType.TRADE)
    for line in subjects.lines.values():
        days |= Q(contract=line.contract_id, channel_date=day_of(line.pk), bill_type=BillType.TRADE)
    return list(BillFile.objects.filter(days).select_related("contract").order_by("id"))


# --- runs -------------------------------------------------------------------------------------------------------------


def _items(subjects: Subjects) -> list[OpenItem]:
    mine = Q(transaction_id__in=list(subjects.transactions)) | Q(bill_line_id__in=list(subjects.lines))
    items = OpenItem.objects.filter(mine).select_related("contract", "first_run", "definite_run", "cleared_run", "case")
    return list(items.order_by("id"))


def _runs(subjects: Subjects, items: list[OpenItem]) -> list[ReconRun]:
    """Runs over the rows' dates, and those that found, kept or cleared their items; complete ones."""
    wanted = Q(
        pk__in=[pk for item in items for pk in (item.first_run_id, item.definite_run_id, item.cleared_run_id) if pk]
    )
    for row in subjects.transactions.values():
        wanted |= Q(contract=row.contract_id, channel_date=row.own_date)
    for line in subjects.lines.values():
        wanted |= Q(contract=line.contract_id, channel_date=day_of(line.pk))
    for item in items:
        last = item.cleared_date or item.first_date + dt.timedelta(days=DAYS_AROUND[1])
        wanted |= Q(contract=item.contract_id, channel_date__range=(item.first_date, last))
    if not wanted:
        return []
    runs = ReconRun.objects.filter(wanted, state=RunState.COMPLETE).select_related("contract", "file__contract")
    return list(runs.order_by("id").prefetch_related("vouchers")[:RUNS_TOLD])


def _said(subjects: Subjects, runs: list[ReconRun], items: list[OpenItem]) -> dict[int, list[ReconResult]]:
    """What each run wrote down of these keys; a run that wrote nothing found nothing to say."""
    keys = {key for _contract, key in subjects.keys}
    said: dict[int, list[ReconResult]] = {}
    about = Q(match_key__in=keys) | Q(item__in=items)
    for result in ReconResult.objects.filter(about, run__in=runs).select_related("case").order_by("id"):
        said.setdefault(result.run_id, []).append(result)
    return said


def _run_events(subjects: Subjects, runs: list[ReconRun], said: dict[int, list[ReconResult]]) -> Iterator[Event]:
    for run in runs:
        title = _("Run %(channel)s %(day)s #%(number)d") % {
            "channel": run.contract.code,
            "day": run.channel_date,
            "number": run.run_no,
        }
        at, currency = run.started_at, run.contract.currency
        if run.pk not in said and _is_matched(run, subjects):
            label = ResultKind.MATCHED.label
            yield Event(at, "run", "run_result", title, ("run", run.pk), label, tone="success")
        for result in said.get(run.pk, []):
            text = result.get_kind_display()
            if result.case:
                text = f"{text}, {result.case.case_no}"
            yield Event(at, "run", "run_result", title, ("run", run.pk), text, result.d, currency, tone=result.kind)


def _is_matched(run: ReconRun, subjects: Subjects) -> bool:
    """What has no result in a run whose day and file hold both halves is matched."""
    low, high = line_range(run.file)
    lines = {line.match_key for pk, line in subjects.lines.items() if low <= pk < high}
    return any(
        row.contract_id == run.contract_id and row.own_date == run.channel_date and row.match_key in lines
        for row in subjects.transactions.values()
    )


def _bookings(run: ReconRun, said: dict[int, list[ReconResult]], subjects: Subjects) -> list[RunVoucher]:
    """What a run booked that holds these rows: the bill it took, their merchants' part, their way through suspense."""
    if run.pk not in said and not _is_matched(run, subjects):
        return []
    merchants = {"", *(row.merchant.merchant_no for row in subjects.transactions.values())}
    rows = [row for row in run.vouchers.all() if row.voucher_id and row.merchant_no in merchants]
    return [row for row in rows if run.pk in said or row.event in BILL_TAKEN]


def _item_events(items: list[OpenItem]) -> Iterator[Event]:
    for item in items:
        steps = (
            ("item_first_seen", item.first_run, _("Open item first seen: %s")),
            ("item_definite", item.definite_run, _("Open item definite: %s")),
            ("item_cleared", item.cleared_run, _("Open item cleared: %s")),
        )
        now = _("now %s") % item.get_state_display()
        for kind, run, title in steps:
            if run is not None:
                label = title % item.get_result_display()
                yield Event(run.started_at, "run", kind, label, ("run", run.pk), now, item.d, item.currency)


# --- cases ------------------------------------------------------------------------------------------------------------


def _cases(subjects: Subjects, items: list[OpenItem]) -> list[Discrepancy]:
    mine = (
        Q(transaction_id__in=list(subjects.transactions))
        | Q(bill_line_id__in=list(subjects.lines))
        | Q(pk__in=[item.case_id for item in items if item.case_id])
    )
    cases = Discrepancy.objects.filter(mine).prefetch_related(
        "events__action", "actions__approval__maker", "actions__approval__checker"
    )
    return list(cases.order_by("id"))


def _case_events(cases: list[Discrepancy]) -> Iterator[Event]:
    for case in cases:
        page = ("case", case.pk)
        name = f"{case.case_no} {case.get_kind_display()}"
        for line in case.events.all():
            what = line.get_what_display()
            if line.action:
                what = f"{what}: {line.action.get_kind_display()}"
            yield Event(
                line.at,
                "case",
                f"case_{line.what}",
                f"{name} – {what}",
                page,
                retold(line.note),
                line.amount,
                case.currency,
                line.username,
            )
        for action in case.actions.all():
            request = action.approval
            if request is None or request.decided_at is None:
                continue
            label = _("%(case)s – request #%(request)d: %(status)s") % {
                "case": name,
                "request": request.pk,
                "status": request.get_status_display(),
            }
            by = request.checker.username if request.checker else request.maker.username
            note = retold(request.decision_note)
            yield Event(
                request.decided_at,
                "case",
                "approval",
                label,
                ("approval", request.pk),
                note,
                action.amount,
                case.currency,
                by,
            )
