"""What a closed day leaves for reports: totals by event and subject, and the balances of periods that end with it.

Day → month → quarter → year, each from the one before, one statement per period; T opening = T−1 closing at every
level (DOMAIN 3). All of it is derived from the entries, can be recomputed, and is part of `verify_ledger`.
"""

# ruff: noqa: S608 -- only constants of this module and integers are put into the statements
from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from django.db import connection

from payops.accounts import sql
from payops.core.ids import id_range

ONE_DAY: Final = dt.timedelta(days=1)
PERIOD_KINDS: Final = ("month", "quarter", "year")
_MONTHS: Final[dict[str, int]] = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True)
class Period:
    """A month, quarter or year of the calendar; both days belong to it."""

    kind: str
    first_day: dt.date
    last_day: dt.date

    @property
    def label(self) -> str:
        """2026-11, 2026-Q4, 2026"""
        year = f"{self.first_day.year:04d}"
        if self.kind == "year":
            return year
        if self.kind == "quarter":
            return f"{year}-Q{(self.first_day.month + 2) // 3}"
        return f"{year}-{self.first_day.month:02d}"


def period_of(kind: str, day: dt.date) -> Period:
    """The period of a kind that a day belongs to."""
    months = _MONTHS[kind]
    first = dt.date(day.year, (day.month - 1) // months * months + 1, 1)
    years, month = divmod(first.month - 1 + months, 12)
    return Period(kind, first, dt.date(first.year + years, month + 1, 1) - ONE_DAY)


def periods_ending(day: dt.date) -> list[Period]:
    """The periods whose last day this is, the shortest first: 31 December ends three, 15 November none."""
    return [period for period in (period_of(kind, day) for kind in PERIOD_KINDS) if period.last_day == day]


# --- writing ----------------------------------------------------------------------------------------------------------

# Of a range of entries; one row per subject, event and currency.
EVENT_TOTALS: Final = """
SELECT a.subject_id, t.event, t.currency, sum(t.debit)::bigint AS debit, sum(t.credit)::bigint AS credit,
    sum(t.debit_count)::bigint AS debit_count, sum(t.credit_count)::bigint AS credit_count
FROM (
    SELECT account_id, event, currency, coalesce(sum(amount) FILTER (WHERE side = 'D'), 0) AS debit,
        coalesce(sum(amount) FILTER (WHERE side = 'C'), 0) AS credit,
        count(*) FILTER (WHERE side = 'D') AS debit_count, count(*) FILTER (WHERE side = 'C') AS credit_count
    FROM accounts_entry WHERE id >= {lo} AND id < {hi} GROUP BY account_id, event, currency
) t
JOIN accounts_account a ON a.id = t.account_id
GROUP BY a.subject_id, t.event, t.currency
"""
DAY_TOTALS: Final = (
    "INSERT INTO accounts_daytotal"
    " (day, subject_id, event, currency, debit, credit, debit_count, credit_count)"
    f" SELECT %(day)s, x.* FROM ({EVENT_TOTALS}) x ORDER BY 2, 3, 4"
)

# A month is summed from its days, a quarter from its months, a year from its quarters. The opening is the closing of
# the day before the period; accounts without opening and turnover have no row.
_TURNOVER_OF_DAYS: Final = (
    "SELECT account_id, debit, credit FROM accounts_daybalance WHERE day BETWEEN %(first)s AND %(last)s"
)
_TURNOVER_OF_PERIODS: Final = (
    "SELECT account_id, debit, credit FROM accounts_periodbalance"
    " WHERE kind = %(parts)s AND first_day BETWEEN %(first)s AND %(last)s"
)
_PERIOD: Final = """
INSERT INTO accounts_periodbalance (kind, first_day, last_day, account_id, opening, debit, credit, closing)
SELECT %(kind)s, %(first)s, %(last)s, a.id, coalesce(p.closing, 0), coalesce(t.debit, 0), coalesce(t.credit, 0),
    coalesce(p.closing, 0)
        + CASE s.normal_side WHEN 'D' THEN 1 ELSE -1 END * (coalesce(t.debit, 0) - coalesce(t.credit, 0))
FROM (
    SELECT account_id, sum(debit)::bigint AS debit, sum(credit)::bigint AS credit FROM ({turnover}) d
    GROUP BY account_id
) t
FULL JOIN (SELECT account_id, closing FROM accounts_daybalance WHERE day = %(before)s AND closing <> 0) p
    ON p.account_id = t.account_id
JOIN accounts_account a ON a.id = coalesce(t.account_id, p.account_id)
JOIN accounts_subject s ON s.id = a.subject_id
ORDER BY a.id
"""
_PARTS: Final[dict[str, str]] = {"month": "", "quarter": "month", "year": "quarter"}


def day_results_write(day: dt.date) -> None:
    """Write the day's totals and the balances of every period that ends with it; called once, inside the close.

    The day's own balances must be there already. What is written never changes (database guards).
    """
    lo, hi = id_range(day, day)
    with connection.cursor() as cursor:
        cursor.execute(sql.bounded(DAY_TOTALS, lo, hi), {"day": day})
        for period in periods_ending(day):
            cursor.execute(*_period_statement(period))


def _period_statement(period: Period) -> tuple[str, dict[str, object]]:
    parts = _PARTS[period.kind]
    parameters = {
        "kind": period.kind,
        "parts": parts,
        "first": period.first_day,
        "last": period.last_day,
        "before": period.first_day - ONE_DAY,
    }
    return _PERIOD.replace("{turnover}", _TURNOVER_OF_PERIODS if parts else _TURNOVER_OF_DAYS), parameters


# --- verifying --------------------------------------------------------------------------------------------------------

_BROKEN_TOTAL: Final = (
    "SELECT s.code FROM"
    f" (SELECT x.* FROM ({EVENT_TOTALS}) x) x"
    " FULL JOIN (SELECT * FROM accounts_daytotal WHERE day = %(day)s) y"
    " ON (y.subject_id, y.event, y.currency) = (x.subject_id, x.event, x.currency)"
    " JOIN accounts_subject s ON s.id = coalesce(x.subject_id, y.subject_id)"
    " WHERE (x.debit, x.credit, x.debit_count, x.credit_count)"
    " IS DISTINCT FROM (y.debit, y.credit, y.debit_count, y.credit_count) ORDER BY 1 LIMIT 1"
)

# A period must open with what the day before it closed with, move what its days moved, and close as its last day did.
_BROKEN_PERIOD: Final = """
SELECT a.account_no FROM (SELECT * FROM accounts_periodbalance WHERE kind = %(kind)s AND first_day = %(first)s) b
FULL JOIN (
    SELECT account_id, sum(debit) AS debit, sum(credit) AS credit, sum(moved) AS moved,
        sum(opening) AS opening, sum(closing) AS closing
    FROM (
        SELECT account_id, debit, credit, 1 AS moved, 0 AS opening, CASE WHEN day = %(last)s THEN closing ELSE 0 END
            AS closing FROM accounts_daybalance WHERE day BETWEEN %(first)s AND %(last)s
        UNION ALL
        SELECT account_id, 0, 0, 0, closing, 0 FROM accounts_daybalance WHERE day = %(before)s
    ) u GROUP BY account_id HAVING sum(moved) > 0 OR sum(opening) <> 0
) d ON d.account_id = b.account_id
JOIN accounts_account a ON a.id = coalesce(b.account_id, d.account_id)
WHERE (b.opening, b.debit, b.credit, b.closing) IS DISTINCT FROM (d.opening, d.debit, d.credit, d.closing)
ORDER BY a.id LIMIT 1
"""


_TOTALS_AGAINST_BALANCES: Final = """
SELECT s.code
FROM (SELECT subject_id, currency, sum(debit) AS debit, sum(credit) AS credit FROM accounts_daytotal
    WHERE day = %(day)s GROUP BY subject_id, currency) t
FULL JOIN (SELECT a.subject_id, a.currency, sum(b.debit) AS debit, sum(b.credit) AS credit
    FROM accounts_daybalance b JOIN accounts_account a ON a.id = b.account_id
    WHERE b.day = %(day)s GROUP BY a.subject_id, a.currency) b
    ON (b.subject_id, b.currency) = (t.subject_id, t.currency)
JOIN accounts_subject s ON s.id = coalesce(t.subject_id, b.subject_id)
WHERE coalesce(t.debit, 0) <> coalesce(b.debit, 0) OR coalesce(t.credit, 0) <> coalesce(b.credit, 0)
ORDER BY s.code LIMIT 20
"""


def subjects_that_differ(day: dt.date) -> list[str]:
    """Codes of subjects whose totals by event are not the turnover of their day balances."""
    return [row["code"] for row in sql.fetch(_TOTALS_AGAINST_BALANCES, {"day": day})]


def accounts_that_differ(day: dt.date) -> list[tuple[Period, str]]:
    """Of each period that ends with the day, the first account whose balance is not made of its days."""
    found = []
    for period in periods_ending(day):
        _statement, parameters = _period_statement(period)
        found += [(period, row["account_no"]) for row in sql.fetch(_BROKEN_PERIOD, parameters)]
    return found


def day_results_problems(day: dt.date) -> Iterator[str]:
    """Sentences about a closed day's totals and ended periods that its entries and day balances do not make."""
    lo, hi = id_range(day, day)
    for row in sql.fetch(sql.bounded(_BROKEN_TOTAL, lo, hi), {"day": day}):
        yield f"{day.isoformat()}: day totals of subject {row['code']} are not the sum of its entries"
    for period, account_no in accounts_that_differ(day):
        yield f"{day.isoformat()}: {period.kind} balance of {account_no} is not made of its days"
