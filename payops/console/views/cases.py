"""Cases: the list that is worked through, the page of one case with both sides, and what may be done about it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.accounts.choices import Event
from payops.approvals.selectors import may_decide
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import CaseFilter
from payops.console.forms import ProposeForm
from payops.console.lists import Button, list_page
from payops.console.shell import action, page, view
from payops.console.tables import case_columns, case_row, kind_label
from payops.console.views.matching import match_button, suggestion_table
from payops.console.vouchers import voucher_table, vouchers_by_id, vouchers_of
from payops.core.errors import PayopsError
from payops.core.formatting import money
from payops.discrepancies import services
from payops.discrepancies.choices import WORKABLE_STATES
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.rules import allowed_actions
from payops.discrepancies.selectors import (
    age_in_days,
    ageing,
    case_get,
    cases_filtered,
    fingerprint,
    history_of,
    is_waiting,
    reference_day,
)
from payops.discrepancies.services.params import prefill
from payops.orders.choices import Status

# --- the list ---------------------------------------------------------------------------------------------------------


@view("cases.view")
def case_list(request: HttpRequest) -> HttpResponseBase:
    """Cases; open ones unless asked for others, many of them worked at once."""
    data = request.GET.copy()
    if "state" not in data and "case_no" not in data:
        data["state"] = "open_states"
    filters = CaseFilter(data, queryset=_by_age(request, data.get("age", "")), request=request)
    filters.form.fields["age"].choices = [("", _("All")), *((b.label, b.label) for b in ageing())]
    may_propose = request.user.may("cases.propose")
    today = reference_day()
    return list_page(
        request,
        title=_("Cases"),
        filters=filters,
        columns=case_columns(),
        row=lambda case: case_row(case, today),
        export_name="cases",
        empty=_("There are no such cases."),
        selectable=may_propose,
        extra={"propose_form": ProposeForm() if may_propose else None, "bulk_url": link("case_propose_many")},
        template="console/case_list.html",
    )


def _by_age(request: HttpRequest, label: str) -> QuerySet[Discrepancy]:
    labels = {bucket.label: position for position, bucket in enumerate(ageing())} if label else {}
    return cases_filtered(request.user, bucket=labels.get(label))


@action("cases.propose")
def case_propose_many(request: HttpRequest) -> HttpResponse:
    """One action for all chosen cases, as one request with a total."""
    ids = [int(value) for value in request.POST.getlist("ids") if value.isascii() and value.isdigit()]
    if not ids:
        raise PayopsError("console.nothing_chosen", _("Tick the cases first."))
    form = ProposeForm(request.POST)
    if not form.is_valid():
        raise PayopsError("console.invalid", _first_error(form))
    request_row = services.actions_propose_many(
        case_ids=ids,
        kind=form.cleaned_data["kind"],
        params=form.params(),
        user=request.user,
        note=form.cleaned_data["note"],
    )
    messages.success(
        request,
        _("Proposed for %(count)d cases as request #%(request)d; another person decides.")
        % {"count": len(ids), "request": request_row.pk},
    )
    return redirect(link("approval", request_row.pk))


# --- one case ---------------------------------------------------------------------------------------------------------


@view("cases.view")
def case_detail(request: HttpRequest, case_id: int) -> HttpResponseBase:
    """One case: what differs, why, what it has in suspense, what was done, and what can be done now."""
    case = case_get(request.user, case_id)
    return _case_page(request, case, _propose_form(request, case))


def _case_page(
    request: HttpRequest, case: Discrepancy, propose_form: ProposeForm | None, status: int = 200
) -> HttpResponse:
    actions = list(case.actions.select_related("proposed_by", "approval__checker").order_by("-id"))
    waiting = next((row for row in actions if row.state == "proposed"), None)
    workable = case.state in WORKABLE_STATES and request.user.may("cases.propose")
    context = {
        "parent_title": _("Cases"),
        "parent_url": link("case_list"),
        "badges": _badges(case),
        "buttons": [*_buttons(case), *match_button(request, case)],
        "case": case,
        "facts": _facts(case),
        "sides": _sides(case),
        "other_facts": _other_facts(case),
        "action_table": _action_table(actions, case.currency),
        "voucher_table": voucher_table(_vouchers(case, actions), title=_("Vouchers")),
        "item_table": _item_table(case),
        "suggestion_table": suggestion_table(request, case),
        "history": list(history_of(case)),
        "waiting_request": waiting.approval if waiting else None,
        "may_decide": bool(waiting and waiting.approval and may_decide(request.user, waiting.approval)),
        "propose_form": propose_form,
        "may_take": workable and case.owner_id != request.user.pk,
        "may_close": workable and case.suspense == 0,
        "may_note": request.user.may("cases.propose") or request.user.may("cases.approve"),
    }
    title = f"{case.case_no} · {case.get_kind_display()}"
    return page(request, "console/case.html", context, title=title, status=status)


def _propose_form(request: HttpRequest, case: Discrepancy, data: Any = None) -> ProposeForm | None:
    if case.state not in WORKABLE_STATES or not request.user.may("cases.propose"):
        return None
    kinds = allowed_actions(case)
    suggested = case.suggested_action if case.suggested_action in kinds else kinds[0].value
    initial = {**prefill(case), "kind": suggested, "fingerprint": fingerprint(case)}
    return ProposeForm(data, initial=initial, kinds=kinds)


def _buttons(case: Discrepancy) -> list[Button]:
    if not case.transaction_id and not case.bill_line_id:
        return []
    return [Button(_("Whole story"), link("explain", q=case.case_no))]


def _badges(case: Discrepancy) -> list[Cell]:
    badges = [cells.state(case)]
    if case.is_open and case.escalated_at:
        badges.append(cells.badge("escalated", _("Escalated"), tone="danger"))
    if is_waiting(case):
        badges.append(cells.badge("waiting", _("Waiting until %s") % case.wait_until))
    return badges


def _facts(case: Discrepancy) -> list[tuple[str, Cell]]:
    day = case.business_date.isoformat()
    contract = case.contract
    where = cells.text("–")
    if contract is not None:
        where = cells.text(contract.code, link("run_list", contract=contract.code, date=day))
    elif case.bank_account is not None:
        where = cells.text(case.bank_account.code)
    merchant = case.merchant
    return [
        (_("Difference"), cells.money(case.amount, case.currency, signed=True)),
        (_("In suspense"), cells.money(case.suspense, case.currency, signed=True)),
        (_("Currency"), cells.text(case.currency)),
        (_("Reason"), cells.text(case.get_reason_code_display())),
        (_("Channel"), where),
        (_("Channel date"), cells.date(case.business_date)),
        (_("Age in days"), cells.text(age_in_days(case) if case.is_open else "–")),
        (_("Merchant"), cells.text(str(merchant), link("merchant", merchant.merchant_no)) if merchant else Cell("–")),
        (_("Suggested action"), cells.text(case.get_suggested_action_display() or "–")),
        (pgettext("case", "Owner"), cells.text(case.owner.display_name if case.owner else "–")),
        (_("Opened"), cells.moment(case.opened_at)),
        (_("Closed"), cells.moment(case.closed_at)),
    ]


def _sides(case: Discrepancy) -> dict[str, Any] | None:
    """Both sides' evidence in two columns; what differs stands out."""
    own, channel = case.evidence.get("own"), case.evidence.get("channel")
    if not own and not channel:
        return None
    rows = [
        _side_row(_("Kind"), _side_kind(own), _side_kind(channel)),
        _side_row(_("Matching key"), _value(own, "match_key"), _value(channel, "match_key"), css="c-num"),
        _side_row(_("Amount"), _side_money(own, "amount"), _side_money(channel, "amount"), css="c-amount"),
        _side_row(_("Currency"), _value(own, "currency"), _value(channel, "currency")),
        _side_row(
            _("Fee"), _side_money(own, "expected_cost"), _side_money(channel, "fee"), css="c-amount", hint=_("expected")
        ),
        _side_row(_("Status"), _own_status(own), _value(channel, "status"), compare=False),
        _side_row(
            _("Channel trade number"), _value(own, "channel_trade_no"), _value(channel, "channel_trade_no"), css="c-num"
        ),
        _side_row(_("Time"), _moment(own), _moment(channel), compare=False),
        _side_row(
            _("Number"), _value(own, "transaction_no"), _value(channel, "request_no"), css="c-num", compare=False
        ),
        _side_row(_("Merchant"), _value(own, "merchant_no"), _value(channel, "merchant_no"), compare=False),
    ]
    return {
        "rows": rows,
        "own": bool(own),
        "channel": bool(channel),
        "own_url": link("transaction", case.transaction_id) if case.transaction_id else "",
        "channel_url": link("bill_line", case.bill_line_id) if case.bill_line_id else "",
    }


