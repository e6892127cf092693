"""Versions of a bill: what a later one changes line by line, and reading a file again with a newer mapping."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from payops.channels.bills.differences import (
    ADDED,
    CHANGED,
    CHANGES,
    FIELDS,
    REMOVED,
    Difference,
    Row,
    Side,
    difference_of,
    difference_rows,
    version_to_compare,
    versions_of,
)
from payops.channels.bills.services import bill_enqueue, bill_receive
from payops.channels.choices import FileState
from payops.channels.mapping.models import FormatMapping
from payops.channels.mapping.selectors import mapping_of
from payops.channels.models import BillFile
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.lists import MAX_EXPORT_ROWS, Button
from payops.console.shell import action, log_download, page, view
from payops.console.tables import kind_label
from payops.core.errors import PayopsError
from payops.core.exports import csv_lines
from payops.core.formatting import money
from payops.core.storage import full_path

SHOWN: Final = 200
_LABELS: Final = {
    ADDED: (pgettext_lazy("bill rows", "Added"), "success"),
    REMOVED: (pgettext_lazy("bill rows", "Removed"), "danger"),
    CHANGED: (pgettext_lazy("bill rows", "Changed"), "warning"),
}
_FIELDS: Final = {
    "kind": gettext_lazy("Kind"),
    "match_key": gettext_lazy("Matching key"),
    "status": gettext_lazy("Status"),
    "order_no": gettext_lazy("Order number"),
    "request_no": gettext_lazy("Refund request number"),
    "original_trade_no": gettext_lazy("Original trade number"),
    "amount": gettext_lazy("Amount"),
    "settled_amount": gettext_lazy("Settled"),
    "fee": gettext_lazy("Fee"),
    "rate": gettext_lazy("Rate"),
    "currency": gettext_lazy("Currency"),
    "occurred_at": gettext_lazy("Occurred"),
    "payer_masked": gettext_lazy("Payer"),
}


def file_or_404(bill_file_id: int) -> BillFile:
    """The file with its contract."""
    found = BillFile.objects.select_related("contract__channel").filter(pk=bill_file_id).first()
    if found is None:
        raise Http404
    return found


def take_over_button(file: BillFile) -> Button:
    """Let a re-issue replace the version that work stands on."""
    return Button(
        _("Take over this version"),
        link("bill_file_take_over", file.pk),
        post=True,
        primary=True,
        confirm=_("The accepted version is replaced and the day has to be run again. Go on?"),
    )


def may_take_over(request: HttpRequest, file: BillFile) -> bool:
    """Whether the file waits for a person to take it over, and this one may."""
    return file.state == FileState.HELD and not file.bad_lines and request.user.may("files.upload")


def version_table(file: BillFile) -> Table:
    """Every version of the day with the way to what it changed."""
    rows = []
    for version in versions_of(file):
        before = version_to_compare(version) if version.was_read else None
        compare = link("bill_file_difference", version.pk) if before else ""
        rows.append(
            [
                cells.text(f"v{version.version}", "" if version.pk == file.pk else link("bill_file", version.pk)),
                cells.text(version.original_name),
                cells.state(version),
                cells.moment(version.received_at),
                cells.text(version.received_by, note=version.source),
                cells.count(version.line_count),
                cells.money((version.totals.get("all") or {}).get("settled"), file.contract.currency),
                cells.text(_("Compare with v%d") % before.version if before else "–", compare),
            ]
        )
    columns = [
        Column(_("Version")),
        Column(_("File name")),
        Column(_("State")),
        Column(_("Received")),
        Column(_("By")),
        Column(_("Lines"), "c-amount"),
        Column(_("Settled"), "c-amount"),
        Column(_("Difference")),
    ]
    return Table(columns, rows, title=_("Versions of this day"))


def newer_mapping(file: BillFile) -> FormatMapping | None:
    """The mapping in force when the file was read with an older version of it."""
    read_with = mapping_of(file.format_code)
    if read_with is None:
        return None
    latest = mapping_of(f"generic:{read_with.code}")
    return latest if latest is not None and latest.version > read_with.version else None


@view("files.view")
def bill_file_difference(request: HttpRequest, bill_file_id: int) -> HttpResponseBase:
    """What a version adds, removes and changes against the one before it, or the one it would replace."""
    file = file_or_404(bill_file_id)
    old = _compared(request, file)
    if old is None:
        nothing = {
            "parent_title": file.original_name,
            "parent_url": link("bill_file", file.pk),
            "lead": _("No other version of this day has lines to compare with."),
        }
        return page(request, "console/bill_difference.html", nothing, title=_("Compare versions"))
    change = request.GET.get("change", "")
    change = change if change in CHANGES else ""
    if request.GET.get("export") == "csv":
        return _csv(request, old, file, change)
    difference = difference_of(old, file)
    rows = list(difference_rows(old, file, limit=SHOWN, change=change))
    buttons = [Button(_("Export CSV"), link("bill_file_difference", file.pk, old=old.pk, change=change, export="csv"))]
    if may_take_over(request, file) and old.state == FileState.ACCEPTED:
        buttons.insert(0, take_over_button(file))
    context = {
        "parent_title": file.original_name,
        "parent_url": link("bill_file", file.pk),
        "badges": [cells.state(file)],
        "buttons": buttons,
        "lead": _explained(old, file, difference),
        "facts": [
            (_("Channel"), cells.text(file.contract.code)),
            (_("Channel date"), cells.date(file.channel_date)),
            (_("Earlier version"), cells.text(f"v{old.version}", link("bill_file", old.pk), note=old.original_name)),
            (_("Later version"), cells.text(f"v{file.version}", link("bill_file", file.pk), note=file.original_name)),
            (_("Equal lines"), cells.count(difference.same)),
            (_("Settled, difference"), cells.money(difference.settled, file.contract.currency, signed=True)),
        ],
        "tables": [_sums_table(file, old, difference), _rows_table(rows, difference, change)],
    }
    title = _("Version %(new)d against version %(old)d") % {"new": file.version, "old": old.version}
    return page(request, "console/bill_difference.html", context, title=title)


def _compared(request: HttpRequest, file: BillFile) -> BillFile | None:
    wanted = request.GET.get("old", "")
    if wanted.isascii() and wanted.isdigit():
        return next((version for version in versions_of(file) if str(version.pk) == wanted != str(file.pk)), None)
    return version_to_compare(file)


def _explained(old: BillFile, new: BillFile, difference: Difference) -> str:
    """What taking over would do, or has done, to the books."""
    if difference.none:
        return _("Both versions have the same lines: only bytes around them differ. A run finds the same again.")
    if new.state == FileState.HELD and new.bad_lines:
        return _("The unreadable lines of the later version are not among its lines and show as removed.")
    if new.state == FileState.HELD:
        return _(
            "The day was run with the earlier version. Taking over replaces it; then run the day again. The new run "
            "books only what differs, withdraws differences that are gone and opens cases for new ones. What another "
            "day's run or a person has decided since stays as it is, and the change becomes a difference of its own."
        )
    return _("Lines of former versions are kept; runs read the accepted version only.")


def _sums_table(new: BillFile, old: BillFile, difference: Difference) -> Table:
    currency = new.contract.currency
    rows = [
        [
            cells.badge(change, label, link("bill_file_difference", new.pk, old=old.pk, change=change), tone=tone),
            cells.count(difference.sums[change].count),
            cells.money(difference.sums[change].amount, currency, signed=change == CHANGED),
            cells.money(difference.sums[change].settled, currency, signed=change == CHANGED),
            cells.money(difference.sums[change].fee, currency, signed=change == CHANGED),
        ]
        for change, (label, tone) in _LABELS.items()
    ]
    columns = [
        Column(_("Difference")),
        Column(_("Lines"), "c-amount"),
        Column(_("Amount"), "c-amount"),
        Column(_("Settled"), "c-amount"),
        Column(_("Fee"), "c-amount"),
    ]
    note = _("Of changed lines the later value less the earlier one.")
    return Table(columns, rows, title=_("What the later version changes"), note=note)


def _rows_table(rows: list[Row], difference: Difference, change: str) -> Table:
    columns = [
        Column(_("Line")),
        Column(_("Difference")),
        Column(_("Channel trade number")),
        Column(_("Matching key")),
        Column(_("Kind")),
        Column(_("Amount"), "c-amount"),
        Column(_("Settled"), "c-amount"),
        Column(_("Fee"), "c-amount"),
        Column(_("What changed")),
    ]
    table = Table(
        columns, [_row(row) for row in rows], title=_("Line by line"), empty=_("There is no such difference.")
    )
    total = sum(sums.count for name, sums in difference.sums.items() if not change or name == change)
    if total > len(rows):
        table.note = _("The first %(shown)d of %(total)d; the CSV file has up to %(limit)d.") % {
            "shown": len(rows), "total": total, "limit": MAX_EXPORT_ROWS,
        }  # fmt: skip
    return table


def _row(row: Row) -> list[Cell]:
    label, tone = _LABELS[row.change]
    side = row.new or row.old
    if side is None:
        return []
    return [
        cells.number(row.line_no, link("bill_line", row.new_id or row.old_id)),
        cells.badge(row.change, label, tone=tone),
        cells.number(row.trade_no),
        cells.number(side.match_key),
        cells.text(kind_label(side.kind)),
        _both(row, "amount"),
        _both(row, "settled_amount"),
        _both(row, "fee"),
        Cell("; ".join(_told(row, name) for name in row.fields), css="c-wrap"),
    ]


def _both(row: Row, name: str) -> Cell:
    """The later value, and below it the earlier one when it differs."""
    side = row.new or row.old
    cell = cells.money(getattr(side, name), side.currency)  # type: ignore[union-attr]
    if row.old is None or row.new is None or getattr(row.old, name) == getattr(row.new, name):
        return cell
    return Cell(
        cell.text, css=cell.css, raw=cell.raw, note=_("was %s") % money(getattr(row.old, name), row.old.currency)
    )


def _told(row: Row, name: str) -> str:
    old, new = (_shown(side, name) for side in (row.old, row.new))
    return f"{_FIELDS[name]}: {old} → {new}"


def _shown(side: Side | None, name: str) -> str:
    value = getattr(side, name)
    if name == "kind":
        return str(kind_label(value))
    if name in ("amount", "settled_amount", "fee"):
        return money(value, side.currency)  # type: ignore[union-attr]
    if name == "occurred_at":
        return str(cells.moment(value).text)
    return str(value or "–")


def _csv(request: HttpRequest, old: BillFile, new: BillFile, change: str) -> StreamingHttpResponse:
    """The rows as CSV: every field as it was and as it is; at most MAX_EXPORT_ROWS, logged."""
    log_download(request, "bill_difference", new.pk, old=old.pk, change=change)
    header = [_("Difference"), _("Line"), _("Channel trade number")]
    for name in FIELDS:
        header += [_("%s before") % _FIELDS[name], _("%s after") % _FIELDS[name]]
    rows = difference_rows(old, new, limit=MAX_EXPORT_ROWS, change=change)
    lines = csv_lines([str(title) for title in header], (_csv_row(row) for row in rows))
    response = StreamingHttpResponse((line.encode() for line in lines), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="bill_difference_{new.pk}.csv"'
    response["Cache-Control"] = "no-store"
    return response


def _csv_row(row: Row) -> list[Any]:
    values: list[Any] = [str(_LABELS[row.change][0]), row.line_no, row.trade_no]
    for name in FIELDS:
        for side in (row.old, row.new):
            values.append("" if side is None else _shown(side, name).replace("–", ""))
    return values


@action("files.upload")
def bill_file_read_again(request: HttpRequest, bill_file_id: int) -> HttpResponse:
    """Register the kept bytes once more, to be read with the mapping now in force."""
    file = file_or_404(bill_file_id)
    if newer_mapping(file) is None:
        raise PayopsError("bill.no_newer_mapping", _("The mapping this file was read with is still the latest one."))
    username = request.user.get_username()
    again = bill_receive(
        contract=file.contract,
        channel_date=file.channel_date,
        stream=full_path(file.stored_path),
        name=file.original_name,
        source=file.source,
        user=username,
        batch=file.batch,
    )
    bill_enqueue(again, user=username)
    messages.success(request, _("The file is being read with the newer mapping. Reload this page in a moment."))
    return redirect(link("bill_file", again.pk))


urlpatterns = [
    path("files/<int:bill_file_id>/difference/", bill_file_difference, name="bill_file_difference"),
    path("files/<int:bill_file_id>/read-again/", bill_file_read_again, name="bill_file_read_again"),
]
