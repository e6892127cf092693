"""Payout batches and payouts: proposing, sending, asking the bank, and the whole history of every payment."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

from django.contrib import messages
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.accounts.selectors import open_day
from payops.approvals.models import ApprovalRequest
from payops.approvals.selectors import may_decide
from payops.channels.models import BankLine
from payops.console import cells
from payops.console.cells import TONES, Cell, Column, Table, link
from payops.console.filters import PayoutBatchFilter, PayoutFilter
from payops.console.forms import DayForm
from payops.console.lists import Button, keyset, list_page
from payops.console.shell import action, page, view
from payops.console.tables import payout_columns, payout_row, sheet_columns, sheet_row
from payops.console.vouchers import voucher_table, vouchers_of
from payops.core import jobs
from payops.core.formatting import money
from payops.core.ids import day_of
from payops.core.money import amount_in_capitals
from payops.core.retelling import retold
from payops.settlement.bank import bank_takes_files
from payops.settlement.choices import BatchState, PayoutState, SheetState
from payops.settlement.jobs import POLL_JOB
from payops.settlement.models import Payout, PayoutBatch, PayoutEvent, SettlementSheet
from payops.settlement.payouts import (
    payout_batch_create,
    payout_history,
    payouts_in_flight,
    payouts_needing_a_person,
)
from payops.settlement.payouts import payout_batch_export as batch_as_file
from payops.settlement.payouts.approval import SEND_JOB
from payops.settlement.payouts.history import DEAD, IN_DOUBT, SOURCE_KIND, TO_SEND

_STATES = dict(PayoutState.choices)
ONE_DAY = dt.timedelta(days=1)
SHEETS_SHOWN = 200

# --- batches ----------------------------------------------------------------------------------------------------------


@view("payouts.view")
def payout_batch_list(request: HttpRequest) -> HttpResponseBase:
    """Payout batches, the latest first."""
    columns = [
        Column(_("Batch number")),
        Column(_("State")),
        Column(_("Pay date")),
        Column(_("From account")),
        Column(_("Payouts"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Approval")),
        Column(_("Proposed by")),
        Column(_("Decided by")),
        Column(_("Made at")),
    ]

    def row(batch: PayoutBatch) -> list[Cell]:
        approval = batch.approval
        return [
            cells.number(batch.batch_no, link("payout_batch", batch.pk)),
            cells.state(batch),
            cells.date(batch.pay_date),
            cells.text(batch.bank_account.code),
            cells.count(batch.count),
            cells.money(batch.amount),
            _approval_cell(approval),
            cells.text(approval.maker.username if approval else "–"),
            cells.text(approval.checker.username if approval and approval.checker else "–"),
            cells.moment(batch.made_at),
        ]

    batches = PayoutBatch.objects.select_related("bank_account", "approval__maker", "approval__checker")
    return list_page(
        request,
        title=_("Payout batches"),
        filters=PayoutBatchFilter(request.GET, queryset=batches, request=request),
        columns=columns,
        row=row,
        export_name="payout_batches",
        buttons=[*_propose_button(request), *_poll_button(request)],
        summary=_in_flight(),
        empty=_("There are no such payout batches."),
    )


def _approval_cell(approval: ApprovalRequest | None) -> Cell:
    if approval is None:
        return cells.text("–")
    return cells.badge(
        approval.status, f"#{approval.pk} {approval.get_status_display()}", link("approval", approval.pk)
    )


def _propose_button(request: HttpRequest, day: dt.date | None = None, label: Any = "") -> list[Button]:
    if not request.user.may("payouts.propose"):
        return []
    return [Button(label or _("Propose payouts"), link("payout_batch_propose", day=day), primary=True)]


def _poll_button(request: HttpRequest) -> list[Button]:
    if not request.user.may("payouts.send"):
        return []
    return [Button(_("Ask the bank for results"), link("payout_poll"), post=True)]


def _in_flight() -> list[tuple[Any, Cell]]:
    flying = payouts_in_flight()
    url = link("payout_list")
    return [
        (_("Payouts in flight"), cells.count(flying["count"], url if flying["count"] else "")),
        (_("Amount in flight"), cells.money(flying["amount"])),
    ]


@view("payouts.view")
def payout_batch(request: HttpRequest, batch_id: int) -> HttpResponseBase:
    """One batch: what finance approves in figures and capitals, how far it is, and its payouts."""
    batch = _batch_or_404(batch_id)
    payouts = batch.payouts.select_related("merchant", "settlement_account", "sheet", "batch")
    state = request.GET.get("state", "")
    shown = payouts.filter(state=state) if state in _STATES else payouts
    pages = keyset(request, shown, descending=False)
    payout_table = Table(payout_columns(), [payout_row(payout) for payout in pages.rows], title=_("Payouts"))
    if state in _STATES:
        payout_table.title = _("Payouts: %s") % _STATES[state]
    context = {
        "parent_title": _("Payout batches"),
        "parent_url": link("payout_batch_list"),
        "badges": [cells.state(batch)],
        "buttons": _batch_buttons(request, batch),
        "facts": _batch_facts(batch),
        "tiles": _state_tiles(batch, state),
        "tables": [payout_table],
        "pages": pages,
    }
    return page(request, "console/payout_batch.html", context, title=batch.batch_no)


def _batch_or_404(batch_id: int) -> PayoutBatch:
    batches = PayoutBatch.objects.select_related("bank_account", "approval__maker", "approval__checker")
    found = batches.filter(pk=batch_id).first()
    if found is None:
        raise Http404
    return found


def _batch_facts(batch: PayoutBatch) -> list[tuple[Any, Cell]]:
    approval = batch.approval
    facts = [
        (_("Pay date"), cells.date(batch.pay_date, link("payout_batch_list", date=batch.pay_date))),
        (_("From account"), cells.text(batch.bank_account.code, note=batch.bank_account.bank_name)),
        (_("Payouts"), cells.count(batch.count)),
        (_("Amount"), cells.money(batch.amount)),
        (_("Amount in capitals"), cells.text(amount_in_capitals(batch.amount))),
        (_("Approval"), _approval_cell(approval)),
        (_("Made at"), cells.moment(batch.made_at)),
    ]
    if approval is not None:
        facts.append((_("Proposed by"), cells.text(approval.maker.username, note=cells.moment(approval.made_at).text)))
        decided = cells.moment(approval.decided_at).text
        facts.append(
            (_("Decided by"), cells.text(approval.checker.username if approval.checker else "–", note=decided))
        )
    return facts


def _batch_buttons(request: HttpRequest, batch: PayoutBatch) -> list[Button]:
    """What this person may do with the batch as it is; the services decide again."""
    user, buttons = request.user, []
    if batch.approval is not None and may_decide(user, batch.approval):
        buttons.append(Button(_("Decide"), link("approval", batch.approval_id), primary=True))
    if user.may("payouts.send") and batch.state in (BatchState.APPROVED, BatchState.SENT, BatchState.DONE):
        if batch.payouts.filter(state__in=TO_SEND).exists():
            confirm = _("Send what is approved and not sent yet to the bank. Go on?")
            buttons.append(
                Button(
                    _("Send to the bank"),
                    link("payout_batch_send", batch.pk),
                    post=True,
                    primary=True,
                    confirm=confirm,
                )
            )
        if batch.payouts.filter(state__in=(*IN_DOUBT, PayoutState.SENDING)).exists():
            buttons += _poll_button(request)
        if bank_takes_files():
            buttons.append(Button(_("Payment file (CSV)"), link("payout_batch_export", batch.pk)))
    failed = batch.payouts.filter(state=PayoutState.FAILED, sheet__state=SheetState.IN_PAYMENT, next__isnull=True)
    if failed.exists():
        buttons += _propose_button(request, batch.pay_date - ONE_DAY, _("Propose the failed ones again"))
    return buttons


def _state_tiles(batch: PayoutBatch, chosen: str) -> list[dict[str, Any]]:
    """How many payouts are in which state; a tile narrows the list below to it."""
    groups = batch.payouts.order_by().values("state").annotate(number=Count("id"), total=Sum("amount"))
    order = list(_STATES)
    return [
        {
            "label": _STATES[group["state"]],
            "value": f"{group['number']:,}",
            "note": money(group["total"]),
            "tone": TONES.get(group["state"], "base"),
            "chosen": group["state"] == chosen,
            "url": link("payout_batch", batch.pk, state="" if group["state"] == chosen else group["state"]),
        }
        for group in sorted(groups, key=lambda group: order.index(group["state"]))
    ]


@action("payouts.propose", methods=("GET", "POST"))
def payout_batch_propose(request: HttpRequest) -> HttpResponse:
    """Put what is ready after an accounting date into one batch and ask finance for it."""
    form = DayForm(request.POST if request.method == "POST" else {"day": request.GET.get("day") or _work_day()})
    valid = form.is_valid()
    if request.method == "POST" and valid:
        batch = payout_batch_create(day=form.cleaned_data["day"], maker=request.user)
        if batch is not None:
            messages.success(
                request,
                _("Batch %(batch)s with %(count)d payouts waits for approval.")
                % {"batch": batch.batch_no, "count": batch.count},
            )
            return redirect(link("payout_batch", batch.pk))
        messages.warning(request, _("Nothing is ready to be paid after this date."))
    context = {
        "parent_title": _("Payout batches"),
        "parent_url": link("payout_batch_list"),
        "form": form,
        "form_url": link("payout_batch_propose"),
        "form_button": _("Propose"),
        "lead": _(
            "Takes every sheet ready to be paid after this accounting date, and payouts the bank failed to make. "
            "Sheets that cannot be paid are held first. Another person approves."
        ),
        "tables": [_ready_table(form.cleaned_data["day"])] if valid else [],
    }
    return page(request, "console/form.html", context, title=_("Propose payouts"), status=200 if valid else 400)


def _work_day() -> dt.date:
    """The accounting date whose work is being done: the one before the open day."""
    return open_day() - ONE_DAY


def _ready_table(day: dt.date) -> Table:
    """What a batch proposed now would be made of."""
    live = Payout.objects.filter(sheet=OuterRef("pk")).exclude(state__in=DEAD)
    ready: QuerySet[SettlementSheet] = SettlementSheet.objects.filter(
        Q(state=SheetState.READY, payout_amount__gt=0) | Q(state=SheetState.IN_PAYMENT),
        ~Exists(live),
        pay_date__lte=day + ONE_DAY,
    )
    sums = ready.aggregate(number=Count("id"), total=Sum("payout_amount", default=0))
    sheets = ready.select_related("merchant").order_by("merchant__merchant_no", "id")
    foot = [
        cells.text(_("Total")),
        *[cells.text("")] * 3,
        cells.count(sums["number"]),
        *[cells.text("")] * 6,
        cells.money(sums["total"]),
        cells.text(""),
    ]
    table = Table(
        sheet_columns(),
        [sheet_row(sheet) for sheet in sheets[:SHEETS_SHOWN]],
        title=_("Sheets ready to be paid"),
        empty=_("Nothing is ready to be paid after this date."),
        foot=foot,
    )
    if sums["number"] > SHEETS_SHOWN:
        table.note = _("The first %(shown)d of %(count)d.") % {"shown": SHEETS_SHOWN, "count": sums["number"]}
    return table


@action("payouts.send")
def payout_batch_send(request: HttpRequest, batch_id: int) -> HttpResponse:
    """Let a worker send what is approved; starting it twice pays nobody twice."""
    batch = _batch_or_404(batch_id)
    job = jobs.enqueue(
        SEND_JOB, {"batch_id": batch.pk}, business_date=batch.pay_date, created_by=request.user.get_username()
    )
    messages.success(request, _("%(batch)s is being sent as job %(job)s.") % {"batch": batch.batch_no, "job": job.pk})
    return redirect(link("job", job.pk))


@action("payouts.send")
def payout_poll(request: HttpRequest) -> HttpResponse:
    """Let a worker ask the bank about every payout without a result."""
    job = jobs.enqueue(POLL_JOB, created_by=request.user.get_username())
    messages.success(request, _("The bank is being asked as job %(job)s.") % {"job": job.pk})
    return redirect(link("job", job.pk))


@view("payouts.send")
def payout_batch_export(request: HttpRequest, batch_id: int) -> HttpResponseBase:
    """The batch as a file for a bank, with full account numbers; the service logs who took it."""
    batch = _batch_or_404(batch_id)
    content = io.BytesIO()
    batch_as_file(batch_id=batch.pk, user=request.user, fileobj=content)
    response = HttpResponse(content.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{batch.batch_no}.csv"'
    response["Cache-Control"] = "no-store"
    return response


# --- payouts ----------------------------------------------------------------------------------------------------------


@view("payouts.view")
def payout_list(request: HttpRequest) -> HttpResponseBase:
    """Payouts, the latest first."""
    payouts = Payout.objects.select_related("merchant", "settlement_account", "sheet", "batch")
    summary = _in_flight()
    strange = payouts_needing_a_person().count()
    if strange:
        summary.append((_("Need a person"), Cell(strange, link("payout_list", state="unknown"), "c-amount c-neg")))
    return list_page(
        request,
        title=_("Payouts"),
        filters=PayoutFilter(request.GET, queryset=payouts, request=request),
        columns=payout_columns(),
        row=payout_row,
        export_name="payouts",
        buttons=_poll_button(request),
        summary=summary,
        empty=_("There are no such payouts."),
    )


@view("payouts.view")
def payout(request: HttpRequest, payout_id: int) -> HttpResponseBase:
    """One payout: its attempts, everything that happened to it, the bank's lines and its bookings."""
    payouts = Payout.objects.select_related("merchant", "settlement_account", "sheet", "batch__bank_account")
    found = payouts.filter(pk=payout_id).first()
    if found is None:
        raise Http404
    attempts = _attempts(found)
    tables = [
        _history_table(found),
        *([_attempt_table(attempts, found)] if len(attempts) > 1 else []),
        _bank_line_table(attempts),
        voucher_table(vouchers_of([(SOURCE_KIND, attempt.pk) for attempt in attempts], _first_day(attempts))),
    ]
    context = {
        "parent_title": found.batch.batch_no,
        "parent_url": link("payout_batch", found.batch_id),
        "badges": [cells.state(found)],
        "trouble": retold(found.failure_reason) if found.state in (*DEAD, PayoutState.UNKNOWN) else "",
        "buttons": _payout_buttons(request, found),
        "facts": _payout_facts(found),
        "tables": tables,
    }
    return page(request, "console/detail.html", context, title=found.payout_no)