def _side_row(
    label: str, own: str | None, channel: str | None, *, css: str = "", compare: bool = True, hint: str = ""
) -> dict[str, Any]:
    differs = compare and bool(own) and bool(channel) and own != channel
    return {"label": label, "own": own, "channel": channel, "css": css, "differs": differs, "hint": hint}


def _value(side: dict[str, Any] | None, name: str) -> str | None:
    return str(side.get(name) or "") if side else None


def _own_status(side: dict[str, Any] | None) -> str | None:
    """Our status in words; the channel's stays in the channel's own."""
    value = _value(side, "status")
    return str(Status(value).label) if value in Status.values else value


def _side_kind(side: dict[str, Any] | None) -> str | None:
    return kind_label(side["kind"]) if side else None


def _side_money(side: dict[str, Any] | None, name: str) -> str | None:
    if not side or side.get(name) is None:
        return None
    return money(side[name], side.get("currency", "CNY"))


def _moment(side: dict[str, Any] | None) -> str | None:
    at = parse_datetime(side.get("occurred_at") or "") if side else None
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S") if at else None


def _other_facts(case: Discrepancy) -> list[tuple[str, Cell]]:
    """What the bank says, where the difference is one of the bank; what a closed account could not take."""
    facts: list[tuple[str, Cell]] = []
    if closed := case.evidence.get("closed"):
        facts += [
            (_("Meant for the closed account"), cells.number(closed["account_no"])),
            (_("Booked as"), cells.text(Event(closed["event"]).label)),
            (_("Voucher"), cells.number(closed["voucher"], link("voucher", int(closed["voucher"])))),
        ]
    receipt, bank = case.evidence.get("receipt"), case.evidence.get("bank")
    if receipt:
        facts += [
            (_("Due by the bill"), cells.money(receipt.get("due"), case.currency)),
            (pgettext("money", "Received"), cells.money(receipt.get("received"), case.currency)),
            (_("Due date"), cells.text(receipt.get("due_date", ""))),
        ]
        if case.contract:
            day = case.business_date.isoformat()
            facts.append((_("Channel receipt"), Cell(day, link("receipt_list", contract=case.contract.code, date=day))))
    if bank:
        facts += [
            (_("Counterparty"), cells.text(bank.get("counterparty", ""))),
            (_("Memo"), cells.text(bank.get("memo", ""))),
            (_("Amount"), cells.money(bank.get("amount"), case.currency)),
            (_("Value date"), cells.text(bank.get("value_date", ""))),
            (
                _("Bank reference"),
                cells.number(
                    bank.get("reference", ""), link("bank_line", case.bank_line_id) if case.bank_line_id else ""
                ),
            ),
        ]
    return facts


