"""UnionPay merchant file ZM (FORMATS 3.1): fixed width, cut on bytes before decoding, no header and no totals.

Nothing in the file proves it complete, so its totals are computed only and the bill stays unproven until the funds
arrive. Account and date come from the file name and are checked against every row's merchant number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import accumulate
from operator import itemgetter
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.base import (
    KIND_CODES,
    PAYMENT,
    PAYOUT,
    PREAUTH_COMPLETION,
    REFUND,
    VOID,
    Batch,
    Expectation,
    FormatError,
    Reader,
)
from payops.channels.formats.columns import (
    BEIJING,
    IrregularError,
    mask_card,
    mask_cards_in_text,
    mask_digits,
    require_digits,
    require_keys,
    show,
)
from payops.channels.formats.container import DEFAULT_LIMITS, Limits, LineStream, Source, unwrap

WIDTHS: Final = (
    3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13,
    13, 8, 32, 13, 13, 12, 2, 1, 32,
)  # fmt: skip
"""Widths of fields 1–41; one space between two fields."""

STARTS: Final = (0, *(total + index + 1 for index, total in enumerate(accumulate(WIDTHS[:-1]))))
ROW_BYTES: Final = STARTS[-1] + WIDTHS[-1]
_GAPS: Final = tuple(start - 1 for start in STARTS[1:])
_SPACES: Final = (0x20,) * len(_GAPS)
_at_gaps: Final = itemgetter(*_GAPS)

# Field number → our name, those that are read.
_FIELDS: Final = {
    4: "trace_no", 5: "sent", 6: "card", 7: "amount", 10: "trade_no", 12: "order_no", 13: "card_kind", 16: "fee",
    17: "settlement", 18: "pay_method", 20: "type", 27: "original", 28: "account", 30: "sub_merchant",
    31: "sub_merchant_name", 33: "net", 34: "terminal", 35: "custom", 36: "discount", 41: "original_order",
}  # fmt: skip
_SLICES: Final = {name: slice(STARTS[n - 1], STARTS[n - 1] + WIDTHS[n - 1]) for n, name in _FIELDS.items()}
_LABELS: Final = {
    "sent": "交易传输时间", "amount": "交易金额", "trade_no": "查询流水号", "order_no": "商户订单号",
    "fee": "商户手续费", "settlement": "结算金额", "type": "交易类型", "original": "原交易查询流水号",
    "net": "清算净额", "original_order": "原始交易订单号", "discount": "优惠金额",
}  # fmt: skip

# Field 20 → kind. 02 and 32 (pre-authorisation and its void) move no money and have no kind.
_KINDS: Final = {
    b"01": PAYMENT, b"03": PREAUTH_COMPLETION, b"04": REFUND, b"11": PAYMENT, b"12": PAYOUT, b"31": VOID, b"33": VOID,
}  # fmt: skip
_INWARD: Final = {PAYMENT, PREAUTH_COMPLETION}
_EXTRA: Final = (
    "trace_no", "card_kind", "pay_method", "sub_merchant", "sub_merchant_name", "terminal", "custom", "discount",
    "original_order",
)  # fmt: skip

_NAME: Final = re.compile(r"(?:INN|PED)(\d{6})88(ZM|ZME)_(\w{15})")
_SIGNED: Final = re.compile(rb"[CD ][0-9]{12}")
_FIRST: Final = re.compile(rb"[A-Z][0-9]{2} .{11} .{11} [0-9]{6} [0-9]{10} ", re.DOTALL)


class UnionpayZm:
    """The registry entry of ZM."""

    code = "unionpay_zm"
    label = gettext_lazy("UnionPay merchant file (ZM)")

    def sniff(self, head: bytes, name: str) -> bool:
        """The first row's shape: long enough for ZM, a space at every field border."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        return len(row) >= ROW_BYTES and bool(_FIRST.match(row)) and _at_gaps(row) == _SPACES

    def open(self, source: Source, expect: Expectation, *, limits: Limits = DEFAULT_LIMITS) -> UnionpayReader:
        """A reader over the ZM file in `source`, alone or beside other members of the day's zip."""
        members = unwrap(source, limits)
        if len(members) == 1:
            return UnionpayReader(members[0], expect)
        found = [member for member in members if self.sniff(member.head(), member.name)]
        if len(found) != 1:
            raise FormatError(
                "bill.not_a_bill",
                _("“%(name)s” holds %(count)s UnionPay merchant files (ZM) among %(names)s; exactly one is needed.")
                % {"name": source.name, "count": len(found), "names": ", ".join(m.name for m in members[:10]) or "–"},
                {"name": source.name, "members": [member.name for member in members]},
            )
        return UnionpayReader(found[0], expect)

    def raw_line(self, source: Source, expect: Expectation, line_no: int) -> str:
        """One line by its number, the card number masked."""
        reader = self.open(source, expect)
        lines = reader.lines()
        try:
            for number, line in enumerate(iter(lines.line, None), start=1):
                if number == line_no:
                    return reader.show_cells([line])
        finally:
            lines.close()
        return ""


