"""Approvals: what waits for me, what I proposed, what was decided, and the page on which a second person decides."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import NoReverseMatch, path, reverse
from django.utils.translation import gettext as _

from payops.accounts.models import CorrectionVoucher, ManualVoucher
from payops.approvals import services
from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.approvals.registry import action_get
from payops.approvals.selectors import describe, may_decide, pending_for, pending_made_by, requests_for
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import ApprovalFilter
from payops.console.forms import NoteForm
from payops.console.lists import list_page
from payops.console.match_rows import match_row_table, rows_of_request
from payops.console.shell import action, page, view
from payops.console.vouchers import voucher_table, vouchers_by_id
from payops.core.retelling import retold
from payops.discrepancies.models import CaseAction
from payops.reconciliation.models import MatchGroup, RunVoucher

BATCH_ROWS = 200


@view("approvals.view")
def approval_list(request: HttpRequest) -> HttpResponseBase:
    """Requests: first those that wait for this person."""
    tab = request.GET.get("tab", "")
    waiting, mine = pending_for(request.user), pending_made_by(request.user)
    counts = {"": waiting.count(), "mine": mine.count()}
    rows: QuerySet[ApprovalRequest] = {"": waiting, "mine": mine}.get(tab, requests_for(request.user))
    filters = ApprovalFilter(request.GET, queryset=rows, request=request)
    tabs = [
        {"label": _("Waiting for me"), "url": link("approval_list"), "count": counts[""], "chosen": tab == ""},
        {"label": _("Proposed by me"), "url": link("approval_list", tab="mine"), "count": counts["mine"]},
        {"label": _("All"), "url": link("approval_list", tab="all"), "count": None},
    ]
    tabs[1]["chosen"], tabs[2]["chosen"] = tab == "mine", tab not in {"", "mine"}
    return list_page(
        request,
        title=_("Approvals"),
        filters=filters,
        columns=approval_columns(),
        row=approval_row,
        export_name="approvals",
        empty=_("Nothing waits for you.") if tab == "" else _("There are no such requests."),
        extra={"tabs": tabs, "tab": tab},
        template="console/approval_list.html",
    )


def approval_columns() -> list[Column]:
    """Headings of requests."""
    return [
        Column(_("Request")),
        Column(_("Title")),
        Column(_("Amount"), "c-amount"),
        Column(_("Currency")),
        Column(_("Status")),
        Column(_("Maker")),
        Column(_("Made")),
        Column(_("Checker")),
        Column(_("Decided")),
    ]


def approval_row(item: ApprovalRequest) -> list[Cell]:
    """One request, its title in the reader's language."""
    return [
        cells.number(f"#{item.pk}", link("approval", item.pk)),
        cells.text(describe(item).title, link("approval", item.pk)),
        cells.money(item.amount, item.currency or "CNY"),
        cells.text(item.currency or "–"),
        cells.state(item, "status"),
        cells.text(item.maker.username),
        cells.moment(item.made_at),
        cells.text(item.checker.username if item.checker else "–"),
        cells.moment(item.decided_at),
    ]


def _request_or_404(request: HttpRequest, approval_id: int) -> ApprovalRequest:
    found = requests_for(request.user).filter(pk=approval_id).first()
    if found is None:
        raise Http404
    return found


@view("approvals.view")
def approval(request: HttpRequest, approval_id: int) -> HttpResponseBase:
    """One request: exactly what will happen, to what, proposed by whom and why; and the decision."""
    found = _request_or_404(request, approval_id)
    description = describe(found)
    is_pending = found.status == RequestStatus.PENDING
    context = {
        "parent_title": _("Approvals"),
        "parent_url": link("approval_list"),
        "badges": [cells.state(found, "status")],
        "approval": found,
        "target_url": _target_url(description.url_name, description.url_args),
        "facts": _facts(found),
        "described": [*((label, cells.text(value)) for label, value in description.rows), *_group_made(found)],
        "compared_table": _match_table(found),
        "rows_table": _case_table(found),
        "voucher_table": voucher_table(_vouchers(found)) if found.status == RequestStatus.EXECUTED else None,
        "may_decide": may_decide(request.user, found),
        "may_withdraw": is_pending and found.maker_id == request.user.pk,
        "own_request": is_pending and found.maker_id == request.user.pk,
        "note_form": NoteForm(),
        "json_blocks": [(_("Frozen payload"), services.canonical_json(found.payload))],
    }
    return page(request, "console/approval.html", context, title=f"#{found.pk} {description.title}")


def _target_url(url_name: str, arguments: Any) -> str:
    try:
        return reverse(url_name, args=arguments) if url_name else ""
    except NoReverseMatch:
        return ""


