"""`post_many`: the same rules and guards as `post`, at the speed of COPY.

Two passes over the stream, each in chunks. The first takes the posting keys (in source order, existing ones are
skipped), writes the vouchers and learns which accounts are concerned; then all of those are locked in one order, so
that no chunk waits for a lock out of order; the second writes the entries with their balances. While the database takes
one chunk, the next one is prepared. What lies between the passes of a long stream waits in a temporary file, so memory
stays flat however many postings come.
"""

from __future__ import annotations

import datetime as dt
import marshal
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any, Final

from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from payops.accounts import sql
from payops.accounts.choices import AccountStatus, DayState, OwnerKind
from payops.accounts.diverting import divert, suspense_account, suspense_key, suspense_owner
from payops.accounts.errors import guard_errors
from payops.accounts.guards import DAY_LOCK
from payops.accounts.models import AccountingDay, DivertedEntry, Entry, PostingKey, Voucher
from payops.accounts.modes import debited_in_real_time, modes_on
from payops.accounts.posting import (
    MEMO_LENGTH,
    Posting,
    account_closed,
    day_not_open,
    no_account,
    open_accounting_day,
)
from payops.accounts.rules import CompiledRule, RuleLine, rule_for
from payops.core.copying import copy_text, text_field
from payops.core.errors import PayopsError
from payops.core.garbage import no_garbage_search
from payops.core.ids import day_code, day_floor
from payops.core.locks import xact_lock
from payops.core.partitions import partition_name

CHUNK: Final = 10_000
"""Postings per COPY: large enough that a chunk's fixed cost vanishes, small enough that a chunk is a few megabytes."""
SWITCH_SECONDS: Final = 0.0005
NULL: Final = "\\N"

KEY_TABLE: Final = PostingKey._meta.db_table
KEY_COLUMNS: Final = ("event", "source_id", "voucher_id")

VOUCHER_COLUMNS: Final = (
    "id",
    "event",
    "source_kind",
    "business_date",
    "rule_version",
    "posted_at",
    "posted_by",
    "source_id",
    "line_count",
    "memo",
)
ENTRY_COLUMNS: Final = ("id", "account_id", "side", "amount", "currency", "event", "balance_after")


@dataclass(frozen=True, slots=True)
class PostManyResult:
    """How many vouchers were made, how many keys were booked before, and how many postings had only zero lines."""

    posted: int
    skipped: int
    empty: int = 0


AccountKey = tuple[str, str, str, str]
"""Subject, owner kind, owner number, currency."""


@dataclass(slots=True)
class _Account:
    """An account of the batch, locked where its balance moves: it moves here and is written back once."""

    id: int
    normal_side: str
    account_no: str = ""
    closed: bool = False
    before: int = 0
    balance: int = 0
    refusal: PayopsError | None = None
    """Why it takes no entry (missing, closed): raised by the first line that is not zero."""


@dataclass(slots=True)
class _Combo:
    """Postings that share rule, source kind and owners share accounts and the fixed parts of their lines."""

    rule: CompiledRule
    source_kind: str
    business_date: dt.date
    currency: str
    keys: list[AccountKey]
    suspense_owner: tuple[str, str]
    later: list[bool]
    """Per line: whether the balance of its account follows later."""
    debits: list[bool]
    """Per line: whether a merchant is debited, which is done in real time whatever the rule."""
    plain: bool = True
    """No line is out of the ordinary (missing, closed, its balance to follow): the fast way."""
    voucher_head: str = ""
    lines: list[tuple[_Account, str, str, int]] = field(default_factory=list)
    """Account, text before the amount when it is positive, when it is negative, and its sign on the balance."""
    entry_tail: str = ""

    def note(self, amounts: list[int]) -> None:
        """Remember which lines debit a merchant: those accounts are locked although their credits follow later."""
        for at, (key, line, amount) in enumerate(zip(self.keys, self.rule.lines, amounts, strict=True)):
            if amount and debited_in_real_time(key[0]) and (amount > 0) == (line.side == "D"):
                self.debits[at] = True


