"""UnionPay acquirer detail ACOMN and its agent-cleared form ACOMA (FORMATS 4.1, 4.2).

Amounts carry no sign: message type, transaction code and condition code together say what a row is. In ACOMA a row
flagged R (reversed) or C (voided) cancels a partner; both stay lines and net to zero, which is checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from django.utils.translation import gettext as _

from payops.channels.formats.acquirer import FAMILY, KIND_NAMES, AcquirerReader
from payops.channels.formats.base import (
    KIND_CODES,
    PAYMENT,
    PAYOUT,
    PREAUTH_COMPLETION,
    REFUND,
    REVERSAL,
    VOID,
    Batch,
    BillType,
    Expectation,
)
from payops.channels.formats.columns import IrregularError, mask_card, require_digits, require_keys, show
from payops.channels.formats.container import Source
from payops.channels.formats.fixed_width import FixedWidthFormat, Layout, joined, plain_amounts, signed_amounts
from payops.channels.formats.refusals import wrong_day

_WIDTHS: Final = (
    11, 11, 6, 10, 19, 12, 12, 12, 4, 6, 4, 8, 15, 12, 2, 6, 11, 6, 2, 3, 12, 12, 12, 1, 3, 1, 1, 10, 11, 1, 2, 2, 12,
    14,
)  # fmt: skip
_NAMES: Final = {
    1: ("agency", "代理机构"), 2: ("sender", "发送机构"), 3: ("trace", "跟踪号"), 4: ("sent", "传输时间"),
    5: ("card", "主账号"), 6: ("amount", "交易金额"), 9: ("message", "报文类型"), 10: ("code", "交易类型码"),
    11: ("mcc", "MCC"), 12: ("terminal", "终端"), 13: ("merchant", "商户"), 14: ("reference", "检索参考号"),
    15: ("condition", "服务点条件码"), 16: ("authorised", "授权码"), 18: ("original_trace", "原跟踪号"),
    21: ("received", "受理方应收手续费"), 22: ("paid", "受理方应付手续费"), 23: ("switch", "转接服务费"),
    28: ("original_sent", "原交易时间"), 33: ("instalment", "分期附加费"),
}  # fmt: skip
ACOMN: Final = Layout(_WIDTHS, _NAMES, row_bytes=284)
"""Fields 1–33; a row may end anywhere in field 34."""

ACOMA: Final = Layout(
    (*_WIDTHS, 11, 11, 1, 1, 4, 2, 40, 3, 9, 9),
    _NAMES | {
        37: ("reversed", "冲正标志"), 38: ("voided", "撤销标志"), 39: ("day", "清算日期"), 41: ("shop", "商户名称地址"),
        42: ("currency", "币种"), 44: ("merchant_fee", "商户手续费"),
    },
)  # fmt: skip
"""Fields 1–44; pairs of a role and its fee follow."""

_ORDER_AT: Final = 323
_ORDER_WIDTH: Final = 40
_FIRST: Final = re.compile(rb"[0-9].{10} [0-9].{10} .{6} .{10} .{19} .{12} ", re.DOTALL)
_ORDER: Final = re.compile(rb"[\x21-\x7e]{1,40}")
_INWARD: Final = {PAYMENT, PREAUTH_COMPLETION}
_CANCELS: Final = {VOID, REVERSAL}
_EXTRA: Final = (
    "mcc", "terminal", "merchant", "reference", "condition", "authorised", "original_trace", "original_sent",
    "instalment", "reversed", "voided", "shop", "merchant_fee",
)  # fmt: skip


class _Partner(NamedTuple):
    """What a row that stands in a pair needs to know of the other one."""

    amount: int
    fee: int


class AcomnReader(AcquirerReader):
    """One pass over one ACOMN file."""

    layout = ACOMN
    file_kind = "ACOMN"
    kind_of_file = KIND_NAMES["ACOMN"]

    def __init__(self, source: Source, expect: Expectation) -> None:
        self._payment_key = expect.key_column("payment_key", "trade_no")
        self._refund_key = expect.key_column("refund_key", "trade_no")
        self._order_at = int(expect.options.get("order_at", _ORDER_AT))
        self._inquiries = 0
        super().__init__(source, expect)

    def check_first(self, head: bytes) -> None:
        """A first row with its key and amount, of the kind without or with the agent's part."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        if not _FIRST.match(row):
            raise self.not_this(row if head.strip() else b"")
        agent = ACOMA.is_cut_right(row) and row[ACOMA.slices["day"]].isdigit()
        if agent and self.file_kind == "ACOMN":
            raise self.other_file(KIND_NAMES["ACOMA"])
        if self.file_kind == "ACOMA" and not agent and ACOMN.is_cut_right(row):
            raise self.other_file(KIND_NAMES["ACOMN"])

    def booked(self, numbers: Sequence[int], rows: list[bytes]) -> tuple[Sequence[int], list[bytes]]:
        """Without balance inquiries, which are listed with an amount of zero; they are counted."""
        message, code, amount = (self.layout.slices[name] for name in ("message", "code", "amount"))
        kept = [
            i
            for i, row in enumerate(rows)
            if not (row[message] == b"0200" and row[code][:2] == b"30" and not row[amount].strip(b"0"))
        ]
        if len(kept) == len(rows):
            return numbers, rows
        self._inquiries += len(rows) - len(kept)
        return [numbers[i] for i in kept], [rows[i] for i in kept]

    def finish(self) -> None:
        """The sums, and how many rows moved nothing."""
        super().finish()
        if self._inquiries:
            self.totals.add("inquiry.count", None, self._inquiries, unit="count")

    def convert(self, numbers: Sequence[int], columns: list[Sequence[bytes]]) -> Batch:
        """Rows cut into fields, field by field."""
        rows, layout = columns[0], self.layout
        cells = layout.cells(rows)
        self.check_acquirer(numbers, cells["agency"])
        require_digits(cells["trace"], layout.label("trace"), 6, 6)
        kinds = _kinds(cells)
        times = self.times(cells["sent"], layout.label("sent"))
        amount = plain_amounts(cells["amount"], layout.label("amount"))
        fee = _fees(layout, cells)
        trade = joined(cells["agency"], cells["sender"], cells["trace"], cells["sent"])
        require_keys(trade, layout.label("trace"))
        originals = _originals(layout, cells)
        self.check_rows(numbers, cells, trade, originals, kinds, amount, fee)
        order = self._orders(rows)
        request = [number if kind == REFUND else b"" for number, kind in zip(order, kinds, strict=True)]
        batch = Batch(
            numbers, bytearray(KIND_CODES[kind] for kind in kinds), self._keys(kinds, trade, order), trade, order,
            request, originals, [b"SUCCESS"] * len(rows), amount,
            [(whole if kind in _INWARD else -whole) - cost for kind, whole, cost in
             zip(kinds, amount, fee, strict=True)],
            fee, [b""] * len(rows), [b"CNY"] * len(rows), times, [mask_card(cell) for cell in cells["card"]],
            [key + b"|" + message for key, message in zip(trade, cells["message"], strict=True)],
            lambda i: _extra(cells, i),
        )  # fmt: skip
        require_keys(batch.payer, layout.label("card"), optional=True)
        return batch

    def check_rows(
        self,
        numbers: Sequence[int],
        cells: dict[str, list[bytes]],
        trade: Sequence[bytes],
        originals: Sequence[bytes],
        kinds: Sequence[str],
        amount: Sequence[int],
        fee: Sequence[int],
    ) -> None:
        """What only the agent's form can be asked."""

    def _orders(self, rows: Sequence[bytes]) -> list[bytes]:
        """The order number of the row's tail, where one captured file has it; empty where there is none."""
        if self.file_kind != "ACOMN" or not self._order_at:
            return [b""] * len(rows)
        cells = [row[self._order_at : self._order_at + _ORDER_WIDTH].strip() for row in rows]
        return [cell if _ORDER.fullmatch(cell) else b"" for cell in cells]

    def _keys(self, kinds: Sequence[str], trade: Sequence[bytes], order: Sequence[bytes]) -> list[bytes]:
        keys = []
        for kind, joining, number in zip(kinds, trade, order, strict=True):
            by_trade = (self._payment_key if kind in _INWARD else self._refund_key) == "trade_no"
            if not by_trade and not number:
                raise IrregularError(
                    "line.key", _("The row has no order number, which is this contract's matching key.")
                )
            keys.append(joining if by_trade else number)
        return keys


