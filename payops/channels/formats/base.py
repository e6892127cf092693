"""What every bill format shares: the normalised line, control totals, held lines, errors, and the streaming reader.

A format turns a source into batches of columns (`Batch`). Both ways out of a reader, `Line` objects and COPY text,
are made from the same batches, so they cannot disagree. Memory is bounded by one block of the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from django.utils.translation import gettext as _

from payops.channels.formats.columns import IrregularError, show_hundredths
from payops.channels.formats.copy_columns import FIGURES, block_hashes, escaped, ids, shared
from payops.core.errors import PayopsError

if TYPE_CHECKING:
    from payops.channels.formats.container import Source

PAYMENT: Final = "payment"
REFUND: Final = "refund"
VOID: Final = "void"
REVERSAL: Final = "reversal"
PAYOUT: Final = "payout"
DISPUTE: Final = "dispute"
FEE: Final = "fee"
ADJUSTMENT: Final = "adjustment"
TRANSFER: Final = "transfer"
PREAUTH_COMPLETION: Final = "preauth_completion"
REFUND_RETURN: Final = "refund_return"

KIND_CODES: Final[dict[str, int]] = {
    PAYMENT: 1,
    REFUND: 2,
    VOID: 3,
    REVERSAL: 4,
    PAYOUT: 5,
    DISPUTE: 6,
    FEE: 7,
    ADJUSTMENT: 8,
    TRANSFER: 9,
    PREAUTH_COMPLETION: 10,
    REFUND_RETURN: 11,
}
KINDS: Final[dict[int, str]] = {code: kind for kind, code in KIND_CODES.items()}

BILL_COPY_COLUMNS: Final = (
    "id",
    "contract_id",
    "kind",
    "status",
    "rate",
    "currency",
    "match_key",
    "trade_no",
    "order_no",
    "request_no",
    "original_trade_no",
    "amount",
    "settled_amount",
    "fee",
    "row_hash",
    "occurred_at",
    "payer_masked",
)
"""Columns of `Reader.copy_chunks`, in this order: what few distinct values share stands together, and so do numbers."""

MAX_BAD_LINES: Final = 1000
"""More unreadable lines than this is not a bill with a few damaged lines: the file is rejected."""

MAX_WARNINGS: Final = 100

REPEAT_CHECK_LINES: Final = 200_000
"""Up to this many lines the reader itself refuses a repeated row; beyond, memory stays flat and the row hash is the
database's to check."""


class BillType(StrEnum):
    """What the rows of a file are to the books; a file never takes the place of one of another type (FORMATS)."""

    TRADE = "trade"
    """Trades as the channel settled them: the bill a run compares with our transactions."""
    ERRORS = "errors"
    """Disputes, adjustments and manual refunds between the banks, beside the bill of the day."""
    BRAND_FEE = "brand_fee"
    """What the card brand charges per trade of the bill."""
    ACCOUNT_LOG = "account_log"
    """Every movement of our account at the channel: fees apart from trades, withdrawals, transfers."""


class FormatError(PayopsError):
    """The whole file is refused (DOMAIN 6: rejected). Codes start with `bill.`."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the file has to be: whose, of which channel day, and how its contract reads the uncertain parts.

    Options: `payment_key` and `refund_key` in order_no, request_no, trade_no (defaults order_no, request_no);
    WeChat `revoked_kind` (void); Alipay `fee_sign` infer, negative or positive; UnionPay `check_settlement` (True)
    and `row_days` (how many days before the file's date at least one row must lie, default 1).
    """

    account: str
    channel_date: date
    file_name: str = ""
    currency: str = "CNY"
    options: Mapping[str, Any] = field(default_factory=dict)

    def key_column(self, option: str, default: str) -> str:
        """The configured bill field of the matching key, checked."""
        name = str(self.options.get(option, default))
        if name not in ("order_no", "request_no", "trade_no"):
            raise FormatError(
                "bill.bad_option",
                _("Format option %(option)s is “%(value)s”; use order_no, request_no or trade_no.")
                % {"option": option, "value": name},
                {"option": option, "value": name},
            )
        return name


