"""UnionPay merchant file ZM (FORMATS 3.1)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

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
    BillType,
    Expectation,
    FormatError,
)
from payops.channels.formats.columns import IrregularError, mask_card, require_digits, require_keys, show
from payops.channels.formats.container import Source
from payops.channels.formats.divided import DivisibleReader
from payops.channels.formats.fixed_width import (
    FixedWidthFormat,
    FixedWidthReader,
    Layout,
    optional_signed_amounts,
    plain_amounts,
    signed_amounts,
)

LAYOUT: Final = Layout(
    (
        3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32,
        13, 13, 8, 32, 13, 13, 12, 2, 1, 32,
    ),
    {
        4: ("trace_no", "系统跟踪号"), 5: ("sent", "交易传输时间"), 6: ("card", "帐号"), 7: ("amount", "交易金额"),
        10: ("trade_no", "查询流水号"), 12: ("order_no", "商户订单号"), 13: ("card_kind", "支付卡类型"),
        16: ("fee", "商户手续费"), 17: ("settlement", "结算金额"), 18: ("pay_method", "支付方式"),
        20: ("type", "交易类型"), 27: ("original", "原交易查询流水号"), 28: ("account", "商户代码"),
        30: ("sub_merchant", "二级商户代码"), 31: ("sub_merchant_name", "二级商户简称"), 33: ("net", "清算净额"),
        34: ("terminal", "终端号"), 35: ("custom", "商户自定义域"), 36: ("discount", "优惠金额"),
        41: ("original_order", "原始交易订单号"),
    },
)  # fmt: skip
"""Fields 1–41."""

# Field 20 → kind. 02 and 32 (pre-authorisation and its void) move no money and have no kind.
_KINDS: Final = {
    b"01": PAYMENT, b"03": PREAUTH_COMPLETION, b"04": REFUND, b"11": PAYMENT, b"12": PAYOUT, b"31": VOID, b"33": VOID,
}  # fmt: skip
_INWARD: Final = {PAYMENT, PREAUTH_COMPLETION}
_EXTRA: Final = (
    "trace_no", "card_kind", "pay_method", "sub_merchant", "sub_merchant_name", "terminal", "custom", "discount",
    "original_order",
)  # fmt: skip

MERCHANT_FILE: Final = re.compile(r"(?:INN|PED)(\d{6})88(ZM|ZME)_(\w{15})")
FIRST_ROW: Final = re.compile(rb"[A-Z][0-9]{2} .{11} .{11} [0-9]{6} [0-9]{10} ", re.DOTALL)
ERROR_ROW: Final = re.compile(rb"E[0-9]{2} ")


class MerchantFileReader(FixedWidthReader):
    """What ZM and ZME share: the form of their names, which carry date, kind and merchant."""

    file_kind: str

    def check_name(self) -> None:
        """Merchant, day and kind of the name must be what the file is loaded as."""
        match = self.name_matches(MERCHANT_FILE)
        if match is None:
            return
        day, kind, account = match.groups()
        if account != self.expect.account:
            raise FormatError(
                "bill.wrong_account",
                _("The file name says merchant %(found)s, but this contract is %(expected)s.")
                % {"found": account, "expected": self.expect.account},
                {"found": account, "expected": self.expect.account},
            )
        self.check_day_of_name(day)
        if kind != self.file_kind:
            raise self.other_file(_KIND_NAMES[kind])


_KIND_NAMES: Final = {
    "ZM": gettext_lazy("UnionPay merchant file (ZM)"),
    "ZME": gettext_lazy("UnionPay error file (ZME)"),
}


class UnionpayReader(MerchantFileReader, DivisibleReader):
    """One pass over one ZM file."""

    layout = LAYOUT
    file_kind = "ZM"
    kind_of_file = _KIND_NAMES["ZM"]

    def __init__(self, source: Source, expect: Expectation) -> None:
        self._payment_key = expect.key_column("payment_key", "order_no")
        self._refund_key = expect.key_column("refund_key", "request_no")
        super().__init__(source, expect)

    def check_first(self, head: bytes) -> None:
        """A first row of some length, or of an error file."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        if ERROR_ROW.match(row) and len(row) < LAYOUT.row_bytes and FIRST_ROW.match(row):
            raise self.other_file(_KIND_NAMES["ZME"])
        if not FIRST_ROW.match(row):
            raise self.not_this(row if head.strip() else b"")

    def batches(self) -> Iterator[Batch]:
        """All rows; then the day and the computed totals."""
        yield from self.spread()
        self.finish()

    def rows_of(self, block: bytes, *, last: bool) -> Iterator[Batch]:
        """The good rows of one block."""
        return self.block_rows(block)

    def own_figures(self) -> dict[str, Any]:
        """Whether a row was of the day."""
        return {"on_day": self._on_day}

    def add_own_figures(self, figures: dict[str, Any]) -> None:
        """One row of the day is enough."""
        self._on_day = self._on_day or figures["on_day"]

    def convert(self, numbers: Sequence[int], columns: list[Sequence[bytes]]) -> Batch:
        """Rows cut into fields, field by field."""
        rows = columns[0]
        cells = LAYOUT.cells(rows)
        account = [cell.rstrip() for cell in cells["account"]]
        if set(account) != {self._account}:
            self.refuse_other(numbers, account, self._account, "bill.wrong_account")
        trade, order, original, original_order = (
            [cell.rstrip() for cell in cells[name]] for name in ("trade_no", "order_no", "original", "original_order")
        )
        require_digits(trade, LAYOUT.label("trade_no"), 10, 21)
        require_keys(order, LAYOUT.label("order_no"))
        require_keys(original, LAYOUT.label("original"), optional=True)
        require_keys(original_order, LAYOUT.label("original_order"), optional=True)
        kinds = _kinds(cells["type"])
        amount = plain_amounts(cells["amount"], LAYOUT.label("amount"))
        fee = [-value for value in signed_amounts(cells["fee"], LAYOUT.label("fee"))]
        settlement = signed_amounts(cells["settlement"], LAYOUT.label("settlement"))
        net = optional_signed_amounts(cells["net"], LAYOUT.label("net"))
        discount = optional_signed_amounts(cells["discount"], LAYOUT.label("discount"))
        self._check_settlement(kinds, amount, fee, settlement, discount)
        back = [kind not in _INWARD for kind in kinds]
        batch = Batch(
            numbers, bytearray(KIND_CODES[kind] for kind in kinds),
            self._keys(back, order, original_order, trade), trade,
            [(theirs or own) if away else own for own, theirs, away in zip(order, original_order, back, strict=True)],
            [own if away else b"" for own, away in zip(order, back, strict=True)],
            original, [b"SUCCESS"] * len(rows), amount,
            [own if clear is None else clear for own, clear in zip(settlement, net, strict=True)], fee,
            [b""] * len(rows), [b"CNY"] * len(rows), self.times(cells["sent"], LAYOUT.label("sent")),
            [mask_card(cell) for cell in cells["card"]], trade,
            lambda i: {
                name: cells[name][i].decode("gb18030", "replace").strip() for name in _EXTRA if cells[name][i].strip()
            },
        )  # fmt: skip
        require_keys(batch.payer, LAYOUT.label("card"), optional=True)
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


def _kinds(cells: Sequence[bytes]) -> list[str]:
    try:
        return [_KINDS[cell] for cell in cells]
    except KeyError:
        raise IrregularError(
            "line.kind",
            _("交易类型 “%(value)s” (field 20) moves no money we know how to book.") % {"value": show(cells[0])},
        ) from None


class UnionpayZm(FixedWidthFormat):
    """The registry entry of ZM."""

    code = "unionpay_zm"
    label = gettext_lazy("UnionPay merchant file (ZM)")
    family = "unionpay_merchant"
    bill_type = BillType.TRADE
    layout = LAYOUT
    reader = UnionpayReader

    def sniff(self, head: bytes, name: str) -> bool:
        """The first row's shape: long enough for ZM, a space at every field border."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        return bool(FIRST_ROW.match(row)) and not ERROR_ROW.match(row) and LAYOUT.is_cut_right(row)
