"""The bank's memory: one SQLite file with its date, accounts' lines, payouts, settlements to come and scripts.

Every public method is one committed transaction, so that a killed bank wakes up exactly where its last answer left it.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simulators.bank.errors import BankError
from simulators.bank.outcomes import (
    BRANCH_CODE_LIMIT,
    BY_ACCOUNT_ENDING,
    MESSAGES,
    NO_BRANCH_CODE,
    OUTCOMES,
    SUCCEED,
    Outcome,
)

SCHEMA = """
CREATE TABLE IF NOT EXISTS bank (id INTEGER PRIMARY KEY CHECK (id = 1), today TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS payout (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, payout_no TEXT NOT NULL UNIQUE, account_no TEXT NOT NULL,
    payee_account TEXT NOT NULL, payee_name TEXT NOT NULL, payee_bank TEXT NOT NULL, branch_code TEXT NOT NULL,
    memo TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, outcome TEXT NOT NULL,
    status TEXT NOT NULL, queries_left INTEGER NOT NULL, value_date TEXT NOT NULL, return_due TEXT, returned_on TEXT
);
CREATE TABLE IF NOT EXISTS lost_payout (payout_no TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS settlement (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, reference TEXT NOT NULL UNIQUE, account_no TEXT NOT NULL,
    value_date TEXT NOT NULL, counterparty TEXT NOT NULL, memo TEXT NOT NULL, amount INTEGER NOT NULL,
    currency TEXT NOT NULL, booked INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS line (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, account_no TEXT NOT NULL, value_date TEXT NOT NULL, reference TEXT NOT NULL,
    counterparty TEXT NOT NULL, memo TEXT NOT NULL, amount INTEGER NOT NULL, currency TEXT NOT NULL,
    balance INTEGER NOT NULL, UNIQUE (account_no, reference)
);
CREATE TABLE IF NOT EXISTS script (
    field TEXT NOT NULL, value TEXT NOT NULL, outcome TEXT NOT NULL, queries INTEGER,
    return_after_days INTEGER NOT NULL, PRIMARY KEY (field, value)
);
"""
PAYOUT_FIELDS = (
    "account_no",
    "payee_account",
    "payee_name",
    "payee_bank",
    "branch_code",
    "memo",
    "amount",
    "currency",
)
SETTLEMENT_FIELDS = ("account_no", "value_date", "counterparty", "memo", "amount", "currency")


class Store:
    """All the bank knows; safe to share between threads, which take turns."""

    def __init__(self, path: Path, today: dt.date) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.folder = path.parent.resolve()
        self._turn = threading.Lock()
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        # Survives a kill of the process; only a crash of the machine could lose the last transactions.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        self._db.execute("INSERT OR IGNORE INTO bank VALUES (1, ?)", (today.isoformat(),))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        with self._turn:
            self._db.close()

    # -- the date ----------------------------------------------------------------------------------------------------

    def today(self) -> str:
        with self._transaction() as db:
            return _today(db)

    def move_on(self, day: dt.date) -> str:
        """Go to `day` unless it lies behind, one day at a time, booking what falls due on each."""
        with self._transaction() as db:
            today = dt.date.fromisoformat(_today(db))
            while today < day:
                today += dt.timedelta(days=1)
                db.execute("UPDATE bank SET today = ?", (today.isoformat(),))
                _book_due(db, today.isoformat())
            return today.isoformat()

    def reset(self, day: dt.date) -> str:
        with self._transaction() as db:
            for table in ("payout", "lost_payout", "settlement", "line", "script"):
                db.execute(f"DELETE FROM {table}")  # noqa: S608
            db.execute("DELETE FROM sqlite_sequence")
            db.execute("UPDATE bank SET today = ?", (day.isoformat(),))
            return day.isoformat()

    # -- payouts -----------------------------------------------------------------------------------------------------

    def payout_take(self, payout_no: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        """Take a payout once; None where the bank gives no answer. Raises BankError 409 for a number used otherwise."""
        with self._transaction() as db:
            row = _payout(db, payout_no)
            if row is not None:
                _same_or_conflict("payout_conflict", payout_no, row, fields, PAYOUT_FIELDS)
                return _told(row)
            outcome, queries, return_days = _outcome_of(db, payout_no, fields)
            if not outcome.received:
                lost = db.execute("INSERT OR IGNORE INTO lost_payout VALUES (?)", (payout_no,)).rowcount
                if lost:
                    return None
            _book_payout(db, payout_no, fields, outcome, queries, return_days)
            return None if outcome.silent and outcome.received else _told(_payout(db, payout_no))

    def payout_query(self, payout_no: str) -> dict[str, Any]:
        """The state of a payout; each query of one whose result is not known yet brings that result nearer."""
        with self._transaction() as db:
            row = _payout(db, payout_no)
            if row is None:
                raise BankError(404, "payout_not_found", f"The bank has no payout {payout_no}.")
            if row["status"] in ("accepted", "unknown"):
                if row["queries_left"] > 0:
                    db.execute(
                        "UPDATE payout SET status = 'unknown', queries_left = queries_left - 1 WHERE payout_no = ?",
                        (payout_no,),
                    )
                else:
                    final = OUTCOMES[row["outcome"]].final_status
                    db.execute("UPDATE payout SET status = ? WHERE payout_no = ?", (final, payout_no))
            _return_due(db, _today(db))
            return _told(_payout(db, payout_no))

    def script_set(self, field: str, value: str, outcome: str | None, queries: int | None, return_days: int) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM script WHERE field = ? AND value = ?", (field, value))
            if outcome is not None:
                db.execute("INSERT INTO script VALUES (?, ?, ?, ?, ?)", (field, value, outcome, queries, return_days))

    # -- settlements and statements ----------------------------------------------------------------------------------

    def settlements_take(self, entries: list[dict[str, Any]]) -> dict[str, int]:
        with self._transaction() as db:
            created = 0
            for entry in entries:
                row = db.execute("SELECT * FROM settlement WHERE reference = ?", (entry["reference"],)).fetchone()
                if row is not None:
                    _same_or_conflict("settlement_conflict", entry["reference"], row, entry, SETTLEMENT_FIELDS)
                    continue
                db.execute(
                    "INSERT INTO settlement (reference, account_no, value_date, counterparty, memo, amount, currency)"
                    " VALUES (:reference, :account_no, :value_date, :counterparty, :memo, :amount, :currency)",
                    entry,
                )
                created += 1
            _book_due(db, _today(db))
            return {"created": created, "unchanged": len(entries) - created}

    def statement(self, account_no: str, first: str, last: str) -> list[sqlite3.Row]:
        with self._transaction() as db:
            return db.execute(
                "SELECT * FROM line WHERE account_no = ? AND value_date BETWEEN ? AND ? ORDER BY seq",
                (account_no, first, last),
            ).fetchall()


def _today(db: sqlite3.Connection) -> str:
    return db.execute("SELECT today FROM bank").fetchone()["today"]


def _payout(db: sqlite3.Connection, payout_no: str) -> sqlite3.Row | None:
    return db.execute("SELECT * FROM payout WHERE payout_no = ?", (payout_no,)).fetchone()


def _outcome_of(db: sqlite3.Connection, payout_no: str, fields: dict[str, Any]) -> tuple[Outcome, int, int]:
    script = db.execute(
        "SELECT * FROM script WHERE (field = 'payout_no' AND value = ?) OR (field = 'payee_account' AND value = ?)"
        " ORDER BY field DESC LIMIT 1",
        (payout_no, fields["payee_account"]),
    ).fetchone()
    if script is not None:
        outcome = OUTCOMES[script["outcome"]]
        queries = outcome.queries if script["queries"] is None else script["queries"]
        return outcome, queries, script["return_after_days"]
    outcome = OUTCOMES[BY_ACCOUNT_ENDING.get(fields["payee_account"][-4:], "succeed")]
    if outcome.name == "fail_bank" and _failed_today(db, fields["payee_account"]):
        outcome = SUCCEED
    if outcome.moves_money and fields["amount"] > BRANCH_CODE_LIMIT and not fields["branch_code"]:
        outcome = NO_BRANCH_CODE
    return outcome, outcome.queries, 1


def _failed_today(db: sqlite3.Connection, payee_account: str) -> bool:
    """The payee's bank was closed when the first payout of the day came; the next one finds it open."""
    query = "SELECT 1 FROM payout WHERE payee_account = ? AND value_date = ? AND outcome = 'fail_bank'"
    return db.execute(query, (payee_account, _today(db))).fetchone() is not None


def _book_payout(
    db: sqlite3.Connection, payout_no: str, fields: dict[str, Any], outcome: Outcome, queries: int, return_days: int
) -> None:
    today = _today(db)
    status = outcome.final_status if outcome.at_once else "unknown" if outcome.unknown_at_once else "accepted"
    due = dt.date.fromisoformat(today) + dt.timedelta(days=return_days)
    cursor = db.execute(
        "INSERT INTO payout (payout_no, account_no, payee_account, payee_name, payee_bank, branch_code, memo, amount,"
        " currency, outcome, status, queries_left, value_date, return_due) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (
            payout_no,
            *(fields[name] for name in PAYOUT_FIELDS),
            outcome.name,
            status,
            queries,
            today,
            due.isoformat() if outcome.returns else None,
        ),
    )
    if outcome.moves_money:
        memo = f"PAYOUT {payout_no} {fields['memo']}".rstrip()
        reference = _reference(cursor.lastrowid or 0)
        _book(db, fields["account_no"], today, reference, fields["payee_name"], memo, -fields["amount"])


def _book_due(db: sqlite3.Connection, today: str) -> None:
    """Channel settlements whose day has come, then returns."""
    due = db.execute("SELECT * FROM settlement WHERE booked = 0 AND value_date <= ? ORDER BY seq", (today,)).fetchall()
    for row in due:
        _book(
            db, row["account_no"], row["value_date"], row["reference"], row["counterparty"], row["memo"], row["amount"]
        )
        db.execute("UPDATE settlement SET booked = 1 WHERE seq = ?", (row["seq"],))
    _return_due(db, today)


def _return_due(db: sqlite3.Connection, today: str) -> None:
    """A payout comes back on its day at the earliest, and never before somebody could know that it had succeeded."""
    due = db.execute(
        "SELECT * FROM payout WHERE return_due <= ? AND returned_on IS NULL AND status = 'succeeded' ORDER BY seq",
        (today,),
    ).fetchall()
    for row in due:
        memo = f"RETURN {row['payout_no']} account closed"
        _book(db, row["account_no"], today, f"RT{row['seq']:08d}", row["payee_name"], memo, row["amount"])
        db.execute("UPDATE payout SET status = 'returned', returned_on = ? WHERE seq = ?", (today, row["seq"]))


def _book(
    db: sqlite3.Connection, account_no: str, day: str, reference: str, counterparty: str, memo: str, amount: int
) -> None:
    last = db.execute(
        "SELECT balance FROM line WHERE account_no = ? ORDER BY seq DESC LIMIT 1", (account_no,)
    ).fetchone()
    balance = (last["balance"] if last else 0) + amount
    db.execute(
        "INSERT INTO line (account_no, value_date, reference, counterparty, memo, amount, currency, balance)"
        " VALUES (?, ?, ?, ?, ?, ?, 'CNY', ?)",
        (account_no, day, reference, counterparty, memo, amount, balance),
    )


def _reference(seq: int) -> str:
    return f"BK{seq:08d}"


def _told(row: sqlite3.Row | None) -> dict[str, Any]:
    """What the caller is told about a payout: while it is not final, nothing of how it will end."""
    assert row is not None
    outcome = OUTCOMES[row["outcome"]]
    code = {
        "accepted": "ACCEPTED",
        "unknown": "PENDING",
        "returned": "RETURNED_ACCOUNT_CLOSED",
    }.get(row["status"], outcome.code)
    fault = outcome.account_fault if row["status"] == "failed" else row["status"] == "returned"
    return {
        "payout_no": row["payout_no"],
        "status": row["status"],
        "code": code,
        "message": MESSAGES[code],
        "account_fault": fault,
        "bank_reference": _reference(row["seq"]),
        "amount": row["amount"],
        "currency": row["currency"],
        "value_date": row["value_date"],
        "returned_on": row["returned_on"],
    }


def _same_or_conflict(code: str, number: str, row: sqlite3.Row, fields: dict[str, Any], names: tuple[str, ...]) -> None:
    differing = [name for name in names if row[name] != fields[name]]
    if differing:
        raise BankError(409, code, f"{number} is known with another {', '.join(differing)}.")
