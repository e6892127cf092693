"""Rows matched in groups: what belongs together, what it cleared, and taking a match by hand back."""

from __future__ import annotations

from typing import Final

from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _

from payops.accounts.choices import Event
from payops.approvals.models import ApprovalRequest
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import MatchGroupFilter
from payops.console.lists import Button, list_page
from payops.console.match_rows import MatchRow, match_row_table
from payops.console.shell import action, page, view
from payops.console.tables import booked_amounts, open_item_table
from payops.console.views.proposals import ReasonForm, proposal_page, refusal_page
from payops.core.errors import PayopsError
from payops.reconciliation.choices import GroupKind, ItemSide, ItemState
from payops.reconciliation.matching.undo import (
    CLEARED_EVENTS,
    hand_match_undo_check,
    hand_match_undo_propose,
    undo_proposed,
)
from payops.reconciliation.models import MatchGroup, OpenItem, RunVoucher

SHOWN: Final = 500


@view("runs.view")
def match_group_list(request: HttpRequest) -> HttpResponseBase:
    """Rows that belong together without one key: found by runs, and made by hand."""
    columns = [
        Column(_("Group")),
        Column(_("Kind")),
        Column(_("State")),
        Column(_("Channel")),
        Column(_("Ours"), "c-amount"),
        Column(_("The channel's"), "c-amount"),
        Column(_("Difference"), "c-amount"),
        Column(_("Run")),
        Column(_("Request")),
        Column(_("Made at")),
    ]

    def row(group: MatchGroup) -> list[Cell]:
        currency = group.contract.currency
        return [
            cells.number(group.pk, link("match_group", group.pk)),
            cells.text(group.get_kind_display()),
            _group_state(group),
            cells.text(group.contract.code),
            cells.money(group.own_amount, currency),
            cells.money(group.channel_amount, currency),
            cells.money(group.difference, currency, signed=True),
            _run_cell(group.run_id),
            _request_cell(group.approval_id),
            cells.moment(group.made_at),
        ]

    groups = MatchGroup.objects.select_related("contract", "end")
    return list_page(
        request,
        title=_("Match groups"),
        filters=MatchGroupFilter(request.GET, queryset=groups, request=request),
        columns=columns,
        row=row,
        export_name="match_groups",
        empty=_("Nothing is matched in groups."),
    )


def _group_state(group: MatchGroup) -> Cell:
    end = getattr(group, "end", None)
    if end is None:
        return cells.badge("active", _("Counts"))
    return cells.badge("replaced", _("Taken back") if end.approval_id else _("Ended"))


def _run_cell(run_id: int | None) -> Cell:
    return cells.number(f"#{run_id}", link("run", run_id)) if run_id else cells.text("–")


def _request_cell(approval_id: int | None) -> Cell:
    return cells.number(f"#{approval_id}", link("approval", approval_id)) if approval_id else cells.text("–")


def _group_or_404(match_group_id: int) -> MatchGroup:
    groups = MatchGroup.objects.select_related("contract", "end", "run")
    group = groups.filter(pk=match_group_id).first()
    if group is None:
        raise Http404
    return group


@view("runs.view")
def match_group(request: HttpRequest, match_group_id: int) -> HttpResponseBase:
    """One group: the rows it claims, what they were cleared of, and what that booked."""
    group = _group_or_404(match_group_id)
    currency = group.contract.currency
    facts = [
        (_("Channel"), cells.text(group.contract.code)),
        (_("Ours"), cells.money(group.own_amount, currency)),
        (_("The channel's"), cells.money(group.channel_amount, currency)),
        (_("Difference"), cells.money(group.difference, currency, signed=True)),
        (_("Maker"), cells.text(group.made_by)),
        (_("Made at"), cells.moment(group.made_at)),
        *([(_("Run"), _run_cell(group.run_id))] if group.run_id else []),
        *([(_("Request"), _request_cell(group.approval_id))] if group.approval_id else []),
        *([(_("Reason"), cells.text(group.why["reason"]))] if group.why.get("reason") else []),
    ]
    end = getattr(group, "end", None)
    if end is not None:
        facts += [(_("Ended at"), cells.moment(end.made_at)), (_("Taken back by"), _request_cell(end.approval_id))]
    items = _items(group)
    context = {
        "parent_title": _("Match groups"),
        "parent_url": link("match_group_list"),
        "badges": [_group_state(group)],
        "buttons": _buttons(request, group),
        "facts": facts,
        "tables": [
            _member_table(group),
            open_item_table(items, named=True, empty=_("Its rows were never open.")),
            _voucher_table(_runs(group, items), currency),
        ],
    }
    return page(request, "console/detail.html", context, title=f"{group.get_kind_display()} #{group.pk}")