class AcomaReader(AcomnReader):
    """One pass over one ACOMA file; a first look finds the partners of flagged rows."""

    layout = ACOMA
    file_kind = "ACOMA"
    kind_of_file = KIND_NAMES["ACOMA"]

    def batches(self) -> Iterator[Batch]:
        """All rows; then how many pairs cancelled each other."""
        self._find_pairs()
        yield from super().batches()
        if self._pairs:
            self.totals.add("netted.pairs", None, self._pairs, unit="count")

    def check_rows(
        self,
        numbers: Sequence[int],
        cells: dict[str, list[bytes]],
        trade: Sequence[bytes],
        originals: Sequence[bytes],
        kinds: Sequence[str],
        amount: Sequence[int],
        fee: Sequence[int],
    ) -> None:
        """The clearing day of every row is the file's, and every flagged row is one of a pair."""
        wanted = self.expect.channel_date.strftime("%m%d").encode()
        for number, cell in zip(numbers, cells["day"], strict=True):
            if cell != wanted:
                raise wrong_day(number, number, cell, self.expect)
        for i, key in enumerate(trade):
            if cells["reversed"][i] == b"R" or cells["voided"][i] == b"C":
                self._check_pair(key, originals[i], kinds[i], _Partner(amount[i], fee[i]), numbers[i])

    def _check_pair(self, key: bytes, original: bytes, kind: str, row: _Partner, number: int) -> None:
        cancels = kind in _CANCELS
        partner = self._cancelled.get(original) if cancels else self._cancelling.get(key)
        if partner is None:
            # What cancels a row of an earlier day stands alone; what is cancelled never does.
            if cancels:
                return
            raise IrregularError(
                "line.partner", _("The row is flagged as cancelled, but no row of the file cancels it.")
            )
        if partner.amount != row.amount:
            raise IrregularError(
                "line.partner",
                _("The row and its partner should cancel each other, but one is %(one)s and the other %(other)s (fen).")
                % {"one": row.amount, "other": partner.amount},
            )
        if cancels:
            self._pairs += 1
        if partner.fee != -row.fee:
            self.warn("line.partner_fee", _("The fees of a cancelled row and its partner do not cancel."), number)

    def _find_pairs(self) -> None:
        """The rows that flagged ones point to, and those that point to flagged ones."""
        self._pairs = 0
        self._cancelled: dict[bytes, _Partner] = {}
        self._cancelling: dict[bytes, _Partner] = {}
        originals: set[bytes] = set()
        flagged: set[bytes] = set()
        for key, original, row in self._rows():
            if row[ACOMA.slices["reversed"]] == b"R" or row[ACOMA.slices["voided"]] == b"C":
                flagged.add(key)
                originals.add(original)
        if not flagged:
            return
        for key, original, row in self._rows():
            if key not in originals and original not in flagged:
                continue
            try:
                cells = ACOMA.cells([row])
                partner = _Partner(plain_amounts(cells["amount"], "")[0], _fees(ACOMA, cells)[0])
            except IrregularError:
                continue  # set aside when it is read, and then nobody's partner
            if key in originals:
                self._cancelled[key] = partner
            if original in flagged:
                self._cancelling[original] = partner

    def _rows(self) -> Iterator[tuple[bytes, bytes, bytes]]:
        """Joining key, that of the original, and the row."""
        where = ACOMA.slices
        lines = self.lines()
        try:
            for block in lines.blocks():
                for row in block.split(b"\n"):
                    if len(row) >= ACOMA.row_bytes:
                        ends = row[where["agency"]].strip() + b"-" + row[where["sender"]].strip() + b"-"
                        own = row[where["trace"]] + b"-" + row[where["sent"]]
                        origin = row[where["original_trace"]] + b"-" + row[where["original_sent"]]
                        yield ends + own, ends + origin, row
        finally:
            lines.close()