class UnionpayReader(Reader):
    """One pass over one ZM file."""

    def __init__(self, source: Source, expect: Expectation) -> None:
        super().__init__(expect)
        self.source = source
        self._account = expect.account.encode()
        self._payment_key = expect.key_column("payment_key", "order_no")
        self._refund_key = expect.key_column("refund_key", "request_no")
        self._next = 1
        self._on_day = False
        self._check_name()
        self._check_first(source.head())

    def reopen(self) -> UnionpayReader:
        """A fresh reader over the same bill."""
        return UnionpayReader(self.source, self.expect)

    def lines(self) -> LineStream:
        """The bill's lines from the first byte."""
        return LineStream(self.source.open(), self.source.name)

    def _check_name(self) -> None:
        """The name given by UnionPay carries date and merchant; a renamed file is checked by its rows alone."""
        match = _NAME.search(self.source.name) or _NAME.search(self.expect.file_name)
        if match is None:
            return
        day, kind, account = match.groups()
        expected = self.expect.channel_date
        if account != self.expect.account:
            raise FormatError(
                "bill.wrong_account",
                _("The file name says merchant %(found)s, but this contract is %(expected)s.")
                % {"found": account, "expected": self.expect.account},
                {"found": account, "expected": self.expect.account},
            )
        if day != expected.strftime("%y%m%d"):
            raise FormatError(
                "bill.wrong_date",
                _("The file name says %(found)s (YYMMDD), but the bill was loaded for %(expected)s.")
                % {"found": day, "expected": expected.isoformat()},
                {"found": day, "expected": expected.isoformat()},
            )
        if kind == "ZME":
            raise self._error_file()

    def _error_file(self) -> FormatError:
        return FormatError(
            "bill.wrong_format",
            _("“%(name)s” is a UnionPay error file (ZME); load the ordinary file (ZM) here.")
            % {"name": self.source.name},
            {"name": self.source.name},
        )

    def _check_first(self, head: bytes) -> None:
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        if not head.strip():
            raise FormatError(
                "bill.not_a_bill",
                _("“%(name)s” is empty; a day without a bill is an answer of the channel, not an empty file.")
                % {"name": self.source.name},
                {"name": self.source.name},
            )
        if re.match(rb"E[0-9]{2} ", row) and len(row) < ROW_BYTES and _FIRST.match(row):
            raise self._error_file()
        if not _FIRST.match(row):
            raise FormatError(
                "bill.not_a_bill",
                _("“%(name)s” is not a UnionPay merchant file; it starts with “%(start)s”. Check what was uploaded.")
                % {"name": self.source.name, "start": mask_digits(show(row))},
                {"name": self.source.name},
            )

    # -- rows ---------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """All rows; then the day and the computed totals."""
        lines = self.lines()
        try:
            for block in lines.blocks():
                yield from self._block_rows(block)
        finally:
            lines.close()
        if not self.line_count:
            first = self.bad_lines[0].message if self.bad_lines else "–"
            raise FormatError(
                "bill.not_a_bill",
                _("No row of “%(name)s” can be read; the first: %(reason)s Check what was uploaded.")
                % {"name": self.source.name, "reason": first},
                {"name": self.source.name},
            )
        if not self._on_day:
            raise FormatError(
                "bill.wrong_date",
                _("No row of the file is of %(day)s or the day before. Load the file for its own day.")
                % {"day": self.expect.channel_date.isoformat()},
                {"expected": self.expect.channel_date.isoformat()},
            )
        for kind, sums in self.sums_by_kind.items():
            self.totals.add(f"{kind}.count", None, sums.count, unit="count")
            self.totals.add(f"{kind}.amount", None, sums.amount)

    def _block_rows(self, block: bytes) -> Iterator[Batch]:
        start = self._next
        whole = block.endswith(b"\n")
        rows = [row.removesuffix(b"\r") for row in block.removesuffix(b"\n").split(b"\n")]
        self._next = start + len(rows)
        numbers: Sequence[int] = range(start, self._next)
        if min(map(len, rows)) < ROW_BYTES:
            if not whole and len(rows[-1]) < ROW_BYTES and rows[-1].strip():
                raise FormatError(
                    "bill.truncated",
                    _(
                        "The last row %(row)s has %(found)s bytes of at least %(needed)s and no line end: the file was "
                        "cut. Fetch it again from the channel."
                    )
                    % {"row": self._next - 1, "found": len(rows[-1]), "needed": ROW_BYTES},
                    {"line_no": self._next - 1},
                )
            kept = []
            for number, row in zip(numbers, rows, strict=True):
                if len(row) >= ROW_BYTES:
                    kept.append((number, row))
                elif row.strip():
                    self.add_bad_line(
                        number,
                        self.show_cells([row]),
                        IrregularError(
                            "line.short",
                            _("The line has %(found)s bytes; a row has at least %(needed)s.")
                            % {"found": len(row), "needed": ROW_BYTES},
                        ),
                    )
            if not kept:
                return
            numbers, rows = [number for number, _row in kept], [row for _number, row in kept]
        yield from self.convert_all(numbers, [rows])

    def convert(self, numbers: Sequence[int], columns: list[Sequence[bytes]]) -> Batch:
        """Rows cut into fields, field by field."""
        rows = columns[0]
        if set(map(_at_gaps, rows)) != {_SPACES}:
            raise IrregularError(
                "line.fields",
                _("The fields are not where they belong: bytes were lost or added (a conversion of the encoding?)."),
            )
        cells = {name: [row[where] for row in rows] for name, where in _SLICES.items()}
        account = [cell.rstrip() for cell in cells["account"]]
        if set(account) != {self._account}:
            self.refuse_other(numbers, account, self._account, "bill.wrong_account")
        trade, order, original, original_order = (
            [cell.rstrip() for cell in cells[name]] for name in ("trade_no", "order_no", "original", "original_order")
        )
        require_digits(trade, _LABELS["trade_no"], 10, 21)
        require_keys(order, _LABELS["order_no"])
        require_keys(original, _LABELS["original"], optional=True)
        require_keys(original_order, _LABELS["original_order"], optional=True)
        kinds = _kinds(cells["type"])
        amount = _plain(cells["amount"])
        fee = [-value for value in _signed(cells["fee"], "fee")]
        settlement = _signed(cells["settlement"], "settlement")
        net = _signed_or_none(cells["net"])
        self._check_settlement(kinds, amount, fee, settlement, _signed_or_none(cells["discount"]))
        back = [kind not in _INWARD for kind in kinds]
        batch = Batch(
            numbers, bytearray(KIND_CODES[kind] for kind in kinds),
            self._keys(back, order, original_order, trade), trade,
            [(theirs or own) if away else own for own, theirs, away in zip(order, original_order, back, strict=True)],
            [own if away else b"" for own, away in zip(order, back, strict=True)],
            original, [b"SUCCESS"] * len(rows), amount,
            [own if clear is None else clear for own, clear in zip(settlement, net, strict=True)], fee,
            [b""] * len(rows), [b"CNY"] * len(rows), self._times(cells["sent"]),
            [mask_card(cell) for cell in cells["card"]], trade,
            lambda i: {
                name: cells[name][i].decode("gb18030", "replace").strip() for name in _EXTRA if cells[name][i].strip()
            },
        )  # fmt: skip
        require_keys(batch.payer, "帐号", optional=True)
        return batch

    def _keys(
        self, back: list[bool], order: list[bytes], original_order: list[bytes], trade: list[bytes]
    ) -> list[bytes]:
        """Field 12 is our own number on every row; on what goes back 41 is the order it belongs to."""
        paid = trade if self._payment_key == "trade_no" else order
        returned = {"request_no": order, "order_no": original_order, "trade_no": trade}[self._refund_key]
        return [(theirs or own) if away else own_paid for own, own_paid, theirs, away in
                zip(order, paid, returned, back, strict=True)]  # fmt: skip

    def _check_settlement(
        self, kinds: list[str], amount: list[int], fee: list[int], settlement: list[int], discount: list[int | None]
    ) -> None:
        """|17| = 7 − |16|, signs turned on what goes back; a promotion's discount (36) may lie between."""
        if not self.expect.options.get("check_settlement", True):
            return
        for kind, whole, cost, net, off in zip(kinds, amount, fee, settlement, discount, strict=True):
            gross = net + cost
            expected = whole if kind in _INWARD else -whole
            if gross == expected or (kind == PAYOUT and gross == whole):
                continue
            if off and abs(expected - gross) == abs(off):
                continue
            raise IrregularError(
                "line.settlement",
                _("结算金额 %(net)s is not 交易金额 %(amount)s less 商户手续费 %(fee)s (in fen).")
                % {"net": net, "amount": expected, "fee": cost},
            )

    def _times(self, cells: Sequence[bytes]) -> list[bytes]:
        """MMDDhhmmss with the year of the file's date; a later day of the year means last year."""
        day = self.expect.channel_date
        near = {day.strftime("%m%d").encode()}
        for back in range(1, int(self.expect.options.get("row_days", 1)) + 1):
            near.add((day - timedelta(days=back)).strftime("%m%d").encode())
        table: dict[bytes, bytes] = {}
        for cell in set(cells):
            table[cell] = _moment(cell, day)
            self._on_day = self._on_day or cell[:4] in near
        return list(map(table.__getitem__, cells))

    def show_cells(self, cells: Sequence[bytes]) -> str:
        """The line with its card number masked, wherever else one may stand."""
        row = cells[0]
        card = _SLICES["card"]
        if len(row) >= card.stop:
            row = row[: card.start] + mask_card(row[card]).ljust(19) + row[card.stop :]
        return mask_cards_in_text(row.decode("gb18030", "replace"), self.expect.account)