def _buttons(request: HttpRequest, group: MatchGroup) -> list[Button]:
    if group.kind != GroupKind.BY_HAND or getattr(group, "end", None) is not None:
        return []
    waiting = undo_proposed(group)
    if waiting is not None:
        return [Button(_("Taking back is proposed: request #%d") % waiting.pk, link("approval", waiting.pk))]
    if request.user.may("cases.propose"):
        return [Button(_("Take this match back"), link("match_group_undo", group.pk))]
    return []


def _member_table(group: MatchGroup) -> Table:
    members = group.members.order_by("-side", "row_id")[:SHOWN]
    rows = [MatchRow(member.side, member.row_id, member.amount) for member in members]
    return match_row_table(rows, group.contract.currency, title=_("Members"))


def _items(group: MatchGroup) -> list[OpenItem]:
    """Open items of the members that were cleared, or are open again."""
    mine = Q()
    for side, row_id in group.members.values_list("side", "row_id")[:SHOWN]:
        name = "transaction_id" if side == ItemSide.OWN else "bill_line_id"
        mine |= Q(side=side, **{name: row_id})
    items = OpenItem.objects.filter(mine, contract=group.contract).exclude(state=ItemState.WITHDRAWN)
    return list(items.select_related("case", "cleared_run").order_by("pk"))


def _runs(group: MatchGroup, items: list[OpenItem]) -> set[int]:
    """The runs that cleared its items, and the run that opened them again."""
    runs = {item.cleared_run_id for item in items if item.cleared_run_id}
    requests = {group.approval_id, getattr(getattr(group, "end", None), "approval_id", None)} - {None}
    results = ApprovalRequest.objects.filter(pk__in=requests).values_list("result", flat=True)
    return runs | {result["run"] for result in results if result and "run" in result}


def _voucher_table(runs: set[int], currency: str) -> Table:
    """What these runs booked as cleared; their totals may hold other items of the day as well."""
    booked = RunVoucher.objects.filter(run__in=runs, event__in=CLEARED_EVENTS, voucher_id__isnull=False)
    rows = [
        [
            cells.text(Event(row.event).label),
            _run_cell(row.run_id),
            cells.text(booked_amounts(row.amounts, currency)),
            cells.number(row.voucher_id, link("voucher", row.voucher_id)),
        ]
        for row in booked.order_by("pk")
    ]
    columns = [Column(_("Rule")), Column(_("Run")), Column(_("Amounts")), Column(_("Voucher"))]
    return Table(columns, rows, title=_("Vouchers"), empty=_("Nothing had to be booked."))


@action("cases.propose", methods=("GET", "POST"))
def match_group_undo(request: HttpRequest, match_group_id: int) -> HttpResponse:
    """Propose that a match by hand is taken back; what stands in the way is said before anything is filled in."""
    group = _group_or_404(match_group_id)
    title = _("Take match #%d back") % group.pk
    parent = f"{group.get_kind_display()} #{group.pk}", link("match_group", group.pk)
    try:
        undo = hand_match_undo_check(group.pk)
    except PayopsError as error:
        return refusal_page(request, error, title=title, parent=parent)
    return proposal_page(
        request,
        ReasonForm(request.POST or None),
        lambda data: hand_match_undo_propose(group_id=group.pk, reason=data["reason"], maker=request.user),
        title=title,
        parent=parent,
        lead=_("%(day)s is run again when a second person agrees: these items and their cases are open then.")
        % {"day": undo.day},
        tables=[open_item_table(undo.items, named=True)],
    )


urlpatterns = [
    path("match-groups/", match_group_list, name="match_group_list"),
    path("match-groups/<int:match_group_id>/", match_group, name="match_group"),
    path("match-groups/<int:match_group_id>/undo/", match_group_undo, name="match_group_undo"),
]
