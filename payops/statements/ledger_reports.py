"""The ledger's reports as files: which there are, what each needs to know, and their columns (docs/reports.md).

One definition serves the console's downloads, background exports and the command line. Amounts leave in major units
with the currency's decimals, numbers of records as text (they exceed what spreadsheets keep exactly).
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts import reports
from payops.accounts.chart import dotted
from payops.accounts.choices import Element, Event, OwnerKind, Side
from payops.accounts.classification import ClassifiedRow, MappedRow, classified, mapped_report
from payops.accounts.erp import erp_lines
from payops.accounts.models import Freeze
from payops.accounts.selectors import open_day, trial_balance
from payops.core.errors import PayopsError
from payops.core.exports import write_csv, write_xlsx
from payops.core.formatting import local_name
from payops.core.ids import day_code
from payops.core.money import major

FORMS: Final = ("csv", "xlsx")
PROGRESS_EVERY: Final = 5_000


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """What a report is asked for. Each reads the fields it names in `needs`; days are accounting days."""

    day: dt.date
    first: dt.date
    last: dt.date
    level: int | None = None
    subject: str = ""
    account: str = ""
    period: str = ""
    mapping: str = ""


def query_from(values: Mapping[str, Any]) -> ReportQuery:
    """The query of a form, an address or a job's parameters; by default the open day.

    Raises PayopsError 'reports.parameter' naming the value that cannot be read.
    """
    day = _day(values, "day") or open_day()
    last = _day(values, "last") or day
    first = _day(values, "first") or last
    if last < first:
        raise _unreadable("last", last.isoformat())
    level = str(values.get("level") or "")
    if level not in {"", "1", "2", "3", "4"}:
        raise _unreadable("level", level)
    texts = {name: str(values.get(name) or "").strip() for name in ("subject", "account", "period", "mapping")}
    return ReportQuery(day, first, last, int(level) if level else None, **texts)


def _day(values: Mapping[str, Any], name: str) -> dt.date | None:
    text = str(values.get(name) or "")
    if not text:
        return None
    try:
        day = dt.date.fromisoformat(text)
        day_code(day)
    except (ValueError, PayopsError):
        raise _unreadable(name, text) from None
    return day


def _unreadable(name: str, value: str) -> PayopsError:
    return PayopsError(
        "reports.parameter",
        _("“%(value)s” cannot be read as “%(name)s” of a report. Write days as 2026-11-20.")
        % {"value": value[:40], "name": name},
        {name: value},
    )


@dataclass(frozen=True, slots=True)
class FileColumn:
    """A heading and how a row's value is found."""

    title: Any
    value: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """One report as a file."""

    title: Any
    needs: tuple[str, ...]
    columns: tuple[FileColumn, ...]
    rows: Callable[[ReportQuery], Iterable[Any]]
    required: tuple[str, ...] = field(default=())


# --- columns ----------------------------------------------------------------------------------------------------------


def _text(title: Any, path: str) -> FileColumn:
    return FileColumn(title, operator.attrgetter(path))


def _amount(title: Any, path: str) -> FileColumn:
    find = operator.attrgetter(path)
    return FileColumn(title, lambda row: major(find(row), row.currency))


def _figures(prefix: str = "") -> tuple[FileColumn, ...]:
    return (
        _amount(gettext_lazy("Opening"), f"{prefix}opening"),
        _amount(gettext_lazy("Debit"), f"{prefix}debit"),
        _amount(gettext_lazy("Credit"), f"{prefix}credit"),
        _amount(gettext_lazy("Closing"), f"{prefix}closing"),
    )