def _facts(found: ApprovalRequest) -> list[tuple[str, Cell]]:
    facts = [
        (_("Amount"), cells.money(found.amount, found.currency or "CNY")),
        (_("Currency"), cells.text(found.currency or "–")),
        (_("Tier"), cells.text(found.tier)),
        (_("Maker"), cells.text(found.maker.display_name, note=found.maker.username)),
        (_("Made"), cells.moment(found.made_at)),
        (_("Reason"), cells.text(retold(found.reason) or "–")),
    ]
    if found.status != RequestStatus.PENDING:
        checker = found.checker
        facts += [
            (
                _("Checker"),
                cells.text(checker.display_name if checker else "–", note=checker.username if checker else ""),
            ),
            (_("Decided"), cells.moment(found.decided_at)),
            (_("Decision note"), cells.text(found.decision_note or "–")),
        ]
    return facts


def _group_made(found: ApprovalRequest) -> list[tuple[str, Cell]]:
    """The group a match by hand made when it was approved."""
    groups = MatchGroup.objects.filter(approval_id=found.pk).values_list("pk", flat=True)
    return [(_("Match group"), cells.number(f"#{pk}", link("match_group", pk))) for pk in groups]


def _match_table(found: ApprovalRequest) -> Table | None:
    """The rows of a request about a match or an offset, to be compared before it is decided."""
    rows = rows_of_request(found)
    return match_row_table(rows, found.currency, title=_("Rows")) if rows else None


def _case_table(found: ApprovalRequest) -> Table | None:
    """The cases of a request over cases, each with its amount: what the total is made of."""
    actions = list(CaseAction.objects.filter(approval=found).select_related("case").order_by("id")[:BATCH_ROWS])
    if not actions:
        return None
    rows = [
        [
            cells.number(row.case.case_no, link("case_detail", row.case_id)),
            cells.text(row.case.get_kind_display()),
            cells.state(row.case),
            cells.text(row.get_kind_display()),
            cells.money(row.amount, row.case.currency, signed=True),
            cells.badge(row.state, row.get_state_display()),
            cells.number(row.voucher_id, link("voucher", row.voucher_id)) if row.voucher_id else cells.text("–"),
        ]
        for row in actions
    ]
    columns = [
        Column(_("Case number")),
        Column(_("Kind")),
        Column(_("State of the case")),
        Column(_("Action")),
        Column(_("Amount"), "c-amount"),
        Column(_("State")),
        Column(_("Voucher")),
    ]
    total = sum(row.amount for row in actions)
    foot = [cells.text(_("Total")), *[cells.text("")] * 3, cells.money(total, actions[0].case.currency, signed=True)]
    return Table(columns, rows, title=_("Cases"), foot=[*foot, cells.text(""), cells.text("")])


def _vouchers(found: ApprovalRequest) -> list[Any]:
    of_document = (
        CaseAction.objects.filter(approval=found),
        ManualVoucher.objects.filter(approval=found),
        CorrectionVoucher.objects.filter(correction__approval=found),
        # What a match or its taking back booked stands in the totals of the run it made.
        RunVoucher.objects.filter(run=(found.result or {}).get("run")),
    )
    return vouchers_by_id(
        number for rows in of_document for number in rows.values_list("voucher_id", flat=True)[:BATCH_ROWS]
    )


# --- decisions --------------------------------------------------------------------------------------------------------


def _require_checker(request: HttpRequest, found: ApprovalRequest) -> None:
    """403 for whoever could never decide this request, whatever state it is in."""
    if not request.user.may(action_get(found.action).permission_for(found.tier)):
        raise PermissionDenied(_("Your role does not allow this."))


@action("approvals.view")
def approval_approve(request: HttpRequest, approval_id: int) -> HttpResponse:
    """Approve and execute; the service knows who may, and does it once."""
    found = _request_or_404(request, approval_id)
    _require_checker(request, found)
    services.request_approve(request_id=found.pk, checker=request.user, note=request.POST.get("note", "")[:2000])
    messages.success(request, _("Request #%d is approved and done.") % found.pk)
    return redirect(link("approval", found.pk))


@action("approvals.view")
def approval_reject(request: HttpRequest, approval_id: int) -> HttpResponse:
    """Reject, with a note for the maker."""
    found = _request_or_404(request, approval_id)
    _require_checker(request, found)
    services.request_reject(request_id=found.pk, checker=request.user, note=request.POST.get("note", "")[:2000])
    messages.success(request, _("Request #%d is rejected.") % found.pk)
    return redirect(link("approval", found.pk))


@action("approvals.view")
def approval_withdraw(request: HttpRequest, approval_id: int) -> HttpResponse:
    """Take one's own request back."""
    found = _request_or_404(request, approval_id)
    if found.maker_id != request.user.pk:
        raise PermissionDenied(_("Only its maker withdraws a request."))
    services.request_withdraw(request_id=found.pk, maker=request.user, note=request.POST.get("note", "")[:2000])
    messages.success(request, _("Request #%d is withdrawn.") % found.pk)
    return redirect(link("approval", found.pk))


urlpatterns = [
    path("approvals/", approval_list, name="approval_list"),
    path("approvals/<int:approval_id>/", approval, name="approval"),
    path("approvals/<int:approval_id>/approve/", approval_approve, name="approval_approve"),
    path("approvals/<int:approval_id>/reject/", approval_reject, name="approval_reject"),
    path("approvals/<int:approval_id>/withdraw/", approval_withdraw, name="approval_withdraw"),
]
