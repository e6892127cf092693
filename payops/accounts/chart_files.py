"""The chart in files: exported as YAML, CSV or XLSX, read back, compared, and taken over by maker and checker.

An import adds subjects and changes names and ERP codes. It never removes one: a subject not in the file stays.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

import yaml
from django.db import transaction
from django.utils.translation import gettext as _

from payops.accounts.chart import CHART_FIELDS, RowError, chart_errors, chart_rows, chart_write, dotted
from payops.accounts.models import Account, Subject
from payops.approvals.models import ApprovalRequest
from payops.approvals.registry import Description, register_action
from payops.approvals.services import request_submit
from payops.core.errors import PayopsError
from payops.core.exports import neutralise, write_csv, write_xlsx
from payops.core.locks import xact_lock
from payops.identity.models import User

ACTION: Final = "ledger.chart"
TARGET: Final = "chart"
FORMATS: Final = {
    "yaml": "application/yaml",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
LARGEST_FILE: Final = 2_000_000
MOST_ROWS: Final = 5_000
LISTED: Final = 60


# --- out --------------------------------------------------------------------------------------------------------------


def chart_export(file_format: str) -> bytes:
    """The chart as a file of one of FORMATS; the same chart gives the same bytes, and `chart_read` reads it back."""
    rows = [_row_of(subject) for subject in Subject.objects.order_by("code")]
    if file_format == "yaml":
        return yaml.safe_dump(rows, allow_unicode=True, sort_keys=False, default_flow_style=None, width=200).encode()
    buffer = io.BytesIO()
    cells = [[row[name] for name in CHART_FIELDS] for row in rows]
    if file_format == "csv":
        write_csv(buffer, CHART_FIELDS, cells)
    elif file_format == "xlsx":
        write_xlsx(buffer, [(_("Chart of accounts"), CHART_FIELDS, cells)])
    else:
        raise PayopsError(
            "chart.format",
            _("“%(format)s” is none of %(known)s.") % {"format": file_format, "known": ", ".join(FORMATS)},
            {"format": file_format},
        )
    return buffer.getvalue()


def _row_of(subject: Subject) -> dict[str, str]:
    return {
        "code": dotted(subject.code),
        "name": subject.name,
        "name_zh": subject.name_zh,
        "element": subject.element,
        "side": subject.normal_side,
        "erp_code": subject.erp_code,
    }


# --- in ---------------------------------------------------------------------------------------------------------------


def chart_read(content: bytes, name: str) -> list[dict[str, str]]:
    """The rows of a chart file by the ending of its name; PayopsError 'chart.unreadable' says what is wrong with it.

    What is wrong with single rows is not asked here (`chart_difference`).
    """
    ending = PurePath(name).suffix.lower().lstrip(".")
    readers = {"yaml": _read_yaml, "yml": _read_yaml, "csv": _read_csv, "xlsx": _read_xlsx}
    if ending not in readers:
        raise _unreadable(name, _("the name must end in .yaml, .csv or .xlsx"))
    if len(content) > LARGEST_FILE:
        raise _unreadable(name, _("it is larger than %(size)d bytes") % {"size": LARGEST_FILE})
    try:
        found = readers[ending](content)
    except PayopsError:
        raise
    except Exception as error:
        # Each library has errors of its own for a file that is not what its name says.
        raise _unreadable(name, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not found or not all(isinstance(row, Mapping) for row in found):
        raise _unreadable(name, _("it holds no rows"))
    if len(found) > MOST_ROWS:
        raise _unreadable(name, _("it has more than %(rows)d rows") % {"rows": MOST_ROWS})
    lacking = {"code", "name", "name_zh", "element", "side"} - {str(key) for row in found for key in row}
    if lacking:
        raise _unreadable(name, _("the columns %(columns)s are missing") % {"columns": ", ".join(sorted(lacking))})
    return chart_rows(found)


def _unreadable(name: str, reason: str) -> PayopsError:
    return PayopsError(
        "chart.unreadable",
        _("%(name)s cannot be read as a chart: %(reason)s.") % {"name": name, "reason": reason},
        {"file": name},
    )


def _read_yaml(content: bytes) -> list[Any]:
    rows = yaml.safe_load(content.decode("utf-8-sig"))
    return rows if isinstance(rows, list) else []


def _read_csv(content: bytes) -> list[Any]:
    rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    return _under_headings(rows)


def _read_xlsx(content: bytes) -> list[Any]:
    from python_calamine import CalamineWorkbook

    sheet = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0)
    return _under_headings(sheet.to_python(skip_empty_area=False))


def _under_headings(rows: Sequence[Sequence[Any]]) -> list[dict[str, str]]:
    if not rows:
        return []
    headings = [_text(cell) for cell in rows[0]]
    filled = [row for row in rows[1:] if any(_text(cell) for cell in row)]
    return [dict(zip(headings, [_text(cell) for cell in row], strict=False)) for row in filled]


def _text(cell: Any) -> str:
    """A cell as text: spreadsheets keep 1002 as a number, and an export puts an apostrophe before formulas."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    text = str(cell).strip()
    return text[1:] if text.startswith("'") and neutralise(text[1:]) == text else text


