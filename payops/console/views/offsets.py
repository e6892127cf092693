"""Internal offsets of a run: the pairs that cancel each other on one side, and keeping two of them apart."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.match_rows import MatchRow, match_row_table
from payops.console.shell import action, page, view
from payops.console.views.proposals import ReasonForm, proposal_page, refusal_page
from payops.core.errors import PayopsError
from payops.reconciliation.choices import ItemSide
from payops.reconciliation.matching.apart import ACTION, Offset, offset_undo_check, offset_undo_propose, offsets_of
from payops.reconciliation.models import ReconRun
from payops.reconciliation.rows import LineRow, OwnRow


def _run_or_404(run_id: int) -> ReconRun:
    run = ReconRun.objects.select_related("contract").filter(pk=run_id).first()
    if run is None:
        raise Http404
    return run


def _title(run: ReconRun) -> str:
    return f"{run.contract.code} {run.channel_date} #{run.run_no}"


@view("runs.view")
def run_offset_list(request: HttpRequest, run_id: int) -> HttpResponseBase:
    """The pairs a run let go because their rows take each other back; whoever doubts one proposes to keep it apart."""
    run = _run_or_404(run_id)
    waiting = dict(
        ApprovalRequest.objects.filter(action=ACTION, status=RequestStatus.PENDING).values_list("target_id", "pk")
    )
    may_propose = request.user.may("cases.propose") and run.is_current
    rows = []
    for offset in offsets_of(run):
        cell = Cell("–", css="c-act")
        if offset.target in waiting:
            cell = Cell(_("Proposed"), link("approval", waiting[offset.target]), "c-act")
        elif may_propose:
            cell = Cell(_("No offset"), link("run_offset_undo", run.pk, offset=offset.target), "c-act")
        rows.append([*_cells(run, offset), cell])
    table = Table(
        [*_columns(), Column(_("Decide"), "c-act")],
        rows,
        empty=_("No two rows of one side took each other back."),
        note=_("The other side knows none of them. They left without a case, because together they are worth nothing."),
    )
    context = {"parent_title": _title(run), "parent_url": link("run", run.pk), "tables": [table]}
    return page(request, "console/detail.html", context, title=_("Internal offsets"))


def _columns() -> list[Column]:
    return [
        Column(pgettext("reconciliation", "Side")),
        Column(_("Amount"), "c-amount"),
        Column(_("Merchant")),
        Column(_("Paid")),
        Column(_("Time")),
        Column(_("Taken back")),
        Column(_("Time")),
    ]


def _cells(run: ReconRun, offset: Offset) -> list[Cell]:
    first, second = offset.rows
    return [
        cells.text(offset.side.label),
        cells.money(first.amount, run.contract.currency),
        _whose(offset),
        _number(offset.side, first),
        cells.moment(first.at),
        _number(offset.side, second),
        cells.moment(second.at),
    ]


def _rows(run: ReconRun, offset: Offset) -> Table:
    rows = [MatchRow(offset.side, row.id, row.sign * row.amount) for row in offset.rows]
    return match_row_table(rows, run.contract.currency, title=_("Rows"))


def _whose(offset: Offset) -> Cell:
    """Whose sale both are, where they are ours; two merchants are no offset."""
    names = {row.merchant_no: link("merchant", row.merchant_no) for row in offset.rows if isinstance(row, OwnRow)}
    if len(names) == 1:
        return cells.text(*names, *names.values())
    return cells.text(" / ".join(names) or "–")


def _number(side: ItemSide, row: OwnRow | LineRow) -> Cell:
    return cells.number(row.key, link("transaction" if side == ItemSide.OWN else "bill_line", row.id))


@action("cases.propose", methods=("GET", "POST"))
def run_offset_undo(request: HttpRequest, run_id: int) -> HttpResponse:
    """Propose that two rows are no offset; what stands in the way is said before anything is filled in."""
    run = _run_or_404(run_id)
    target = request.GET.get("offset", "")
    title, parent = _("No offset"), (_("Internal offsets"), link("run_offset_list", run.pk))
    try:
        run, offset, _later = offset_undo_check(run_id=run.pk, target=target)
    except PayopsError as error:
        return refusal_page(request, error, title=title, parent=parent)
    return proposal_page(
        request,
        ReasonForm(request.POST or None),
        lambda data: offset_undo_propose(run_id=run.pk, target=target, reason=data["reason"], maker=request.user),
        title=title,
        parent=parent,
        lead=_("%(day)s is run again when a second person agrees: each of the two is a difference with a case then.")
        % {"day": run.channel_date},
        tables=[_rows(run, offset)],
    )


urlpatterns = [
    path("runs/<int:run_id>/offsets/", run_offset_list, name="run_offset_list"),
    path("runs/<int:run_id>/offsets/undo/", run_offset_undo, name="run_offset_undo"),
]
