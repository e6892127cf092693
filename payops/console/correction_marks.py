"""What became of entries: corrected, wiped, or taking another one back. Staff see all of it, wiped lines too."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Q
from django.utils.translation import gettext as _

from payops.accounts.models import CorrectedEntry, Entry
from payops.console import cells
from payops.console.cells import Cell, link


def correction_marks(entries: Iterable[Entry]) -> dict[int, Cell]:
    """Entry number → a cell with the number, the correction it belongs to and what it did to it; one query."""
    ids = [entry.pk for entry in entries]
    rows = CorrectedEntry.objects.filter(Q(entry_id__in=ids) | Q(red_entry_id__in=ids)).select_related("correction")
    marks: dict[int, Cell] = {}
    for row in rows if ids else ():
        number, url = row.correction.number, link("correction", row.correction_id)
        wiped = _("wiped by %s") if row.hidden else _("corrected by %s")
        taking = _("wipes a line, %s") if row.hidden else _("takes a line back, %s")
        marks[row.entry_id] = cells.number(row.entry_id, url, note=wiped % number)
        marks[row.red_entry_id] = cells.number(row.red_entry_id, url, note=taking % number)
    return marks