# --- compared ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class ChartDifference:
    """What taking over a file would do. Changes are (code, column, before, after)."""

    added: list[dict[str, str]] = field(default_factory=list)
    changed: list[tuple[str, str, str, str]] = field(default_factory=list)
    not_in_file: list[str] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.added or self.changed)

    @property
    def renamed(self) -> list[tuple[str, str, str, str]]:
        """Changes of names."""
        return [change for change in self.changed if change[1] in {"name", "name_zh"}]

    @property
    def erp_codes(self) -> list[tuple[str, str, str, str]]:
        """Changes of ERP codes."""
        return [change for change in self.changed if change[1] == "erp_code"]

    def rows(self) -> list[dict[str, str]]:
        """What there is to write: the rows added and the changed ones, whole."""
        return self._rows

    _rows: list[dict[str, str]] = field(default_factory=list)


def chart_difference(rows: Sequence[Mapping[str, str]]) -> ChartDifference:
    """The file against the chart, and every error row by row; nothing is written."""
    present = {subject.code: {**_row_of(subject), "code": subject.code} for subject in Subject.objects.all()}
    found = ChartDifference(errors=chart_errors(rows))
    for row in rows:
        before = present.pop(row["code"], None)
        if before is None:
            found.added.append(dict(row))
            found._rows.append(dict(row))
            continue
        changes = [(row["code"], name, before[name], row[name]) for name in CHART_FIELDS if before[name] != row[name]]
        if changes:
            found.changed += changes
            found._rows.append(dict(row))
    found.not_in_file = sorted(present)
    return found


def chart_propose(*, content: bytes, name: str, reason: str, maker: User) -> ApprovalRequest:
    """Propose to take over a chart file; what is approved are exactly the differences shown.

    Raises PayopsError 'chart.unreadable', 'chart.rows' (context errors: row, code, message), 'chart.no_difference' and
    what `request_submit` raises.
    """
    difference = chart_difference(chart_read(content, name))
    refuse_errors(difference, name)
    if not difference:
        raise PayopsError("chart.no_difference", _("%(name)s is the chart as it is.") % {"name": name})
    payload = {
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": difference.rows(),
        "added": [[row["code"], row["name"], row["name_zh"]] for row in difference.added],
        "changed": [list(change) for change in difference.changed],
    }
    return request_submit(
        action=ACTION,
        target_kind=TARGET,
        target_id="chart",
        payload=payload,
        amount=None,
        currency="",
        title=_title(payload),
        reason=reason,
        maker=maker,
    )


def refuse_errors(difference: ChartDifference, name: str) -> None:
    """PayopsError 'chart.rows' naming the first errors, with all of them in its context."""
    if difference.errors:
        shown = " ".join(str(error) for error in difference.errors[:3])
        raise PayopsError(
            "chart.rows",
            _("%(name)s has %(count)d errors. %(errors)s")
            % {"name": name, "count": len(difference.errors), "errors": shown},
            {"errors": [{"row": each.row, "code": each.code, "message": each.message} for each in difference.errors]},
        )


@transaction.atomic
def chart_apply(rows: Iterable[Mapping[str, str]], *, name: str = "") -> ChartDifference:
    """Write rows into the chart, all or none; raises PayopsError 'chart.rows'. The way in for a first installation.

    Everything else comes by maker and checker.
    """
    xact_lock("accounts.chart", "write")
    difference = chart_difference(list(rows))
    refuse_errors(difference, name)
    chart_write(difference.rows())
    return difference


# --- maker and checker ------------------------------------------------------------------------------------------------


def register() -> None:
    """Make the action known to approvals; called once from `AppConfig.ready`."""
    register_action(
        ACTION,
        execute=_execute,
        fingerprint=_fingerprint,
        describe=_describe,
        maker_permission="adjustments.propose",
        checker_permission="adjustments.approve",
    )


def _fingerprint(_target_kind: str, _target_id: str) -> str:
    """The chart, and which of its subjects carry accounts."""
    with_accounts = set(Account.objects.values_list("subject__code", flat=True).distinct())
    rows = [{**_row_of(subject), "used": subject.code in with_accounts} for subject in Subject.objects.order_by("code")]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _execute(request: ApprovalRequest) -> dict[str, Any]:
    difference = chart_apply(request.payload["rows"], name=request.payload["file"])
    return {"added": len(difference.added), "changed": len(difference.changed)}


def _describe(request: ApprovalRequest) -> Description:
    payload = request.payload
    columns = column_names()
    rows: list[tuple[Any, Any]] = [
        (_("File"), payload["file"]),
        (_("Subjects added"), len(payload["added"])),
        (_("Changes"), len(payload["changed"])),
    ]
    listed = [
        *((f"+ {dotted(code)}", f"{name} {name_zh}") for code, name, name_zh in payload["added"]),
        *(
            (f"{dotted(code)} {columns[column]}", f"{before or '–'} → {after or '–'}")
            for code, column, before, after in payload["changed"]
        ),
    ]
    rows += listed[:LISTED]
    if len(listed) > LISTED:
        rows.append(("…", _("and %(count)d more") % {"count": len(listed) - LISTED}))
    return Description(_title(payload), "console:chart", (), rows)


def column_names() -> dict[str, str]:
    """What the columns of a chart are called."""
    return {
        "code": _("Code"),
        "name": _("Name"),
        "name_zh": _("Chinese name"),
        "element": _("Element"),
        "side": _("Normal side"),
        "erp_code": _("ERP code"),
    }


def _title(payload: Mapping[str, Any]) -> str:
    return _("Chart of accounts: %(added)d added, %(changed)d changed") % {
        "added": len(payload["added"]),
        "changed": len({change[0] for change in payload["changed"]}),
    }