def _kinds(cells: dict[str, list[bytes]]) -> list[str]:
    kinds = []
    for message, code, condition in zip(cells["message"], cells["code"], cells["condition"], strict=True):
        kind = REVERSAL if message == b"0420" else _KINDS.get((message, code[:2]))
        if kind is None:
            raise IrregularError(
                "line.kind",
                _("Message %(message)s with code %(code)s moves no money we know how to book.")
                % {"message": show(message), "code": show(code)},
            )
        kinds.append(PREAUTH_COMPLETION if (message, kind, condition) == (b"0200", PAYMENT, b"06") else kind)
    return kinds


# Message type and the first two digits of the transaction code → kind. 0100 (pre-authorisation) moves no money.
_KINDS: Final = {
    (b"0200", b"00"): PAYMENT,
    (b"0200", b"20"): VOID,
    (b"0200", b"29"): PAYOUT,
    (b"0220", b"00"): PAYMENT,
    (b"0220", b"20"): REFUND,
}


def _fees(layout: Layout, cells: dict[str, list[bytes]]) -> list[int]:
    """What we pay less what we receive, and the switch's fee, of which D is ours to pay."""
    received, paid = (plain_amounts(cells[name], layout.label(name)) for name in ("received", "paid"))
    switch = signed_amounts(cells["switch"], layout.label("switch"))
    return [out - back - sign for out, back, sign in zip(paid, received, switch, strict=True)]


