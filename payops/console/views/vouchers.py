"""Vouchers with their entries and sources."""

from __future__ import annotations

import datetime as dt

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _

from payops.accounts.chart import dotted
from payops.accounts.choices import Event, Side
from payops.accounts.models import (
    Entry,
    PostingRule,
    Voucher,
)
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.correction_marks import correction_marks
from payops.console.filters import VoucherFilter, day_query, latest_day
from payops.console.lists import Button, list_page, missing, nothing_of
from payops.console.shell import page, view
from payops.console.sources import source_cell, source_cells
from payops.console.vouchers import account_cell, entries_of
from payops.core.ids import day_of

ONE_DAY = dt.timedelta(days=1)


@view("ledger.view")
def voucher_list(request: HttpRequest) -> HttpResponseBase:
    """Vouchers of one accounting day, with what each moved and what it was made from."""
    data, day = day_query(request, latest_day)
    rows: QuerySet[Voucher] = Voucher.objects.for_days(day) if day else Voucher.objects.none()
    lines: dict[int, list[Entry]] = {}
    sources: dict[tuple[str, int], Cell] = {}

    def prepare(vouchers: list[Voucher]) -> None:
        for entry in entries_of(vouchers):
            lines.setdefault(entry.voucher_id, []).append(entry)
        sources.update(source_cells((voucher.source_kind, voucher.source_id) for voucher in vouchers))

    def row(voucher: Voucher) -> list[Cell]:
        entries = lines.get(voucher.pk, [])
        currency = entries[0].currency if entries else "CNY"
        return [
            cells.number(voucher.pk, link("voucher", voucher.pk)),
            cells.text(Event(voucher.event).label),
            sources[voucher.source_kind, voucher.source_id],
            cells.date(voucher.business_date),
            cells.number(_subjects(entries, Side.DEBIT)),
            cells.number(_subjects(entries, Side.CREDIT)),
            cells.text(currency),
            cells.money(sum(entry.amount for entry in entries if entry.side == Side.DEBIT), currency),
            cells.moment(voucher.posted_at),
            cells.text(voucher.posted_by),
        ]

    columns = [
        Column(_("Voucher")),
        Column(_("Event")),
        Column(_("Source")),
        Column(_("Business date")),
        Column(_("Debit")),
        Column(_("Credit")),
        Column(_("Currency")),
        Column(_("Amount"), "c-amount"),
        Column(_("Posted at")),
        Column(_("By")),
    ]
    return list_page(
        request,
        title=_("Vouchers"),
        filters=VoucherFilter(data, queryset=rows, request=request),
        columns=columns,
        row=row,
        prepare=prepare,
        export_name=f"vouchers_{day}" if day else "",
        empty=nothing_of(Voucher, day, _("There are no such vouchers on this accounting day.")),
    )


def _subjects(entries: list[Entry], side: str) -> str:
    codes = [dotted(entry.account.subject.code) for entry in entries if entry.side == side]
    return " ".join(dict.fromkeys(codes))


@view("ledger.view")
def voucher(request: HttpRequest, voucher_id: int) -> HttpResponseBase:
    """One voucher: its entries, the document it was made from, the rule that made it."""
    found = Voucher.objects.filter(pk=voucher_id).first()
    if found is None:
        raise missing(Voucher, voucher_id)
    day = day_of(found.pk)
    rule = PostingRule.objects.filter(event=found.event, version=found.rule_version).first()
    facts = [
        (_("Accounting day"), cells.date(day, link("day", day))),
        (_("Event"), cells.text(Event(found.event).label, link("voucher_list", day=day, event=found.event))),
        (_("Source"), source_cell(found.source_kind, found.source_id)),
        (_("Business date"), cells.date(found.business_date)),
        (
            _("Posting rule"),
            cells.text(_("version %d") % found.rule_version, link("posting_rule", rule.pk) if rule else ""),
        ),
        (_("Posted at"), cells.moment(found.posted_at)),
        (_("Posted by"), cells.text(found.posted_by or "–")),
        (_("Memo"), cells.text(found.memo or "–")),
        (_("Source number"), cells.number(found.source_id)),
    ]
    context = {
        "parent_title": _("Vouchers"),
        "parent_url": link("voucher_list", day=day),
        "badges": [cells.badge("", Event(found.event).label, tone="base")],
        "facts": facts,
        "buttons": [Button(_("Correct…"), link("correction_new", voucher=found.pk))]
        if request.user.may("ledger.correct")
        else [],
        "tables": [_entry_table(found), _siblings_table(found)],
    }
    context["tables"] = [table for table in context["tables"] if table.rows or table is context["tables"][0]]
    return page(request, "console/detail.html", context, title=str(found.pk))


def _entry_table(found: Voucher) -> Table:
    entries = entries_of([found])
    marks = correction_marks(entries)
    rows = [
        [
            marks.get(entry.pk) or cells.number(entry.pk),
            account_cell(entry),
            cells.text(entry.currency),
            cells.money(entry.amount if entry.side == Side.DEBIT else None, entry.currency),
            cells.money(entry.amount if entry.side == Side.CREDIT else None, entry.currency),
            cells.money(entry.balance_after, entry.currency),
        ]
        for entry in entries
    ]
    columns = [
        Column(_("Entry")),
        Column(_("Account")),
        Column(_("Currency")),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
        Column(_("Balance after"), "c-amount"),
    ]
    foot: list[Cell] = []
    currencies = {entry.currency for entry in entries}
    if len(currencies) == 1:
        (currency,) = currencies
        sides = [
            cells.money(sum(entry.amount for entry in entries if entry.side == side), currency)
            for side in (Side.DEBIT, Side.CREDIT)
        ]
        foot = [cells.text(_("Total")), cells.text(""), cells.text(""), *sides, cells.text("")]
    return Table(columns, rows, title=_("Entries"), foot=foot, empty=_("The voucher has no entries."))


def _siblings_table(found: Voucher) -> Table:
    """Other vouchers of the same document around the same days."""
    day = day_of(found.pk)
    first = min(day, max(found.business_date, day - 31 * ONE_DAY))
    around = Voucher.objects.for_days(first, max(latest_day(), day))
    others = around.filter(source_kind=found.source_kind, source_id=found.source_id).exclude(pk=found.pk)
    rows = [
        [
            cells.number(other.pk, link("voucher", other.pk)),
            cells.date(day_of(other.pk)),
            cells.text(Event(other.event).label),
            cells.moment(other.posted_at),
        ]
        for other in others.order_by("id")[:50]
    ]
    columns = [Column(_("Voucher")), Column(_("Accounting day")), Column(_("Event")), Column(_("Posted at"))]
    return Table(columns, rows, title=_("Other vouchers of the same source"))


urlpatterns = [
    path("ledger/vouchers/", voucher_list, name="voucher_list"),
    path("ledger/vouchers/<int:voucher_id>/", voucher, name="voucher"),
]
