"""Lists: filters by django-filter, pages by key (never by offset), CSV of what is filtered."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import django_filters
from django.core.exceptions import EmptyResultSet
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext as _

from payops.console import cells
from payops.console.cells import Cell, Column, Table
from payops.console.shell import log_download, page
from payops.core.archive import put_away
from payops.core.errors import PayopsError
from payops.core.exports import csv_lines
from payops.core.ids import day_of, id_range
from payops.core.partitions import DayPartitionedModel

PAGE_SIZE = 50
MAX_EXPORT_ROWS = 100_000

EXACT_ROWS = 5_000
"""Up to so many rows are counted and added up whenever a list is shown; more are estimated, and summed when asked."""

RowMaker = Callable[[Any], list[Cell]]


@dataclass(slots=True)
class Page:
    """One page of a keyset: its rows and the addresses of its neighbours."""

    rows: list[Any]
    newer: str = ""
    older: str = ""


@dataclass(slots=True)
class Button:
    """A link or, with `post`, a form of one button; `confirm` is asked before sending."""

    label: Any
    url: str
    post: bool = False
    primary: bool = False
    danger: bool = False
    confirm: Any = ""
    fields: dict[str, Any] = field(default_factory=dict)


def keyset(request: HttpRequest, rows: QuerySet[Any], *, key: str = "pk", descending: bool = True) -> Page:
    """The page after `after` or before `before`: reads PAGE_SIZE + 1 rows wherever it is.

    `key` must be unique. Going back reads the other way round and turns the rows over.
    """
    after, before = request.GET.get("after", ""), request.GET.get("before", "")
    if key == "pk":
        after = after if after.isascii() and after.isdigit() else ""
        before = before if before.isascii() and before.isdigit() else ""
    backwards = bool(before) and not after
    order = key if descending == backwards else f"-{key}"
    if after:
        rows = rows.filter(**{f"{key}__{'lt' if descending else 'gt'}": after})
    elif before:
        rows = rows.filter(**{f"{key}__{'gt' if descending else 'lt'}": before})
    found = list(rows.order_by(order)[: PAGE_SIZE + 1])
    more = len(found) > PAGE_SIZE
    found = found[:PAGE_SIZE]
    if backwards:
        found.reverse()
    has_older, has_newer = (True, more) if backwards else (more, bool(after))
    if not found:
        return Page([], newer=_address(request) if after or before else "")
    return Page(
        found,
        newer=_address(request, before=getattr(found[0], key)) if has_newer else "",
        older=_address(request, after=getattr(found[-1], key)) if has_older else "",
    )


def nothing_of(model: type[DayPartitionedModel], day: dt.date | None, otherwise: str) -> Callable[[], str]:
    """What an empty list of a day says: where its rows are in the archive, that, and how they come back."""

    def told() -> str:
        found = put_away(model, *id_range(day, day)) if day else None
        return str(found) if found else otherwise

    return told


def missing(model: type[DayPartitionedModel], row_id: int) -> Exception:
    """Why no row has this record number: its day is in the archive, which is said, or there is none."""
    try:
        day_of(row_id)
    except PayopsError:
        return Http404()
    return put_away(model, row_id, row_id + 1) or Http404()


def expected_rows(rows: QuerySet[Any]) -> int:
    """About how many rows a list has, from the planner's statistics: milliseconds, nothing is read."""
    try:
        # Without the tables of the columns shown: they change nothing but the estimate.
        (plan,) = json.loads(rows.order_by().select_related(None).explain(format="json"))
    except EmptyResultSet:
        return 0
    return int(plan["Plan"]["Plan Rows"])