_Prepared = tuple[int, int, list[int]]
"""One posting whose entries are still to be written: combo, voucher id, amount per line."""


@dataclass(slots=True)
class _Chunk:
    """Postings ready to be taken: what the database is given is text already."""

    prepared: list[_Prepared]
    keys: list[tuple[int, int, int]]
    """Event, source id and voucher id, in one order everywhere, so that two batches meet the same keys alike."""
    vouchers: list[str]
    """A line of COPY text per posting."""

    def without(self, free: set[int]) -> _Chunk:
        """Only the postings whose vouchers are in `free`."""
        pairs = zip(self.prepared, self.vouchers, strict=True)
        left = [(posting, line) for posting, line in pairs if posting[1] in free]
        return _Chunk([posting for posting, _line in left], self.keys, [line for _posting, line in left])


def post_many(
    postings: Iterable[Posting], *, day: dt.date | None = None, posted_by: str = "", chunk_size: int = CHUNK
) -> PostManyResult:
    """Book many source documents in the caller's transaction (or one of its own); all of them or none.

    Keys booked before, by anybody, are skipped, so a batch can be given again. Postings should come in order of their
    source id. `day`: the accounting day, default the open one. Raises what `post` raises; the first posting that
    cannot be booked stops the batch.
    """
    with guard_errors(), transaction.atomic(), no_garbage_search():
        return _Batch(day, posted_by, chunk_size).run(iter(postings))


@contextmanager
def _behind() -> Iterator[ThreadPoolExecutor]:
    """A thread that works on this thread's connection, in its transaction; never both at a time.

    It mostly waits for the database, and would wait as long again for the interpreter if that changed hands as seldom
    as it usually does.
    """
    mine = connections["default"]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(min(usual, SWITCH_SECONDS))

    def lend() -> None:
        connections["default"] = mine

    mine.inc_thread_sharing()
    try:
        with ThreadPoolExecutor(max_workers=1, initializer=lend) as thread:
            yield thread
    finally:
        if usual > SWITCH_SECONDS:
            sys.setswitchinterval(usual)
        mine.dec_thread_sharing()