def _originals(layout: Layout, cells: dict[str, list[bytes]]) -> list[bytes]:
    """The joining key of the trade a row goes back to; empty where it names none."""
    require_digits(cells["original_trace"], layout.label("original_trace"), 6, 6)
    require_digits(cells["original_sent"], layout.label("original_sent"), 10, 10)
    keys = joined(cells["agency"], cells["sender"], cells["original_trace"], cells["original_sent"])
    return [
        key if trace.strip(b"0") and sent.strip(b"0") else b""
        for key, trace, sent in zip(keys, cells["original_trace"], cells["original_sent"], strict=True)
    ]


def _extra(cells: dict[str, list[bytes]], i: int) -> dict[str, str]:
    return {
        name: cells[name][i].decode("gb18030", "replace").strip()
        for name in _EXTRA
        if name in cells and cells[name][i].strip()
    }


class UnionpayAcomn(FixedWidthFormat):
    """The registry entry of ACOMN."""

    code = "unionpay_acomn"
    label = KIND_NAMES["ACOMN"]
    family = FAMILY
    bill_type = BillType.TRADE
    reader: type[AcomnReader] = AcomnReader

    def sniff(self, head: bytes, name: str) -> bool:
        """A space at every field border, and not the agent's part."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        return _is_detail(row) and not _is_agents(row)


class UnionpayAcoma(FixedWidthFormat):
    """The registry entry of ACOMA."""

    code = "unionpay_acoma"
    label = KIND_NAMES["ACOMA"]
    family = FAMILY
    bill_type = BillType.TRADE
    reader: type[AcomnReader] = AcomaReader

    def sniff(self, head: bytes, name: str) -> bool:
        """A space at every field border, the agent's part included."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        return _is_detail(row) and _is_agents(row)


def _is_detail(row: bytes) -> bool:
    return bool(_FIRST.match(row)) and ACOMN.is_cut_right(row) and row[ACOMN.slices["message"]].isdigit()


def _is_agents(row: bytes) -> bool:
    return ACOMA.is_cut_right(row) and row[ACOMA.slices["day"]].isdigit()
