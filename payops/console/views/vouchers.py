"""Vouchers with their entries and sources, and the posting rules that make them."""

from __future__ import annotations

import datetime as dt

from django.db.models import Max, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _

from payops.accounts.chart import dotted
from payops.accounts.choices import Event, Side
from payops.accounts.models import (
    Entry,
    PostingRule,
    Subject,
    Voucher,
)
from payops.accounts.selectors import (
    open_day,
)
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.correction_marks import correction_marks
from payops.console.filters import VoucherFilter, day_query, latest_day
from payops.console.lists import Button, list_page
from payops.console.shell import page, view
from payops.console.sources import source_cell, source_cells
from payops.console.vouchers import account_cell, entries_of, subject_name
from payops.console.words import word
from payops.core.errors import PayopsError
from payops.core.ids import day_of

ONE_DAY = dt.timedelta(days=1)


@view("ledger.view")
def voucher_list(request: HttpRequest) -> HttpResponseBase:
    """Vouchers of one accounting day, with what each moved and what it was made from."""
    data, day = day_query(request, latest_day())
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
        empty=_("There are no such vouchers on this accounting day."),
    )


def _subjects(entries: list[Entry], side: str) -> str:
    codes = [dotted(entry.account.subject.code) for entry in entries if entry.side == side]
    return " ".join(dict.fromkeys(codes))


@view("ledger.view")
def voucher(request: HttpRequest, voucher_id: int) -> HttpResponseBase:
    """One voucher: its entries, the document it was made from, the rule that made it."""
    found = Voucher.objects.filter(pk=voucher_id).first()
    if found is None:
        raise Http404
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


@view("ledger.view")
def posting_rule_list(request: HttpRequest) -> HttpResponseBase:
    """What each event books today, in the version in force."""
    try:
        today = open_day()
    except PayopsError:
        today = latest_day()
    active = PostingRule.objects.filter(state="active", effective_day__lte=today)
    in_force = active.order_by("event", "-effective_day", "-version").distinct("event")
    newest = dict(PostingRule.objects.order_by().values_list("event").annotate(newest=Max("version")))
    rows = []
    for rule in in_force:
        later = newest[rule.event] > rule.version
        rows.append(
            [
                cells.number(rule.event),
                cells.text(rule.get_event_display(), link("posting_rule", rule.pk)),
                Cell(_("version %d") % rule.version, note=_("a newer one waits") if later else ""),
                cells.date(rule.effective_day if rule.effective_day.year > 2000 else None),
                _side_cell(rule.lines, Side.DEBIT),
                _side_cell(rule.lines, Side.CREDIT),
            ]
        )
    columns = [
        Column(_("Event code")),
        Column(_("Event")),
        Column(_("Version")),
        Column(_("Effective from")),
        Column(_("Debit")),
        Column(_("Credit")),
    ]
    table = Table(columns, rows, empty=_("No posting rule has been loaded yet."))
    return page(request, "console/detail.html", {"tables": [table]}, title=_("Posting rules"))


def _side_cell(lines: list[dict[str, str]], side: str) -> Cell:
    texts = [f"{line['subject']} {line['amount']}" for line in lines if line["side"] == side]
    return cells.number(" · ".join(texts))


@view("ledger.view")
def posting_rule(request: HttpRequest, rule_id: int) -> HttpResponseBase:
    """One version of a rule, and the other versions of its event."""
    rule = PostingRule.objects.filter(pk=rule_id).first()
    if rule is None:
        raise Http404
    names = {subject.code: subject for subject in Subject.objects.all()}
    lines = [
        [
            cells.text(Side(line["side"]).label),
            cells.number(line["subject"]),
            cells.text(subject_name(names[code]) if (code := line["subject"].replace(".", "")) in names else ""),
            cells.text(word(line["owner"])),
            cells.number(line["amount"]),
        ]
        for line in rule.lines
    ]
    line_columns = [
        Column(_("Side")),
        Column(_("Subject")),
        Column(_("Name")),
        Column(_("Owner")),
        Column(_("Amount")),
    ]
    versions = [
        [
            cells.text(_("version %d") % each.version, link("posting_rule", each.pk)),
            cells.date(each.effective_day),
            cells.state(each),
            cells.text(each.created_by or "–"),
            cells.moment(each.created_at),
        ]
        for each in PostingRule.objects.filter(event=rule.event).order_by("-version")
    ]
    version_columns = [
        Column(_("Version")),
        Column(_("Effective from")),
        Column(_("State")),
        Column(_("By")),
        Column(_("Made at")),
    ]
    facts = [
        (_("Event code"), cells.number(rule.event)),
        (_("Summary text"), cells.text(rule.summary)),
        (_("Version"), cells.text(rule.version)),
        (_("Effective from"), cells.date(rule.effective_day)),
        (_("Vouchers"), cells.text(_("of the latest day"), link("voucher_list", day=latest_day(), event=rule.event))),
    ]
    lines_table = Table(line_columns, lines, title=_("Lines"))
    lines_table.note = _("A negative result swaps the side; a zero line is left out.")
    context = {
        "parent_title": _("Posting rules"),
        "parent_url": link("posting_rule_list"),
        "badges": [cells.state(rule)],
        "facts": facts,
        "tables": [lines_table, Table(version_columns, versions, title=_("Versions"))],
    }
    return page(request, "console/detail.html", context, title=rule.get_event_display())


urlpatterns = [
    path("ledger/vouchers/", voucher_list, name="voucher_list"),
    path("ledger/vouchers/<int:voucher_id>/", voucher, name="voucher"),
    path("ledger/posting-rules/", posting_rule_list, name="posting_rule_list"),
    path("ledger/posting-rules/<int:rule_id>/", posting_rule, name="posting_rule"),
]
