"""Guard on what some register remembers to the cent: suspense and money in flight are never moved by hand (DOMAIN 8).

Manual vouchers and one-sided corrections are booked by lines a person chose. On these subjects such a line would leave
the register wrong: a case without its suspense, a payout without its money in flight. Reversing a whole voucher takes
them along and is allowed.
"""

# ruff: noqa: S608 -- only constants of this module are put into the statements
from __future__ import annotations

from typing import Final

from payops.accounts.choices import CorrectionKind, DocumentState

PENDING_CLEARING: Final = "300101"
KEPT_BY_REGISTERS: Final = ("122101", "220203", "224101", "224102", PENDING_CLEARING)
"""Shortage and surplus in suspense, refunds and payouts in flight, channel pending clearing."""

_SEARCH_PATH: Final = "SET search_path = pg_catalog, public, pg_temp"
_WHOLE: Final = f"('{CorrectionKind.SAME_DAY_REVERSAL.value}', '{CorrectionKind.RED_REVERSAL.value}')"

FUNCTIONS: Final = f"""
CREATE FUNCTION accounts_refuse_registered(p_voucher bigint, p_but text) RETURNS void
LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
DECLARE
    v_account text;
BEGIN
    -- The bounds stand in the text of the query, so that planning touches the voucher's partition and no others.
    EXECUTE format($query$
        SELECT min(a.account_no) FILTER (WHERE s.code IN {KEPT_BY_REGISTERS!r})
        FROM accounts_entry e
        JOIN accounts_account a ON a.id = e.account_id JOIN accounts_subject s ON s.id = a.subject_id
        WHERE e.id > %1$s AND e.id < %1$s + 1000 HAVING NOT bool_and(s.code = $1)
    $query$, p_voucher) INTO v_account USING p_but;
    IF v_account IS NOT NULL THEN
        RAISE EXCEPTION 'what stands on account % is worked as cases, refunds or payouts, not by hand', v_account
            USING ERRCODE = 'PL016';
    END IF;
END
$body$;

CREATE FUNCTION accounts_correction_register_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    -- A payment of another channel may move from one channel's pending clearing to another's, and nowhere else.
    IF NEW.voucher_id IS NOT NULL
       AND (SELECT kind NOT IN {_WHOLE} FROM accounts_correction WHERE id = NEW.correction_id) THEN
        PERFORM accounts_refuse_registered(NEW.voucher_id, '{PENDING_CLEARING}');
    END IF;
    RETURN NULL;
END
$body$;

CREATE FUNCTION accounts_manual_register_guard() RETURNS trigger LANGUAGE plpgsql {_SEARCH_PATH} AS $body$
BEGIN
    PERFORM accounts_refuse_registered(NEW.voucher_id, '');
    RETURN NULL;
END
$body$;
"""


def register_guards() -> list[str]:
    """Functions and triggers: a document's voucher is looked at when the document says which one it is."""
    return [
        FUNCTIONS,
        "CREATE TRIGGER register_guard AFTER INSERT OR UPDATE ON accounts_correctionvoucher"
        " FOR EACH ROW EXECUTE FUNCTION accounts_correction_register_guard();",
        "CREATE TRIGGER register_guard AFTER UPDATE ON accounts_manualvoucher"
        f" FOR EACH ROW WHEN (NEW.state = '{DocumentState.BOOKED.value}')"
        " EXECUTE FUNCTION accounts_manual_register_guard();",
    ]


def register_guards_reverse() -> list[str]:
    """Undoes `register_guards`; CASCADE takes the triggers along."""
    return [
        "DROP FUNCTION accounts_correction_register_guard CASCADE;",
        "DROP FUNCTION accounts_manual_register_guard CASCADE;",
        "DROP FUNCTION accounts_refuse_registered;",
    ]