def _payout_facts(found: Payout) -> list[tuple[Any, Cell]]:
    account = found.settlement_account
    merchant = found.merchant
    return [
        (_("Merchant"), cells.text(merchant.merchant_no, link("merchant", merchant.merchant_no), note=merchant.name)),
        (_("Amount"), cells.money(found.amount, found.currency)),
        (_("Payee"), cells.text(account.holder, note=account.get_state_display())),
        (
            pgettext("payee", "Account"),
            cells.number(account.number_masked, note=f"{account.bank_name} {account.branch_code}"),
        ),
        (_("Settlement sheet"), cells.number(found.sheet.sheet_no, link("sheet", found.sheet_id))),
        (_("Sheet state"), cells.state(found.sheet)),
        (_("Batch"), cells.number(found.batch.batch_no, link("payout_batch", found.batch_id))),
        (_("From account"), cells.text(found.batch.bank_account.code)),
        (_("Pay date"), cells.date(found.batch.pay_date)),
        (_("Sent"), cells.moment(found.sent_at)),
        (_("Finished"), cells.moment(found.finished_at)),
        (_("Bank reference"), cells.number(found.bank_reference or "–")),
        (_("Queries"), cells.count(found.query_count)),
        (_("Failure code"), cells.number(found.failure_code or "–")),
    ]