def _action_table(actions: list[CaseAction], currency: str) -> Table:
    rows = [
        [
            cells.text(row.get_kind_display(), note=_details(row)),
            cells.badge(row.state, row.get_state_display()),
            cells.money(row.amount, currency, signed=True),
            cells.text(row.proposed_by.username),
            cells.text(row.approval.checker.username if row.approval and row.approval.checker else "–"),
            cells.text(f"#{row.approval_id}", link("approval", row.approval_id)) if row.approval_id else Cell("–"),
            cells.number(row.voucher_id, link("voucher", row.voucher_id)) if row.voucher_id else Cell("–"),
            cells.text(_("Transaction"), link("transaction", row.transaction_id)) if row.transaction_id else Cell("–"),
        ]
        for row in actions
    ]
    columns = [
        Column(_("Action")),
        Column(_("State")),
        Column(_("Amount"), "c-amount"),
        Column(_("Maker")),
        Column(_("Checker")),
        Column(_("Request")),
        Column(_("Voucher")),
        Column(_("Made")),
    ]
    return Table(columns, rows, title=_("Actions"), empty=_("Nothing has been proposed yet."))


def _details(row: CaseAction) -> str:
    names = {"merchant_no": _("Merchant"), "match_key": _("Request number"), "until": _("Until")}
    return ", ".join(f"{names[name]} {value}" for name, value in row.params.items() if name in names)


def _vouchers(case: Discrepancy, actions: list[CaseAction]) -> list[Any]:
    """What the case's actions booked, and what took the bank's difference into suspense."""
    found = vouchers_by_id([row.voucher_id for row in actions])
    if case.bank_line_id:
        found += vouchers_of([("bank_line", case.bank_line_id)], case.business_date)
    return found


def _item_table(case: Discrepancy) -> Table:
    items = case.items.select_related("first_run", "definite_run", "cleared_run").order_by("id")
    rows = [
        [
            cells.result(item.result, item.get_result_display()),
            cells.state(item),
            cells.money(item.d, item.currency, signed=True),
            cells.date(item.first_date, link("run", item.first_run_id, kind=item.result)),
            cells.date(item.definite_date, link("run", item.definite_run_id) if item.definite_run_id else ""),
            cells.date(item.cleared_date, link("run", item.cleared_run_id) if item.cleared_run_id else ""),
        ]
        for item in items
    ]
    columns = [
        Column(_("Result")),
        Column(_("State")),
        Column(_("Difference"), "c-amount"),
        Column(_("First seen")),
        Column(_("Definite since")),
        Column(_("Cleared on")),
    ]
    return Table(columns, rows, title=_("Open items of this case"))