class _Batch:
    """The state of one call: day, combos met so far, and the file between the passes."""

    def __init__(self, day: dt.date | None, posted_by: str, chunk_size: int) -> None:
        self.day = day or open_accounting_day()
        self.posted = f"{timezone.now().isoformat()}\t{text_field(posted_by)}"
        self.chunk_size = chunk_size
        self.floor = day_floor(self.day)
        self.voucher_table = partition_name(Voucher, self.day)
        self.combos: list[_Combo] = []
        self.index: dict[tuple[Any, ...], int] = {}
        self.rules: dict[int, CompiledRule] = {}
        self.modes: frozenset[tuple[AccountKey, int]] = frozenset()
        self.diverted: list[DivertedEntry] = []
        self.found: dict[AccountKey, _Account] = {}
        self.taken = 0
        self.skipped = 0
        self.empty = 0

    def run(self, postings: Iterator[Posting]) -> PostManyResult:
        """Both passes."""
        self._hold_day()
        self.modes = modes_on(self.day)
        chunk = self._prepare(*self._pull(postings))
        following = self._pull(postings)
        if not following[0]:
            return self._write_all([self._take(chunk)])
        with tempfile.TemporaryFile() as spool, _behind() as behind:
            while following[0]:
                taking = behind.submit(self._take, chunk)
                chunk = self._prepare(*following)
                _keep(taking.result(), spool)
                following = self._pull(postings)
            _keep(self._take(chunk), spool)
            spool.seek(0)
            return self._write_all(_read(spool))

    def _pull(self, postings: Iterator[Posting]) -> tuple[list[Posting], Sequence[int]]:
        """The next chunk and numbers for its vouchers; also learns the rules it is booked by.

        The caller's stream may read the database as well, so this never runs while a chunk is being taken behind.
        """
        chunk = list(islice(postings, self.chunk_size))
        for event in {posting.event for posting in chunk} - self.rules.keys():
            # Read anew once per batch: another process may have entered a version since this one cached it.
            self.rules[event] = rule_for(int(event), self.day, fresh=True)
        return chunk, self._voucher_ids(len(chunk)) if chunk else ()

    def _hold_day(self) -> None:
        xact_lock(DAY_LOCK, day_code(self.day), shared=True)
        state = AccountingDay.objects.filter(day=self.day).values_list("state", flat=True).first()
        if state not in {DayState.OPEN, DayState.CUT_OFF}:
            raise day_not_open(self.day)

    # --- first pass: keys, vouchers, and which accounts ---

    def _prepare(self, postings: list[Posting], numbers: Sequence[int]) -> _Chunk:
        """What the postings come to, in source order; those of only zero lines are left out.

        Asks the database nothing: the connection is in use behind.
        """
        chunk = _Chunk([], [], [])
        for posting, voucher in zip(postings, numbers, strict=True):
            rule = self.rules[posting.event]
            amounts = rule.amounts(posting.amounts)
            zeros = amounts.count(0)
            if zeros == len(amounts):
                self.empty += 1
                continue
            if set(map(type, amounts)) != {int}:
                raise TypeError("amounts are whole minor units")
            index = self._combo(posting, rule)
            combo = self.combos[index]
            if self.modes:
                combo.note(amounts)
            memo = text_field(posting.memo[:MEMO_LENGTH]) if posting.memo else ""
            chunk.prepared.append((index, voucher, amounts))
            chunk.keys.append((rule.event, posting.source_id, voucher))
            chunk.vouchers.append(f"{voucher}{combo.voucher_head}{posting.source_id}\t{len(amounts) - zeros}\t{memo}\n")
        chunk.keys.sort()
        return chunk

    def _combo(self, posting: Posting, rule: CompiledRule) -> int:
        owners = posting.owners
        key = (rule.event, posting.source_kind, posting.business_date, posting.currency, *owners.items())
        index = self.index.get(key)
        if index is None:
            rule.owners(owners)
            keys = [
                (line.subject, line.owner_kind, owners[line.owner_key] if line.owner_key else "", posting.currency)
                for line in rule.lines
            ]
            index = self.index[key] = len(self.combos)
            later = [(account, rule.event) in self.modes for account in keys]
            self.combos.append(
                _Combo(
                    rule,
                    posting.source_kind,
                    posting.business_date,
                    posting.currency,
                    keys,
                    suspense_owner(owners),
                    later,
                    [False] * len(keys),
                    voucher_head=f"\t{rule.event}\t{text_field(posting.source_kind)}\t{posting.business_date}"
                    f"\t{rule.version}\t{self.posted}\t",
                )
            )
        return index

    def _take(self, chunk: _Chunk) -> list[_Prepared]:
        """Keys and vouchers of a chunk; what comes back is the chunk without what was booked before."""
        if not chunk.keys:
            return []
        keys = "".join([f"{event}\t{source}\t{voucher}\n" for event, source, voucher in chunk.keys])
        try:
            with transaction.atomic():
                copy_text(KEY_TABLE, KEY_COLUMNS, [keys.encode()])
        except IntegrityError:
            free = _free_keys(chunk.keys)
            self.skipped += len(chunk.keys) - len(free)
            chunk = chunk.without(free)
        self.taken += len(chunk.prepared)
        if chunk.vouchers:
            copy_text(self.voucher_table, VOUCHER_COLUMNS, ["".join(chunk.vouchers).encode()])
        return chunk.prepared

    def _voucher_ids(self, count: int) -> Sequence[int]:
        with connection.cursor() as cursor:
            cursor.execute(sql.VOUCHER_NUMBERS, [count])
            lo, hi, numbers = cursor.fetchone()
        if numbers is not None:
            return [self.floor + n * 1000 for n in numbers]
        return range(self.floor + lo * 1000, self.floor + hi * 1000 + 1, 1000)

    # --- between the passes: lock every account concerned, in one order ---

    def _lock_accounts(self) -> list[_Account]:
        """All accounts whose stored balance moves. Nobody closes an account while the day is held."""
        found = _resolve(sorted({key for combo in self.combos for key in combo.keys}))
        moved: set[AccountKey] = set()
        for combo in self.combos:
            for at, (key, line) in enumerate(zip(combo.keys, combo.rule.lines, strict=True)):
                if key not in found:
                    found[key] = _Account(0, "", refusal=no_account(line, key[2], key[3]))
                account = found[key]
                if account.closed and key[1] != OwnerKind.MERCHANT:
                    account.refusal = account_closed(account.account_no)
                elif account.closed:
                    moved.update(self._suspense(combo, found))
                elif not combo.later[at] or combo.debits[at]:
                    moved.add(key)
                if account.refusal or account.closed or combo.later[at]:
                    combo.plain = False
        accounts = _lock({found[key].id: found[key] for key in moved if found[key].id})
        self.found = found
        self._plan(found)
        return accounts

    def _suspense(self, combo: _Combo, found: dict[AccountKey, _Account]) -> list[AccountKey]:
        """Where lines of this combo go that were meant for closed accounts: to surplus or to shortage."""
        keys = []
        for side in ("C", "D"):
            key = suspense_key(side, combo.suspense_owner, combo.currency)
            if key not in found:
                account = suspense_account(side, combo.suspense_owner, combo.currency)
                found[key] = _Account(account.pk, account.subject.normal_side, account.account_no)
            keys.append(key)
        return keys

    def _plan(self, found: dict[AccountKey, _Account]) -> None:
        """The fixed parts of every combo's lines, as text."""
        for combo in self.combos:
            rule = combo.rule
            combo.entry_tail = f"\t{combo.currency}\t{rule.event}\t"
            combo.lines = [_plan_line(found[key], line) for key, line in zip(combo.keys, rule.lines, strict=True)]

    # --- second pass: entries, balances ---

    def _write_all(self, chunks: Iterable[list[_Prepared]]) -> PostManyResult:
        if not self.taken:
            return PostManyResult(0, self.skipped, self.empty)
        accounts = self._lock_accounts()
        if self.taken <= self.chunk_size:
            for chunk in chunks:
                self._write_entries(self._entry_text(chunk))
        else:
            with _behind() as behind:
                writing: Future[None] | None = None
                for chunk in chunks:
                    text = self._entry_text(chunk)
                    if writing is not None:
                        writing.result()
                    writing = behind.submit(self._write_entries, text)
                if writing is not None:
                    writing.result()
        _write_balances(accounts)
        if self.diverted:
            divert(self.diverted)
        return PostManyResult(self.taken, self.skipped, self.empty)

    def _write_entries(self, text: bytes) -> None:
        if text:
            copy_text(partition_name(Entry, self.day), ENTRY_COLUMNS, [text])

    def _entry_text(self, chunk: list[_Prepared]) -> bytes:
        """The lines of a chunk as COPY text. Asks the database nothing: the connection may be in use behind."""
        combos = self.combos
        out: list[str] = []
        for combo_index, voucher, amounts in chunk:
            combo = combos[combo_index]
            if not combo.plain:
                out += self._uncommon_lines(combo, voucher, amounts)
                continue
            tail, entry_id = combo.entry_tail, voucher
            for (account, positive, negative, sign), amount in zip(combo.lines, amounts, strict=True):
                if not amount:
                    continue
                entry_id += 1
                account.balance = balance = account.balance + sign * amount
                if amount > 0:
                    out.append(f"{entry_id}{positive}{amount}{tail}{balance}\n")
                else:
                    out.append(f"{entry_id}{negative}{-amount}{tail}{balance}\n")
        return "".join(out).encode()

    def _uncommon_lines(self, combo: _Combo, entry_id: int, amounts: list[int]) -> Iterator[str]:
        """Lines some of which cannot be booked, go to suspense, or leave their balance to follow later."""
        for at, ((account, positive, negative, sign), amount) in enumerate(zip(combo.lines, amounts, strict=True)):
            if not amount:
                continue
            entry_id += 1
            if account.refusal:
                raise account.refusal
            body = f"{positive}{amount}" if amount > 0 else f"{negative}{-amount}"
            if account.closed:
                line = combo.rule.lines[at]
                side = line.side if amount > 0 else line.other_side
                taken = self.found[suspense_key(side, combo.suspense_owner, combo.currency)]
                # Both suspense accounts stand on the side they are booked on, so either balance grows.
                taken.balance += abs(amount)
                body, balance = f"\t{taken.id}\t{side}\t{abs(amount)}", str(taken.balance)
                self.diverted.append(
                    DivertedEntry(
                        entry_id=entry_id,
                        account_id=account.id,
                        side=side,
                        amount=abs(amount),
                        event=combo.rule.event,
                    )
                )
            elif combo.later[at] and not (debited_in_real_time(combo.keys[at][0]) and sign * amount < 0):
                balance = NULL
            else:
                account.balance += sign * amount
                balance = str(account.balance)
            yield f"{entry_id}{body}{combo.entry_tail}{balance}\n"


