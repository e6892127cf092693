"""Summary vouchers for the finance department's ERP: one per closed day and currency, subjects under their ERP codes.

The ERP keeps the general ledger of the whole house; of operations it takes one voucher a day. Memorandum subjects stay
here. Columns are documented in `docs/reports.md`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.accounts import sql
from payops.accounts.chart import dotted
from payops.accounts.choices import DayState
from payops.accounts.models import AccountingDay
from payops.core.errors import PayopsError
from payops.core.money import format_amount

_TOTALS: Final = """
SELECT t.day, t.currency, s.code, s.name, s.name_zh, s.erp_code, sum(t.debit)::bigint AS debit,
    sum(t.credit)::bigint AS credit
FROM accounts_daytotal t JOIN accounts_subject s ON s.id = t.subject_id
WHERE t.day BETWEEN %(first)s AND %(last)s AND s.element <> 'memo'
GROUP BY t.day, t.currency, s.id ORDER BY t.day, t.currency, s.code
"""


@dataclass(frozen=True, slots=True)
class ErpLine:
    """One line of a summary voucher: the turnover of one side of one subject, minor units."""

    day: dt.date
    voucher_no: str
    line_no: int
    erp_code: str
    subject_code: str
    name: str
    name_zh: str
    currency: str
    debit: int
    credit: int

    @property
    def dotted_code(self) -> str:
        """2202.01"""
        return dotted(self.subject_code)


def erp_lines(first: dt.date, last: dt.date) -> list[ErpLine]:
    """The lines of the summary vouchers of closed days, balanced per voucher.

    Raises PayopsError 'erp.no_days', 'erp.day_not_closed' (its figures would still change), 'erp.no_code' (naming the
    subjects without ERP code) and 'erp.unbalanced' (debit ≠ credit: run `verify_ledger`).
    """
    _require_closed(first, last)
    rows = sql.fetch(_TOTALS, {"first": first, "last": last})
    missing = sorted({row["code"] for row in rows if not row["erp_code"]})
    if missing:
        raise PayopsError(
            "erp.no_code",
            _("These subjects have no ERP code yet: %(subjects)s. Give them one in the chart of accounts.")
            % {"subjects": ", ".join(dotted(code) for code in missing)},
            {"subjects": [dotted(code) for code in missing]},
        )
    found = list(_lines(rows))
    _require_balance(found)
    return found


def _require_closed(first: dt.date, last: dt.date) -> None:
    states = dict(AccountingDay.objects.filter(day__range=(first, last)).values_list("day", "state"))
    if not states:
        raise PayopsError(
            "erp.no_days",
            _("No accounting day lies between %(first)s and %(last)s.") % {"first": first, "last": last},
        )
    waiting = sorted(day for day, state in states.items() if state != DayState.CLOSED)
    if waiting:
        raise PayopsError(
            "erp.day_not_closed",
            _("Accounting day %(day)s is not closed; the ERP gets closed days only.") % {"day": waiting[0]},
            {"day": waiting[0].isoformat()},
        )


def _lines(rows: list[dict[str, Any]]) -> Iterator[ErpLine]:
    number, voucher_no = 0, ""
    for row in rows:
        debit, credit = row.pop("debit"), row.pop("credit")
        of = f"PAYOPS-{row['day']:%Y%m%d}-{row['currency']}"
        number, voucher_no = (0 if of != voucher_no else number), of
        code = row.pop("code")
        # A line has one side, as the ERP takes it; red turnover stays negative on its side.
        for sides in ((debit, 0), (0, credit)):
            if any(sides):
                number += 1
                yield ErpLine(
                    voucher_no=voucher_no, line_no=number, subject_code=code, debit=sides[0], credit=sides[1], **row
                )


def _require_balance(lines: list[ErpLine]) -> None:
    sums: dict[tuple[str, str], int] = {}
    for line in lines:
        key = (line.voucher_no, line.currency)
        sums[key] = sums.get(key, 0) + line.debit - line.credit
    for (voucher_no, currency), difference in sums.items():
        if difference:
            raise PayopsError(
                "erp.unbalanced",
                _("Voucher %(voucher)s does not balance: debit less credit is %(difference)s %(currency)s.")
                % {
                    "voucher": voucher_no,
                    "difference": format_amount(difference, currency),
                    "currency": currency,
                },
                {"voucher": voucher_no, "difference": difference},
            )