def _payout_buttons(request: HttpRequest, found: Payout) -> list[Button]:
    if found.state in (*IN_DOUBT, PayoutState.SENDING):
        return _poll_button(request)
    if found.state in TO_SEND and request.user.may("payouts.send"):
        return [Button(_("Send the batch to the bank"), link("payout_batch_send", found.batch_id), post=True)]
    again = found.state == PayoutState.FAILED and found.sheet.state == SheetState.IN_PAYMENT
    if again and not Payout.objects.filter(previous=found).exists():
        return _propose_button(request, found.batch.pay_date - ONE_DAY, _("Propose a new attempt"))
    return []


def _attempts(found: Payout) -> list[Payout]:
    """All payouts of the sheet: each attempt follows the one before."""
    attempts = Payout.objects.filter(sheet=found.sheet_id).order_by("id")
    return list(attempts.select_related("merchant", "settlement_account", "sheet", "batch"))


def _first_day(attempts: list[Payout]) -> dt.date:
    """The earliest accounting day any of the attempts can be booked on: a voucher's, else the pay date's eve."""
    events = PayoutEvent.objects.filter(payout__in=attempts, voucher_id__isnull=False).order_by("voucher_id")
    first = events.values_list("voucher_id", flat=True).first()
    return day_of(first) if first else attempts[0].batch.pay_date - ONE_DAY