def _free_keys(keys: list[tuple[int, int, int]]) -> set[int]:
    """Take the keys nobody has; their vouchers."""
    events, sources, vouchers = map(_array, zip(*keys, strict=True))
    parameters = [events, sources, vouchers]
    with connection.cursor() as cursor:
        cursor.execute(sql.TAKE_KEYS, parameters)
        cursor.execute(sql.KEYS_TAKEN, parameters)
        return {voucher for (voucher,) in cursor.fetchall()}


def _array(values: Iterable[int]) -> str:
    """An array literal of integers: far cheaper to build and to read than a bound list."""
    return "{" + ",".join(map(str, values)) + "}"


def _keep(chunk: list[_Prepared], spool: IO[bytes]) -> None:
    data = marshal.dumps(chunk)
    spool.write(len(data).to_bytes(8) + data)


def _read(spool: IO[bytes]) -> Iterator[list[_Prepared]]:
    # A chunk in one piece: marshal reads a file value by value.
    while length := spool.read(8):
        yield marshal.loads(spool.read(int.from_bytes(length)))  # noqa: S302 -- our own file, never anybody else's


def _plan_line(account: _Account, line: RuleLine) -> tuple[_Account, str, str, int]:
    # A negative amount on the other side moves the balance exactly as the signed amount does on its own side.
    sign = 1 if line.side == account.normal_side else -1
    return account, f"\t{account.id}\t{line.side}\t", f"\t{account.id}\t{line.other_side}\t", sign


