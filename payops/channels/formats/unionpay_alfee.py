"""UnionPay brand fee file ALFEE (FORMATS 4.4): what the brand charges per trade of ACOMN or ACOMA.

A row is a fee and nothing else: its gross is zero, its net the fee. `original_trade_no` is the key of the trade.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from payops.channels.formats.acquirer import FAMILY, KIND_NAMES, AcquirerReader
from payops.channels.formats.base import FEE, KIND_CODES, Batch, BillType
from payops.channels.formats.columns import mask_card, require_digits, require_keys
from payops.channels.formats.fixed_width import FixedWidthFormat, Layout, joined, plain_amounts, signed_amounts

LAYOUT: Final = Layout(
    (11, 1, 2, 2, 1, 1, 4, 11, 11, 11, 11, 11, 11, 4, 6, 2, 6, 10, 19, 28, 28, 42, 8, 15, 12, 12, 12, 12),
    {
        7: ("mcc", "MCC"), 9: ("agency", "受理机构"), 10: ("sender", "转发机构"), 14: ("message", "报文类型"),
        15: ("code", "处理码"), 17: ("trace", "跟踪号"), 18: ("sent", "传输时间"), 19: ("card", "主账号"),
        24: ("merchant", "商户"), 25: ("reference", "参考号"), 26: ("amount", "交易金额"), 28: ("fee", "品牌服务费"),
    },
)  # fmt: skip
"""Fields 1–28; what follows is no money of ours."""

_EXTRA: Final = ("mcc", "message", "code", "merchant", "reference", "amount")


class AlfeeReader(AcquirerReader):
    """One pass over one brand fee file."""

    layout = LAYOUT
    file_kind = "ALFEE"
    kind_of_file = KIND_NAMES["ALFEE"]

    def check_first(self, head: bytes) -> None:
        """A first row with the fields where they belong."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        if not (LAYOUT.is_cut_right(row) and row[LAYOUT.slices["message"]].isdigit()):
            raise self.not_this(row if head.strip() else b"")

    def convert(self, numbers: Sequence[int], columns: list[Sequence[bytes]]) -> Batch:
        """Rows cut into fields, field by field."""
        cells = LAYOUT.cells(columns[0])
        self.check_acquirer(numbers, cells["agency"])
        require_digits(cells["trace"], LAYOUT.label("trace"), 6, 6)
        plain_amounts(cells["amount"], LAYOUT.label("amount"))
        fee = [-value for value in signed_amounts(cells["fee"], LAYOUT.label("fee"))]
        trade = joined(cells["agency"], cells["sender"], cells["trace"], cells["sent"])
        require_keys(trade, LAYOUT.label("trace"))
        rows = len(numbers)
        batch = Batch(
            numbers, bytearray([KIND_CODES[FEE]]) * rows, trade, trade, [b""] * rows, [b""] * rows, trade,
            [b"SUCCESS"] * rows, [abs(value) for value in fee], [-value for value in fee], fee, [b""] * rows,
            [b"CNY"] * rows, self.times(cells["sent"], LAYOUT.label("sent")),
            [mask_card(cell) for cell in cells["card"]],
            [b"|".join(parts) for parts in zip(trade, cells["message"], cells["code"], strict=True)],
            lambda i: {
                name: cells[name][i].decode("gb18030", "replace").strip() for name in _EXTRA if cells[name][i].strip()
            },
        )  # fmt: skip
        require_keys(batch.payer, LAYOUT.label("card"), optional=True)
        return batch


class UnionpayAlfee(FixedWidthFormat):
    """The registry entry of ALFEE."""

    code = "unionpay_alfee"
    label = KIND_NAMES["ALFEE"]
    family = FAMILY
    bill_type = BillType.BRAND_FEE
    reader = AlfeeReader

    def sniff(self, head: bytes, name: str) -> bool:
        """A space at every field border and digits where the message type and the trace number stand."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        where = LAYOUT.slices
        return LAYOUT.is_cut_right(row) and row[where["message"]].isdigit() and row[where["trace"]].isdigit()