def _history_table(found: Payout) -> Table:
    rows = []
    for event in payout_history(found):
        changed = event.from_state and event.from_state != event.to_state
        rows.append(
            [
                cells.moment(event.at),
                cells.number(event.payout.payout_no),
                cells.badge(event.from_state, _STATES[event.from_state]) if changed else cells.text(""),
                cells.badge(event.to_state, _STATES[event.to_state]),
                cells.text(event.username),
                Cell(retold(event.note), css="c-wrap" if event.note else ""),
                cells.number(event.voucher_id, link("voucher", event.voucher_id) if event.voucher_id else ""),
            ]
        )
    columns = [
        Column(_("At")),
        Column(_("Payout number")),
        Column(pgettext("state", "From")),
        Column(pgettext("state", "To")),
        Column(_("By")),
        Column(_("Note")),
        Column(_("Voucher")),
    ]
    return Table(columns, rows, title=_("History"))


def _attempt_table(attempts: list[Payout], found: Payout) -> Table:
    rows = [payout_row(attempt) for attempt in attempts]
    table = Table(payout_columns(), rows, title=_("Attempts for this sheet"))
    table.note = _("This page shows %s.") % found.payout_no
    return table


def _bank_line_table(attempts: list[Payout]) -> Table:
    numbers = [attempt.payout_no for attempt in attempts]
    rows = [
        [
            cells.number(line.reference, link("bank_line", line.pk)),
            cells.date(line.value_date),
            cells.text(line.get_kind_display()),
            cells.state(line),
            cells.text(line.counterparty),
            cells.text(line.memo),
            cells.money(line.amount, line.currency, signed=True),
        ]
        for line in BankLine.objects.filter(payout_no__in=numbers).order_by("id")
    ]
    columns = [
        Column(_("Bank reference")),
        Column(_("Value date")),
        Column(_("Kind")),
        Column(_("State")),
        Column(_("Counterparty")),
        Column(_("Memo")),
        Column(_("Amount"), "c-amount"),
    ]
    return Table(columns, rows, title=_("On our bank statement"), empty=_("No line of a bank statement names it yet."))


urlpatterns = [
    path("payouts/batches/", payout_batch_list, name="payout_batch_list"),
    path("payouts/batches/propose/", payout_batch_propose, name="payout_batch_propose"),
    path("payouts/batches/<int:batch_id>/", payout_batch, name="payout_batch"),
    path("payouts/batches/<int:batch_id>/send/", payout_batch_send, name="payout_batch_send"),
    path("payouts/batches/<int:batch_id>/file/", payout_batch_export, name="payout_batch_export"),
    path("payouts/poll/", payout_poll, name="payout_poll"),
    path("payouts/", payout_list, name="payout_list"),
    path("payouts/<int:payout_id>/", payout, name="payout"),
]
