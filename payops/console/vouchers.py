"""Vouchers of a source document with their entries, as every detail page shows them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django.utils.translation import gettext as _

from payops.accounts.chart import dotted
from payops.accounts.choices import Event
from payops.accounts.models import Entry, Voucher
from payops.accounts.selectors import open_day
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.core.errors import PayopsError
from payops.core.formatting import Named, local_name
from payops.core.ids import day_of

DAYS_SEARCHED = 60
"""How long after its document a voucher is looked for; each day is a partition."""


def vouchers_of(sources: Iterable[tuple[str, int]], first_day: dt.date) -> list[Voucher]:
    """Vouchers made from any of the documents, from their day on."""
    wanted = list(sources)
    if not wanted:
        return []
    try:
        last = open_day()
    except PayopsError:
        return []
    first = min(first_day, last)
    last = min(last, first + dt.timedelta(days=DAYS_SEARCHED))
    found: list[Voucher] = []
    for kind in sorted({kind for kind, _id in wanted}):
        ids = [number for candidate, number in wanted if candidate == kind]
        found += Voucher.objects.for_days(first, last).filter(source_kind=kind, source_id__in=ids).order_by("id")
    return found


def vouchers_by_id(ids: Iterable[int | None]) -> list[Voucher]:
    """Vouchers by number."""
    wanted = sorted({number for number in ids if number})
    return list(Voucher.objects.filter(pk__in=wanted).order_by("id")) if wanted else []


def entries_of(vouchers: list[Voucher]) -> list[Entry]:
    """The lines of several vouchers in one query."""
    ids = [voucher.pk + number for voucher in vouchers for number in range(1, voucher.line_count + 1)]
    if not ids:
        return []
    return list(Entry.objects.filter(pk__in=ids).select_related("account__subject").order_by("id"))


def voucher_table(vouchers: list[Voucher], *, title: str = "") -> Table:
    """Every entry of the vouchers, debit and credit in columns of their own."""
    heads = {voucher.pk: voucher for voucher in vouchers}
    rows: list[list[Cell]] = []
    previous = None
    for entry in entries_of(vouchers):
        voucher = heads[entry.voucher_id]
        first = voucher.pk != previous
        previous = voucher.pk
        rows.append(
            [
                cells.number(voucher.pk, link("voucher", voucher.pk)) if first else cells.text(""),
                cells.date(day_of(voucher.pk)) if first else cells.text(""),
                cells.text(Event(voucher.event).label) if first else cells.text(""),
                account_cell(entry),
                cells.money(entry.amount if entry.side == "D" else None, entry.currency),
                cells.money(entry.amount if entry.side == "C" else None, entry.currency),
            ]
        )
    columns = [
        Column(_("Voucher")),
        Column(_("Accounting day")),
        Column(_("Event")),
        Column(_("Account")),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
    ]
    return Table(columns, rows, title=title or _("Vouchers"), empty=_("Nothing has been booked from this."))


def account_cell(entry: Entry) -> Cell:
    """Subject and owner of an entry, linking to the account's ledger of that day."""
    account = entry.account
    day = day_of(entry.pk).isoformat()
    return cells.text(
        f"{dotted(account.subject.code)} {subject_name(account.subject)}",
        link("account", account.pk, first=day, last=day),
        note=account.owner_no,
    )


def subject_name(subject: Named) -> str:
    """The subject's name in the reader's language."""
    return local_name(subject)