def figures(
    request: HttpRequest, label: str, rows: QuerySet[Any], exact: Callable[[QuerySet[Any]], list[tuple[Any, Cell]]]
) -> list[tuple[Any, Cell]]:
    """The head of a big list: exact figures of what is small or was asked to be added up, else about how many."""
    if "totals" in request.GET:
        return exact(rows)
    about = expected_rows(rows)
    if about <= EXACT_ROWS:
        return exact(rows)
    return [
        (label, cells.text(_("about %s") % f"{_rounded(about):,}")),
        (_("Totals"), cells.text(_("Add up"), f"{without(request)}&totals=1")),
    ]


def _rounded(number: int) -> int:
    """Three digits: more than an estimate knows would only look exact."""
    step = 10 ** max(len(str(number)) - 3, 0)
    return number // step * step


def _address(request: HttpRequest, **cursor: Any) -> str:
    query = request.GET.copy()
    for name in ("after", "before", "export", "totals"):
        query.pop(name, None)
    for name, value in cursor.items():
        query[name] = str(value)
    return f"?{query.urlencode()}"


def without(request: HttpRequest, *names: str) -> str:
    """The current address without some of its query."""
    query = request.GET.copy()
    for name in (*names, "after", "before", "export", "totals"):
        query.pop(name, None)
    return f"?{query.urlencode()}"


def list_page(
    request: HttpRequest,
    *,
    title: Any,
    filters: django_filters.FilterSet,
    columns: Sequence[Column],
    row: RowMaker,
    export_name: str = "",
    key: str = "pk",
    descending: bool = True,
    empty: Any = "",
    buttons: Sequence[Button] = (),
    summary: Sequence[tuple[Any, Cell]] = (),
    prepare: Callable[[list[Any]], Any] | None = None,
    selectable: bool = False,
    extra: dict[str, Any] | None = None,
    template: str = "console/list.html",
) -> HttpResponse | StreamingHttpResponse:
    """A filtered, paged list; `prepare(rows)` may fetch what the rows of one page need in one query.

    `empty` is what a list without rows says, or what to call for it.
    """
    valid = filters.form.is_valid()
    rows = filters.qs if valid else filters.queryset.none()
    if request.GET.get("export") == "csv" and export_name and valid:
        return csv_response(request, export_name, columns, rows.order_by("-pk" if key == "pk" else key), row, prepare)
    current = keyset(request, rows, key=key, descending=descending)
    if prepare is not None:
        prepare(current.rows)
    table = Table(
        columns,
        [row(item) for item in current.rows],
        empty=(empty if current.rows or not callable(empty) else empty()) or _("Nothing matches these filters."),
        keys=[item.pk for item in current.rows] if selectable else [],
    )
    context = {
        "filters": filters.form,
        "table": table,
        "pages": current,
        "buttons": buttons,
        "summary": summary,
        "export_url": f"{without(request)}&export=csv" if export_name else "",
        "selectable": selectable,
        **(extra or {}),
    }
    return page(request, template, context, title=title)


def csv_response(
    request: HttpRequest,
    name: str,
    columns: Sequence[Column],
    rows: QuerySet[Any],
    row: RowMaker,
    prepare: Callable[[list[Any]], Any] | None = None,
) -> StreamingHttpResponse:
    """The filtered rows as CSV, streamed, at most MAX_EXPORT_ROWS; logged."""
    log_download(request, name, query=request.GET.urlencode()[:500])
    lines = csv_lines([str(column.title) for column in columns], _export_rows(rows, row, prepare))
    response = StreamingHttpResponse((line.encode() for line in lines), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "no-store"
    return response


def _export_rows(rows: QuerySet[Any], row: RowMaker, prepare: Callable[[list[Any]], Any] | None) -> Iterator[list[Any]]:
    found = iter(rows[:MAX_EXPORT_ROWS].iterator(chunk_size=1000))
    while chunk := list(islice(found, 1000)):
        if prepare is not None:
            prepare(chunk)
        for item in chunk:
            yield [_plain(cell.export) for cell in row(item)]


def _plain(value: Any) -> Any:
    """Lazy translations become text; figures stay figures."""
    return value if isinstance(value, int | float | None.__class__) else str(value)
