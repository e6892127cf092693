"""Refusals that more than one format has reason to make, worded once."""

from __future__ import annotations

from django.utils.translation import gettext as _

from payops.channels.formats.base import Expectation, FormatError
from payops.channels.formats.columns import mask_digits, show


def damaged_number(row: int, line: int, cell: bytes) -> FormatError:
    """A spreadsheet has eaten the digits of a trade number; nothing brings them back."""
    return FormatError(
        "bill.damaged_number",
        _(
            "Row %(row)s (line %(line)s of the file): trade number “%(value)s” was rounded by a spreadsheet and "
            "cannot be restored. Load the file as downloaded, without opening and saving it."
        )
        % {"row": row, "line": line, "value": show(cell)},
        {"line_no": row, "value": show(cell)},
    )


def wrong_day(row: int, line: int, cell: bytes, expect: Expectation) -> FormatError:
    """A row of another day than the one the file is loaded for."""
    return FormatError(
        "bill.wrong_date",
        _(
            "Row %(row)s (line %(line)s of the file) is of %(found)s, but the bill was loaded for %(expected)s. "
            "Load it for its own day."
        )
        % {"row": row, "line": line, "found": show(cell), "expected": expect.channel_date.isoformat()},
        {"line_no": row, "found": show(cell), "expected": expect.channel_date.isoformat()},
    )


def not_a_bill(name: str, kind: str, first: bytes) -> FormatError:
    """The file starts as no file of this kind does; long numbers in what is shown are cut."""
    return FormatError(
        "bill.not_a_bill",
        _("“%(name)s” is not a %(kind)s; it starts with “%(start)s”. Check what was uploaded.")
        % {"name": name, "kind": kind, "start": mask_digits(show(first))},
        {"name": name},
    )