class Line(NamedTuple):
    """One normalised row of a bill. Amounts are minor units; `fee` is positive when we pay it.

    `line_no` counts the physical lines after the column header from 1 (unreadable ones too), so it finds the row again
    with `raw_line`. `row_key` is what makes the row unique within its file.
    """

    line_no: int
    kind: str
    match_key: str
    trade_no: str
    order_no: str
    request_no: str
    original_trade_no: str
    status: str
    amount: int
    settled_amount: int
    fee: int
    rate: str
    currency: str
    occurred_at: str
    payer_masked: str
    row_key: str
    extra: dict[str, str] | None


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that could not be read: it holds the file until someone decides. `raw` is masked and shortened."""

    line_no: int
    raw: str
    code: str
    message: str

    def as_dict(self) -> dict[str, Any]:
        """The line as it is stored with the file."""
        return {"line_no": self.line_no, "raw": self.raw, "code": self.code, "message": self.message}


@dataclass(frozen=True, slots=True)
class Total:
    """One control figure: as the file states it (None when it states none) and as its lines add up."""

    name: str
    stated: int | None
    computed: int
    unit: str
    """`count`, or `amount` in minor units."""

    @property
    def agrees(self) -> bool:
        """True when nothing is stated or both figures are equal."""
        return self.stated is None or self.stated == self.computed


class ControlTotals:
    """The figures of a footer or summary beside the same figures computed from the lines.

    `proven` is True only when the file states totals and every one of them agrees.
    """

    def __init__(self) -> None:
        self.items: dict[str, Total] = {}
        self.has_totals = False

    def add(self, name: str, stated: int | None, computed: int, *, unit: str = "amount") -> None:
        """Put one figure beside its computed twin."""
        self.items[name] = Total(name, stated, computed, unit)
        if stated is not None:
            self.has_totals = True

    @property
    def differing(self) -> list[Total]:
        """Figures on which file and lines disagree."""
        return [total for total in self.items.values() if not total.agrees]

    @property
    def proven(self) -> bool:
        """The file states totals and they all equal the lines."""
        return self.has_totals and not self.differing

    def __getitem__(self, name: str) -> Total:
        return self.items[name]

    def __iter__(self) -> Iterator[Total]:
        return iter(self.items.values())

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """The totals as they are stored with the file."""
        return {total.name: {"stated": total.stated, "computed": total.computed, "unit": total.unit} for total in self}


class KindSums(NamedTuple):
    """Count and minor-unit sums of the lines of one kind."""

    count: int
    amount: int
    settled: int
    fee: int


@dataclass(slots=True)
class Batch:
    """Consecutive good rows as columns. Text cells are UTF-8 bytes, absent values are empty."""

    numbers: Sequence[int]
    kind: bytearray
    match_key: list[bytes]
    trade_no: Sequence[bytes]
    order_no: Sequence[bytes]
    request_no: list[bytes]
    original_trade_no: list[bytes]
    status: list[bytes]
    amount: list[int]
    settled: list[int]
    fee: list[int]
    rate: Sequence[bytes]
    currency: Sequence[bytes]
    occurred_at: Sequence[bytes]
    payer: Sequence[bytes]
    key: list[bytes]
    extra_of: Callable[[int], dict[str, str] | None]
    no_backslash: bool = False
    """The bytes the rows come from hold none, so no cell has to be looked through for one."""


class Format(Protocol):
    """A bill format of the registry.

    Formats of one `family` come from one channel contract: its bill, and the files of other types beside it.
    """

    code: str
    label: str
    family: str
    bill_type: BillType

    def sniff(self, head: bytes, name: str) -> bool:
        """Whether unpacked bytes starting with `head` are of this format."""
        ...

    def open(self, source: Source, expect: Expectation) -> Reader:
        """A reader over the bill in `source`; raises FormatError at once when it plainly is none."""
        ...

    def raw_line(self, source: Source, expect: Expectation, line_no: int) -> str:
        """Masked text of one line, unchecked."""
        ...


class Reader:
    """One pass over one bill. Iterate it, or take `copy_chunks`; afterwards the figures are complete.

    `line_count` good lines, `bad_lines`, `totals`, `sums_by_kind` (lines in the expected currency) and
    `sums_by_currency` (all). Subclasses yield batches and set the totals at the end.
    """

    header_lines = 0
    """Physical lines before the first row, known once the header is read."""
    divisible = False
    """Whether it is a `DivisibleReader`, whose blocks several processes convert."""
    strict = False
    """What is odd ends the conversion of a block instead of being set aside, halved or noted."""

    def __init__(self, expect: Expectation) -> None:
        self.expect = expect
        self.line_count = 0
        self.bad_lines: list[BadLine] = []
        self.totals = ControlTotals()
        self.warnings: list[dict[str, Any]] = []
        """What people should know of an accepted file: code, message and row."""
        self.sums_by_currency: dict[str, dict[str, KindSums]] = {}
        self._seen: set[int] | None = set()
        self._started = False

    @property
    def sums_by_kind(self) -> dict[str, KindSums]:
        """Sums of the lines in the expected currency, by kind."""
        return self.sums_by_currency.get(self.expect.currency, {})

    def batches(self) -> Iterator[Batch]:
        """The good rows in file order; raises FormatError where the file turns out to be refused."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Line]:
        for batch, _hash in self._checked():
            texts = [
                [cell.decode() for cell in column]
                for column in (
                    batch.match_key,
                    batch.trade_no,
                    batch.order_no,
                    batch.request_no,
                    batch.original_trade_no,
                    batch.status,
                    batch.rate,
                    batch.currency,
                    batch.occurred_at,
                    batch.payer,
                    batch.key,
                )
            ]
            key, trade, order, request, original, status, rate, currency, occurred, payer, row_key = texts
            for i, number in enumerate(batch.numbers):
                yield Line(
                    number,
                    KINDS[batch.kind[i]],
                    key[i],
                    trade[i],
                    order[i],
                    request[i],
                    original[i],
                    status[i],
                    batch.amount[i],
                    batch.settled[i],
                    batch.fee[i],
                    rate[i],
                    currency[i],
                    occurred[i],
                    payer[i],
                    row_key[i],
                    batch.extra_of(i),
                )

    def copy_chunks(self, prefix_id: int, contract_id: int) -> Iterator[bytes]:
        """The good rows as text-format COPY data of BILL_COPY_COLUMNS, a block of the file at a time.

        The id of a row is `prefix_id` plus its line number.
        """
        contract = b"%d" % contract_id
        for batch, hashes in self._checked():
            yield self._copy_text(batch, hashes, prefix_id, contract)

    @staticmethod
    def _copy_text(batch: Batch, hashes: Sequence[int], prefix_id: int, contract: bytes) -> bytes:
        safe = batch.no_backslash
        columns = (
            ids(prefix_id, batch.numbers),
            shared(batch, contract),
            escaped(batch.match_key, nullable=False, safe=safe),
            escaped(batch.trade_no, nullable=False, safe=safe),
            escaped(batch.order_no, nullable=True, safe=safe),
            escaped(batch.request_no, nullable=True, safe=safe),
            escaped(batch.original_trade_no, nullable=True, safe=safe),
            map(FIGURES, zip(batch.amount, batch.settled, batch.fee, hashes, strict=True)),
            batch.occurred_at,
            escaped(batch.payer, nullable=True, safe=safe),
        )
        return b"\n".join(map(b"\t".join, zip(*columns, strict=False))) + b"\n"

    def leave_repeats(self) -> None:
        """Keep no row keys: for a caller who looks for repeated rows in what `copy_chunks` wrote."""
        self._seen = None

    # -- checks common to all formats ---------------------------------------------------------------------------

    def _checked(self) -> Iterator[tuple[Batch, Sequence[int]]]:
        if self._started:
            raise AssertionError("a bill reader is read once; open another")
        self._started = True
        for batch in self.batches():
            hashes = block_hashes(batch.key)
            self._refuse_repeats(batch, hashes)
            self._add_sums(batch)
            self.line_count += len(batch.numbers)
            yield batch, hashes

    def _refuse_repeats(self, batch: Batch, hashes: Sequence[int]) -> None:
        seen = self._seen
        if seen is None:
            return
        before = len(seen)
        seen.update(hashes)
        if len(seen) != before + len(hashes):
            self._name_repeat(batch, hashes)
        if len(seen) > REPEAT_CHECK_LINES:
            self._seen = None

    def _name_repeat(self, batch: Batch, hashes: Sequence[int]) -> None:
        """Find which row of the batch repeats; an earlier batch holds its twin when the batch itself does not."""
        first_at: dict[int, int] = {}
        index = next((i for i, value in enumerate(hashes) if first_at.setdefault(value, i) != i), None)
        if index is None:
            index = self._repeat_of_earlier(hashes)
        key = batch.key[index].decode(errors="replace")
        line = batch.numbers[index]
        raise FormatError(
            "bill.duplicate_row",
            _(
                "Row %(row)s (line %(line)s of the file) repeats an earlier row: %(key)s appears twice. "
                "The file is rejected; fetch it again from the channel."
            )
            % {"row": line, "line": line + self.header_lines, "key": key},
            {"line_no": line, "key": key},
        )

    def _repeat_of_earlier(self, hashes: Sequence[int]) -> int:
        wanted = set(hashes)
        for batch in self.reopen().batches():
            common = wanted.intersection(block_hashes(batch.key))
            if common:
                return min(i for i, value in enumerate(hashes) if value in common)
        return 0

    def reopen(self) -> Reader:
        """A fresh reader over the same bill."""
        raise NotImplementedError

    def _add_sums(self, batch: Batch) -> None:
        whole = [len(batch.kind), sum(batch.amount), sum(batch.settled), sum(batch.fee)]
        # Most rows are payments in one currency: add up the others, and the commonest group is what remains.
        kinds = bytes(batch.kind)
        main_kind = max(set(kinds), key=kinds.count)
        main_currency = batch.currency[0]
        if len(set(batch.currency)) == 1:
            others = [i for i, kind in enumerate(kinds) if kind != main_kind] if len(set(kinds)) > 1 else []
        else:
            others = [
                i
                for i, pair in enumerate(zip(batch.currency, kinds, strict=True))
                if pair != (main_currency, main_kind)
            ]
        groups: dict[tuple[bytes, int], list[int]] = {}
        for i in others:
            group = groups.setdefault((batch.currency[i], kinds[i]), [0, 0, 0, 0])
            group[0] += 1
            group[1] += batch.amount[i]
            group[2] += batch.settled[i]
            group[3] += batch.fee[i]
        for (currency, kind), group in groups.items():
            self._add_sum(currency, kind, KindSums(*group))
            whole = [total - part for total, part in zip(whole, group, strict=True)]
        if whole[0]:
            self._add_sum(main_currency, main_kind, KindSums(*whole))

    def sums_by_code(self) -> dict[str, dict[int, KindSums]]:
        """`sums_by_currency` with the codes of the kinds."""
        return {
            currency: {KIND_CODES[kind]: sums for kind, sums in kinds.items()}
            for currency, kinds in self.sums_by_currency.items()
        }

    def _add_sum(self, currency: bytes, kind: int, sums: KindSums) -> None:
        kinds = self.sums_by_currency.setdefault(currency.decode(), {})
        name = KINDS[kind]
        old = kinds.get(name, KindSums(0, 0, 0, 0))
        kinds[name] = KindSums(
            old.count + sums.count, old.amount + sums.amount, old.settled + sums.settled, old.fee + sums.fee
        )

    # -- for subclasses -----------------------------------------------------------------------------------------

    def convert(self, numbers: Sequence[int], columns: Sequence[Sequence[bytes]]) -> Batch:
        """Columns of raw cells to a batch; IrregularError when any row of them cannot be read."""
        raise NotImplementedError

    def convert_all(self, numbers: Sequence[int], columns: Sequence[Sequence[bytes]]) -> Iterator[Batch]:
        """Convert, halving the rows until each unreadable one stands alone and is set aside as a bad line."""
        if self.strict:
            yield self.convert(numbers, columns)
            return
        try:
            batch = self.convert(numbers, columns)
        except IrregularError as reason:
            count = len(numbers)
            if count == 1:
                self.add_bad_line(numbers[0], self.show_cells([column[0] for column in columns]), reason)
                return
            half = count // 2
            yield from self.convert_all(numbers[:half], [column[:half] for column in columns])
            yield from self.convert_all(numbers[half:], [column[half:] for column in columns])
            return
        yield batch

    def show_cells(self, cells: Sequence[bytes]) -> str:
        """Masked text of a row given its cells."""
        raise NotImplementedError

    def add_bad_line(self, number: int, raw: str, reason: IrregularError) -> None:
        """Set a line aside; too many of them reject the file."""
        if self.strict:
            raise reason
        shown = raw if len(raw) <= 600 else raw[:600] + "…"
        # PostgreSQL keeps no NUL in text or JSON.
        shown = shown.replace("\x00", "\ufffd")
        self.bad_lines.append(BadLine(number, shown, reason.code, reason.message))
        if len(self.bad_lines) > MAX_BAD_LINES:
            raise FormatError(
                "bill.too_many_bad_lines",
                _("More than %(limit)s lines cannot be read, first row %(row)s: %(reason)s The file is rejected.")
                % {"limit": MAX_BAD_LINES, "row": self.bad_lines[0].line_no, "reason": self.bad_lines[0].message},
                {"limit": MAX_BAD_LINES, "first": self.bad_lines[0].as_dict()},
            )

    def warn(self, code: str, message: str, number: int) -> None:
        """Note what is odd without being wrong, up to MAX_WARNINGS."""
        if self.strict:
            raise IrregularError(code, message)
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append({"code": code, "message": message, "line_no": number})

    def refuse_other(self, numbers: Sequence[int], cells: Sequence[bytes], expected: bytes, code: str) -> None:
        """Raise for the first cell that is not the expected account."""
        index = next(i for i, cell in enumerate(cells) if cell != expected)
        found = cells[index].decode(errors="replace")
        raise FormatError(
            code,
            _(
                "Row %(row)s (line %(line)s of the file) belongs to merchant number %(found)s, "
                "but this contract is %(expected)s. Load the file for the contract it belongs to."
            )
            % {
                "row": numbers[index],
                "line": numbers[index] + self.header_lines,
                "found": found or "–",
                "expected": expected.decode(),
            },
            {"line_no": numbers[index], "found": found, "expected": expected.decode()},
        )

    def prove(self, counts: Iterable[str]) -> None:
        """Compare totals: differences are refused unless unreadable lines explain the missing rows.

        `counts` names the totals that count rows. When rows are missing and as many lines were set aside, the file is
        held, not rejected (DOMAIN 6); its amounts then cannot be proven, and both figures stay in the totals.
        """
        differing = self.totals.differing
        if not differing:
            return
        missing = [(self.totals[name].stated or 0) - self.totals[name].computed for name in counts]
        if min(missing) >= 0 and 0 < sum(missing) <= len(self.bad_lines):
            return
        first = differing[0]
        stated, computed = (self.show_total(first, first.stated or 0), self.show_total(first, first.computed))
        raise FormatError(
            "bill.footer_mismatch",
            _(
                "The file states %(name)s %(stated)s, but its lines add up to %(computed)s "
                "(difference %(difference)s). The file is rejected; fetch it again from the channel."
            )
            % {
                "name": first.name,
                "stated": stated,
                "computed": computed,
                "difference": self.show_total(first, (first.stated or 0) - first.computed),
            },
            {"totals": self.totals.as_dict(), "differing": [total.name for total in differing]},
        )

    @staticmethod
    def show_total(total: Total, value: int) -> str:
        """A control figure for people: counts plain, amounts with two decimals (footers mix no exponents)."""
        return str(value) if total.unit == "count" else show_hundredths(value)