def _resolve(wanted: list[AccountKey]) -> dict[AccountKey, _Account]:
    """The accounts that exist among those wanted; one query for the whole batch."""
    subjects, kinds, owners, currencies = zip(*wanted, strict=True) if wanted else ([], [], [], [])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT w.subject, w.kind, w.owner_no, w.currency, a.id, s.normal_side, a.account_no, a.status"
            " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS w(subject, kind, owner_no, currency)"
            " JOIN accounts_subject s ON s.code = w.subject"
            " JOIN accounts_account a ON a.subject_id = s.id AND a.owner_kind = w.kind AND a.owner_no = w.owner_no"
            " AND a.currency = w.currency",
            [list(subjects), list(kinds), list(owners), list(currencies)],
        )
        return {tuple(row[:4]): _Account(*row[4:7], closed=row[7] == AccountStatus.CLOSED) for row in cursor.fetchall()}


def _lock(accounts: dict[int, _Account]) -> list[_Account]:
    """Lock in order of id and read the balances, which only count under the lock."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, balance FROM accounts_account WHERE id = ANY (%s::bigint[]) ORDER BY id FOR NO KEY UPDATE",
            [_array(sorted(accounts))],
        )
        for account_id, balance in cursor.fetchall():
            account = accounts[account_id]
            account.before = account.balance = balance
    return list(accounts.values())


def _write_balances(accounts: list[_Account]) -> None:
    moved = [account for account in accounts if account.balance != account.before]
    if not moved:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_account a SET balance = n.balance"
            " FROM unnest(%s::bigint[], %s::bigint[]) AS n(id, balance) WHERE a.id = n.id",
            [_array(account.id for account in moved), _array(account.balance for account in moved)],
        )
