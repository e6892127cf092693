"""Guards on what a closed day leaves for reports: its totals and the balances of its periods (DOMAIN 3)."""

from __future__ import annotations

from typing import Final

from payops.core.sql import append_only_triggers

# Rows come only with the close of the period's last day, which holds that day's state at cut-off until it commits.
# Raised codes: PL006 like every other write into a closed day, PL031 for figures that do not add up.
PERIOD_FUNCTION: Final = """
CREATE FUNCTION accounts_period_guard() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $body$
DECLARE
    r record;
BEGIN
    SELECT n.kind, n.first_day, n.last_day INTO r
        FROM (SELECT DISTINCT kind, first_day, last_day FROM new_rows) n
        WHERE n.first_day <> date_trunc(n.kind, n.last_day::timestamp)::date
            OR n.last_day <> (n.first_day::timestamp + CASE n.kind WHEN 'month' THEN interval '1 month'
                WHEN 'quarter' THEN interval '3 months' ELSE interval '1 year' END - interval '1 day')::date
        LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% to % is no % of the calendar', r.first_day, r.last_day, r.kind USING ERRCODE = 'PL031';
    END IF;
    SELECT n.kind, n.last_day INTO r
        FROM (SELECT DISTINCT kind, last_day FROM new_rows) n
        LEFT JOIN accounts_accountingday d ON d.day = n.last_day WHERE d.state IS DISTINCT FROM 'cut_off' LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the % that ends on % is not being closed: its balances stay as they are', r.kind, r.last_day
            USING ERRCODE = 'PL006';
    END IF;
    SELECT n.kind, n.first_day, a.account_no INTO r
        FROM new_rows n JOIN accounts_account a ON a.id = n.account_id JOIN accounts_subject s ON s.id = a.subject_id
        WHERE n.closing <> n.opening + CASE s.normal_side WHEN 'D' THEN 1 ELSE -1 END * (n.debit - n.credit) LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the % balance of account % from % is not its opening plus its turnover', r.kind,
            r.account_no, r.first_day USING ERRCODE = 'PL031';
    END IF;
    RETURN NULL;
END
$body$;
"""


def period_guards() -> list[str]:
    """Function and triggers; PeriodBalance is append-only already."""
    return [
        PERIOD_FUNCTION,
        "CREATE TRIGGER sealed_period AFTER INSERT ON accounts_periodbalance REFERENCING NEW TABLE AS new_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION accounts_period_guard();",
        "CREATE TRIGGER sealed_day AFTER INSERT ON accounts_daytotal REFERENCING NEW TABLE AS new_rows"
        " FOR EACH STATEMENT EXECUTE FUNCTION accounts_sealed_day_guard('day');",
        *append_only_triggers("accounts_daytotal"),
    ]


def period_guards_reverse() -> list[str]:
    """Undoes `period_guards`."""
    return [
        "DROP TRIGGER append_only ON accounts_daytotal;",
        "DROP TRIGGER no_truncate ON accounts_daytotal;",
        "DROP TRIGGER sealed_day ON accounts_daytotal;",
        "DROP FUNCTION accounts_period_guard CASCADE;",
    ]
