"""What must hold of the books at any moment, whatever was done to them, asked in SQL of its own.

Nothing here uses the ledger's own sums: a mistake in one of them must not hide itself.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import Any

from payops.accounts import selectors, sql, verify
from payops.accounts.choices import DayState
from payops.accounts.models import AccountingDay, DayBalance, PostingKey, Voucher
from payops.core.ids import id_range

ONE_DAY = dt.timedelta(days=1)

UNBALANCED = """
SELECT id - id % 1000 AS voucher, currency FROM accounts_entry WHERE id >= {lo} AND id < {hi}
GROUP BY 1, 2 HAVING sum(CASE side WHEN 'D' THEN amount ELSE -amount END) <> 0
"""
# Stored balance = Σ entries less what is queued and less what is summed when its day closes.
BALANCES = """
SELECT a.account_no, a.balance AS stored,
    coalesce(e.moved, 0) - coalesce(q.queued, 0) - coalesce(e.summed_later, 0) AS computed,
    a.frozen, coalesce(f.remaining, 0) AS slips
FROM accounts_account a JOIN accounts_subject s ON s.id = a.subject_id
LEFT JOIN LATERAL (
    SELECT sum(signed) AS moved, sum(signed) FILTER (WHERE summed) AS summed_later FROM (
        SELECT CASE WHEN x.side = s.normal_side THEN x.amount ELSE -x.amount END AS signed,
            x.balance_after IS NULL AND EXISTS (
                SELECT FROM accounts_accountingday d JOIN accounts_postingmoderule r ON r.mode = 'summary'
                    AND r.account_id = a.id AND r.event = x.event
                    AND d.day >= r.effective_day AND (r.end_day IS NULL OR d.day < r.end_day)
                WHERE d.state <> 'closed' AND to_char(d.day, 'YYMMDD')::bigint = x.id / 1000000000000) AS summed
        FROM accounts_entry x WHERE x.account_id = a.id AND x.id >= {lo} AND x.id < {hi}) l
) e ON true
LEFT JOIN (SELECT account_id, sum(delta) AS queued FROM accounts_queuedmovement GROUP BY 1) q ON q.account_id = a.id
LEFT JOIN (SELECT account_id, sum(remaining) AS remaining FROM accounts_freeze GROUP BY 1) f ON f.account_id = a.id
"""


@dataclass
class Books:
    """The books of one programme from its first day on; remembers how closed days looked."""

    first_day: dt.date
    sealed: dict[dt.date, Any] = field(default_factory=dict)

    def check(self) -> None:
        """All of it, now."""
        newest = selectors.open_day()
        lo, hi = id_range(self.first_day, newest)
        assert sql.fetch(sql.bounded(UNBALANCED, lo, hi)) == []
        for row in sql.fetch(sql.bounded(BALANCES, lo, hi)):
            assert row["stored"] == row["computed"], row
            assert row["frozen"] == row["slips"] >= 0, row
        for total in selectors.trial_balance_totals(selectors.trial_balance(newest)):
            assert total.balanced
        self._check_keys(newest)
        self._check_closed_days()
        assert verify.ledger_verify().problems == []

    def _check_keys(self, newest: dt.date) -> None:
        vouchers = list(Voucher.objects.for_days(self.first_day, newest).values_list("event", "source_id", "pk"))
        assert len({(event, source) for event, source, _voucher in vouchers}) == len(vouchers)
        assert sorted(vouchers) == sorted(PostingKey.objects.values_list("event", "source_id", "voucher_id"))

    def _check_closed_days(self) -> None:
        for row in AccountingDay.objects.filter(state=DayState.CLOSED):
            entries = sql.fetch(
                sql.bounded(
                    "SELECT * FROM accounts_entry WHERE id >= {lo} AND id < {hi} ORDER BY id",
                    *id_range(row.day, row.day),
                )
            )
            balances = list(DayBalance.objects.filter(day=row.day).order_by("account").values())
            assert self.sealed.setdefault(row.day, (row.seal, entries, balances)) == (row.seal, entries, balances)
            closing = dict(DayBalance.objects.filter(day=row.day).values_list("account", "closing"))
            for balance in DayBalance.objects.filter(day=row.day + ONE_DAY):
                assert balance.opening == closing.get(balance.account_id, 0)
            assert not [each for each in row.findings.all() if each.check_name != "customers_money"]