# --- what is done about a case ----------------------------------------------------------------------------------------


@action("cases.propose")
def case_propose(request: HttpRequest, case_id: int) -> HttpResponse:
    """Propose an action; a form that is not complete comes back with what is missing."""
    case = case_get(request.user, case_id)
    form = _propose_form(request, case, request.POST)
    # A case that changed meanwhile has no form any more: the service says what happened to it.
    values = form or ProposeForm(request.POST)
    if not values.is_valid():
        return _case_page(request, case, values, status=400)
    proposed = services.action_propose(
        case_id=case.pk,
        kind=values.cleaned_data["kind"],
        params=values.params(),
        user=request.user,
        note=values.cleaned_data["note"],
        expected_fingerprint=values.cleaned_data["fingerprint"],
    )
    messages.success(request, _("Proposed as request #%d; another person decides.") % proposed.approval_id)
    return redirect(link("case_detail", case.pk))


@action("cases.propose")
def case_take(request: HttpRequest, case_id: int) -> HttpResponse:
    """Take a case on."""
    case = case_get(request.user, case_id)
    services.case_assign(case_id=case.pk, owner=request.user, user=request.user)
    messages.success(request, _("Case %s is yours now.") % case.case_no)
    return redirect(link("case_detail", case.pk))


@action("cases.view")
def case_note(request: HttpRequest, case_id: int) -> HttpResponse:
    """Add a note to the history; the service knows who may."""
    case = case_get(request.user, case_id)
    services.case_note(case_id=case.pk, user=request.user, note=request.POST.get("note", "")[:2000])
    return redirect(link("case_detail", case.pk) + "#history")


@action("cases.propose")
def case_close(request: HttpRequest, case_id: int) -> HttpResponse:
    """Close a case that has nothing in suspense, saying why."""
    case = case_get(request.user, case_id)
    services.case_close(case_id=case.pk, user=request.user, note=request.POST.get("note", "")[:2000])
    messages.success(request, _("Case %s is closed.") % case.case_no)
    return redirect(link("case_detail", case.pk))


def _first_error(form: ProposeForm) -> str:
    name, errors = next(iter(form.errors.items()))
    label = form.fields[name].label if name in form.fields else name
    return f"{label}: {errors[0]}"


# --- ageing -----------------------------------------------------------------------------------------------------------


@view("cases.view")
def case_ageing(request: HttpRequest) -> HttpResponseBase:
    """Open cases by age and kind; every figure leads to its cases."""
    return page(
        request,
        "console/detail.html",
        {"parent_title": _("Cases"), "parent_url": link("case_list"), "tables": [ageing_table()]},
        title=_("Cases by age"),
    )


def ageing_table() -> Table:
    """Counts and suspense of open cases by age in days."""
    rows = []
    totals = [0, 0, 0]
    for bucket in ageing():
        url = link("case_list", state="open_states", age=bucket.label)
        rows.append(
            [
                cells.text(_("%s days") % bucket.label, url),
                cells.count(bucket.count, url),
                cells.money(bucket.surplus),
                cells.money(bucket.shortage),
            ]
        )
        totals = [totals[0] + bucket.count, totals[1] + bucket.surplus, totals[2] + bucket.shortage]
    columns = [
        Column(_("Age")),
        Column(_("Cases"), "c-amount"),
        Column(_("Surplus"), "c-amount"),
        Column(_("Shortage"), "c-amount"),
    ]
    foot = [cells.text(_("Total")), cells.count(totals[0]), cells.money(totals[1]), cells.money(totals[2])]
    return Table(columns, rows, title=_("Open cases by age"), foot=foot)


urlpatterns = [
    path("cases/", case_list, name="case_list"),
    path("cases/ageing/", case_ageing, name="case_ageing"),
    path("cases/propose/", case_propose_many, name="case_propose_many"),
    path("cases/<int:case_id>/", case_detail, name="case_detail"),
    path("cases/<int:case_id>/propose/", case_propose, name="case_propose"),
    path("cases/<int:case_id>/take/", case_take, name="case_take"),
    path("cases/<int:case_id>/note/", case_note, name="case_note"),
    path("cases/<int:case_id>/close/", case_close, name="case_close"),
]