def _subject_columns(prefix: str = "") -> tuple[FileColumn, ...]:
    of: Callable[[Any], Any] = operator.attrgetter(prefix.rstrip(".")) if prefix else (lambda row: row)
    return (
        FileColumn(gettext_lazy("Code"), lambda row: of(row).dotted_code),
        FileColumn(gettext_lazy("Subject"), lambda row: local_name(of(row))),
        FileColumn(gettext_lazy("Element"), lambda row: Element(of(row).element).label),
        FileColumn(gettext_lazy("Normal side"), lambda row: Side(of(row).normal_side).label),
        FileColumn(gettext_lazy("Currency"), lambda row: of(row).currency),
    )


_ACCOUNT_BALANCE_COLUMNS: Final = (
    _text(gettext_lazy("Account"), "account_no"),
    FileColumn(gettext_lazy("Subject"), lambda row: dotted(row.subject_code)),
    FileColumn(gettext_lazy("Owner"), lambda row: OwnerKind(row.owner_kind).label),
    _text(gettext_lazy("Owner number"), "owner_no"),
    _text(gettext_lazy("Currency"), "currency"),
    *_figures(),
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A line of an account's ledger with the account's currency."""

    line: Any
    currency: str

    @property
    def debit(self) -> int:
        """The amount on the debit side."""
        return self.line.amount if self.line.side == Side.DEBIT else 0

    @property
    def credit(self) -> int:
        """The amount on the credit side."""
        return self.line.amount if self.line.side == Side.CREDIT else 0


def _account_ledger(query: ReportQuery) -> Iterator[_Entry]:
    account = reports.account_by_number(query.account)
    return (_Entry(line, account.currency) for line in reports.account_ledger_rows(account, query.first, query.last))


def _general_ledger(query: ReportQuery) -> list[Any]:
    subject = reports.subject_by_code(query.subject)
    return [row for part in reports.general_ledger(subject, query.first, query.last) for row in part.rows]


def _classified_code(row: ClassifiedRow) -> str:
    return row.code.code if row.code else ""


def _classified_name(row: ClassifiedRow) -> Any:
    return local_name(row.code) if row.code else _("Not classified")


def _freeze_amount(title: Any, name: str) -> FileColumn:
    return FileColumn(title, lambda slip: major(getattr(slip, name), slip.account.currency))


def _freezes(query: ReportQuery) -> Iterator[Freeze]:
    return reports.freeze_register()


REPORTS: Final[dict[str, LedgerReport]] = {
    "trial_balance": LedgerReport(
        gettext_lazy("Trial balance"),
        ("day", "level"),
        (*_subject_columns(), *_figures()),
        lambda query: trial_balance(query.day, level=query.level),
    ),
    "daily_sheet": LedgerReport(
        gettext_lazy("Subject daily sheet"),
        ("day", "level"),
        (
            *_subject_columns("balance."),
            _amount(gettext_lazy("Opening"), "balance.opening"),
            _text(gettext_lazy("Debit entries"), "debit_count"),
            _amount(gettext_lazy("Debit"), "balance.debit"),
            _text(gettext_lazy("Credit entries"), "credit_count"),
            _amount(gettext_lazy("Credit"), "balance.credit"),
            _amount(gettext_lazy("Closing"), "balance.closing"),
        ),
        lambda query: reports.subject_daily_sheet(query.day, level=query.level),
    ),
    "general_ledger": LedgerReport(
        gettext_lazy("General ledger"),
        ("subject", "first", "last"),
        (_text(gettext_lazy("Accounting day"), "day"), _text(gettext_lazy("Currency"), "currency"), *_figures()),
        _general_ledger,
        required=("subject",),
    ),
    "account_ledger": LedgerReport(
        gettext_lazy("Account ledger"),
        ("account", "first", "last"),
        (
            _text(gettext_lazy("Accounting day"), "line.day"),
            FileColumn(gettext_lazy("Voucher"), lambda row: str(row.line.voucher_id)),
            FileColumn(gettext_lazy("Entry"), lambda row: str(row.line.entry_id)),
            FileColumn(gettext_lazy("Event"), lambda row: Event(row.line.event).label),
            _text(gettext_lazy("Source"), "line.source_kind"),
            FileColumn(gettext_lazy("Source number"), lambda row: str(row.line.source_id)),
            _text(gettext_lazy("Business date"), "line.business_date"),
            _text(gettext_lazy("Memo"), "line.memo"),
            _text(gettext_lazy("Posted at"), "line.posted_at"),
            _text(gettext_lazy("Currency"), "currency"),
            _amount(gettext_lazy("Debit"), "debit"),
            _amount(gettext_lazy("Credit"), "credit"),
            _amount(gettext_lazy("Balance"), "line.balance"),
        ),
        _account_ledger,
        required=("account",),
    ),
    "account_days": LedgerReport(
        gettext_lazy("Day balances of an account"),
        ("account", "first", "last"),
        (
            _text(gettext_lazy("Accounting day"), "day"),
            _text(gettext_lazy("Account"), "account.account_no"),
            _text(gettext_lazy("Currency"), "currency"),
            *_figures(),
        ),
        lambda query: reports.account_days(reports.account_by_number(query.account), query.first, query.last),
        required=("account",),
    ),
    "day_balances": LedgerReport(
        gettext_lazy("Day balances"),
        ("day", "subject"),
        _ACCOUNT_BALANCE_COLUMNS,
        lambda query: reports.day_balances(query.day, subject=query.subject),
    ),
    "period_balances": LedgerReport(
        gettext_lazy("Period balances by subject"),
        ("period", "level"),
        (*_subject_columns(), *_figures()),
        lambda query: reports.period_trial_balance(reports.period_named(query.period), level=query.level),
        required=("period",),
    ),
    "period_accounts": LedgerReport(
        gettext_lazy("Period balances by account"),
        ("period", "subject"),
        _ACCOUNT_BALANCE_COLUMNS,
        lambda query: reports.period_account_balances(reports.period_named(query.period), subject=query.subject),
        required=("period",),
    ),
    "classification": LedgerReport(
        gettext_lazy("Totals by classification code"),
        ("first", "last"),
        (
            FileColumn(gettext_lazy("Code"), _classified_code),
            FileColumn(gettext_lazy("Name"), _classified_name),
            FileColumn(gettext_lazy("Subject"), lambda row: dotted(row.subject.code)),
            FileColumn(gettext_lazy("Subject name"), lambda row: local_name(row.subject)),
            _text(gettext_lazy("Currency"), "currency"),
            _text(gettext_lazy("Entries"), "entries"),
            _amount(gettext_lazy("Debit"), "debit"),
            _amount(gettext_lazy("Credit"), "credit"),
        ),
        lambda query: classified(query.first, query.last),
    ),
    "mapped": LedgerReport(
        gettext_lazy("Mapped report"),
        ("mapping", "first", "last"),
        (
            _text(gettext_lazy("Line"), "line.number"),
            FileColumn(gettext_lazy("Name"), lambda row: local_name(row.line)),
            _text(gettext_lazy("Currency"), "currency"),
            _amount(gettext_lazy("Amount"), "amount"),
        ),
        lambda query: _mapped(query),
        required=("mapping",),
    ),
    "erp": LedgerReport(
        gettext_lazy("ERP vouchers"),
        ("first", "last"),
        (
            _text(gettext_lazy("Accounting day"), "day"),
            _text(gettext_lazy("ERP voucher"), "voucher_no"),
            _text(gettext_lazy("Line"), "line_no"),
            _text(gettext_lazy("ERP code"), "erp_code"),
            _text(gettext_lazy("Subject"), "dotted_code"),
            FileColumn(gettext_lazy("Subject name"), local_name),
            _text(gettext_lazy("Currency"), "currency"),
            _amount(gettext_lazy("Debit"), "debit"),
            _amount(gettext_lazy("Credit"), "credit"),
        ),
        lambda query: erp_lines(query.first, query.last),
    ),
    "freezes": LedgerReport(
        gettext_lazy("Freeze register"),
        (),
        (
            FileColumn(gettext_lazy("Freeze"), lambda slip: str(slip.pk)),
            _text(gettext_lazy("Account"), "account.account_no"),
            FileColumn(gettext_lazy("Subject"), lambda slip: dotted(slip.account.subject.code)),
            _text(gettext_lazy("Owner number"), "account.owner_no"),
            _text(gettext_lazy("Currency"), "account.currency"),
            _freeze_amount(gettext_lazy("Amount"), "amount"),
            _freeze_amount(gettext_lazy("Still frozen"), "remaining"),
            _text(gettext_lazy("Reason"), "reason"),
            _text(gettext_lazy("Source"), "source_kind"),
            _text(gettext_lazy("Source number"), "source_id"),
            _text(gettext_lazy("By"), "created_by"),
            _text(gettext_lazy("Since"), "created_at"),
            _text(gettext_lazy("Released at"), "released_at"),
        ),
        _freezes,
    ),
}


def _mapped(query: ReportQuery) -> list[MappedRow]:
    return mapped_report(query.mapping, query.first, query.last)


# --- files ------------------------------------------------------------------------------------------------------------


def report_get(name: str) -> LedgerReport:
    """The report of a name; PayopsError 'reports.unknown'."""
    if name not in REPORTS:
        raise PayopsError("reports.unknown", _("There is no report “%(report)s”.") % {"report": name}, {"report": name})
    return REPORTS[name]


def report_rows(name: str, query: ReportQuery) -> Iterable[Any]:
    """The report's rows; PayopsError 'reports.missing' when it was not told what it needs, and the report's own."""
    report = report_get(name)
    for needed in report.required:
        if not getattr(query, needed):
            raise PayopsError(
                "reports.missing",
                _("“%(report)s” needs to know the %(name)s.") % {"report": report.title, "name": needed},
                {"report": name, "name": needed},
            )
    return report.rows(query)


def report_write(
    path: Path,
    *,
    name: str,
    query: ReportQuery,
    form: str,
    limit: int | None = None,
    progress: Callable[[int], Any] | None = None,
) -> int:
    """Write the report to a file, CSV or XLSX, streaming; returns the number of rows.

    `progress` is called with the rows so far. Raises PayopsError 'reports.unknown', 'reports.missing',
    'reports.form_unknown' and, beyond `limit` rows, 'reports.too_large'.
    """
    report = report_get(name)
    if form not in FORMS:
        raise PayopsError("reports.form_unknown", _("A report is a CSV or an XLSX file."), {"form": form})
    counted = _Counted(report, report_rows(name, query), limit, progress)
    header = [str(column.title) for column in report.columns]
    if form == "csv":
        with path.open("wb") as stream:
            write_csv(stream, header, counted)
    else:
        write_xlsx(path, [(str(report.title), header, counted)])
    return counted.count


class _Counted:
    """The cells of each row, counted while they pass."""

    def __init__(
        self, report: LedgerReport, rows: Iterable[Any], limit: int | None, progress: Callable[[int], Any] | None
    ) -> None:
        self.count = 0
        self._report, self._rows, self._limit, self._progress = report, rows, limit, progress

    def __iter__(self) -> Iterator[list[Any]]:
        for row in self._rows:
            if self.count == self._limit:
                raise PayopsError(
                    "reports.too_large",
                    _("The report has more than %(limit)d rows. Ask for it as a file made in the background.")
                    % {"limit": self._limit},
                    {"limit": self._limit},
                )
            self.count += 1
            if self._progress is not None and self.count % PROGRESS_EVERY == 0:
                self._progress(self.count)
            yield [_plain(column.value(row)) for column in self._report.columns]


def _plain(value: Any) -> Any:
    """Lazy translations become text before they reach a file."""
    return str(value) if isinstance(value, Promise) else value