def _kinds(cells: Sequence[bytes]) -> list[str]:
    try:
        return [_KINDS[cell] for cell in cells]
    except KeyError:
        raise IrregularError(
            "line.kind",
            _("交易类型 “%(value)s” (field 20) moves no money we know how to book.") % {"value": show(cells[0])},
        ) from None


def _plain(cells: Sequence[bytes]) -> list[int]:
    if not b"".join(cells).isdigit():
        raise IrregularError(
            "line.amount", _("“%(value)s” in 交易金额 (field 7) is not 12 digits.") % {"value": show(cells[0])}
        )
    return list(map(int, cells))


def _signed(cells: Sequence[bytes], name: str) -> list[int]:
    """C is credit to us (+), D debit (−), a blank stands only before zero."""
    table: dict[bytes, int] = {}
    for cell in set(cells):
        value = int(cell[1:]) if _SIGNED.fullmatch(cell) else -1
        if value < 0 or (cell[:1] == b" " and value):
            raise IrregularError(
                "line.amount",
                _("“%(value)s” in %(name)s is not C, D or a blank with 12 digits.")
                % {"value": show(cell), "name": _LABELS[name]},
            )
        table[cell] = -value if cell[:1] == b"D" else value
    return list(map(table.__getitem__, cells))


def _signed_or_none(cells: Sequence[bytes]) -> list[int | None]:
    """Optional signed amounts: None where the field is blank or not numeric."""
    table: dict[bytes, int | None] = {}
    for cell in set(cells):
        if not _SIGNED.fullmatch(cell):
            if cell.strip():
                raise IrregularError(
                    "line.amount", _("“%(value)s” is not C, D or a blank with 12 digits.") % {"value": show(cell)}
                )
            table[cell] = None
            continue
        value = int(cell[1:])
        table[cell] = -value if cell[:1] == b"D" else value
    return list(map(table.__getitem__, cells))


def _moment(cell: bytes, day: date) -> bytes:
    text = cell.decode("latin-1")
    if re.fullmatch(r"[0-9]{4}(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]", text):
        year = day.year - (text[:4] > day.strftime("%m%d"))
        try:
            found = date(year, int(text[:2]), int(text[2:4]))
        except ValueError:
            pass
        else:
            return f"{found.isoformat()} {text[4:6]}:{text[6:8]}:{text[8:]}".encode() + BEIJING
    raise IrregularError("line.time", _("“%(value)s” in 交易传输时间 (field 5) is not a time.") % {"value": show(cell)})
