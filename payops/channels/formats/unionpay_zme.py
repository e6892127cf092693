"""UnionPay merchant error file ZME (FORMATS 3.2): disputes, adjustments and manual refunds of a merchant's day.

It carries no order number and no query id: a row names the trade it is about by trace number, time and amount of the
last step, which is what `original_trade_no` holds. Fees and settlement carry their own sign, so the error code only
says the kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.base import FEE, KIND_CODES, Batch, BillType, Expectation
from payops.channels.formats.columns import IrregularError, mask_card, require_digits, require_keys
from payops.channels.formats.container import Source
from payops.channels.formats.error_codes import Meaning, error_codes, meanings
from payops.channels.formats.fixed_width import FixedWidthFormat, Layout, joined, plain_amounts, signed_amounts
from payops.channels.formats.unionpay import ERROR_ROW, FIRST_ROW, MerchantFileReader

LAYOUT: Final = Layout(
    (3, 11, 11, 6, 10, 19, 12, 4, 2, 2, 6, 10, 4, 12, 13, 13, 15, 15, 1, 12, 2),
    {
        1: ("code", "交易代码"), 2: ("agency", "代理机构"), 3: ("sender", "发送机构"), 4: ("trace", "系统跟踪号"),
        5: ("sent", "交易传输时间"), 6: ("card", "帐号"), 7: ("amount", "交易金额"), 8: ("mcc", "MCC"),
        11: ("last_trace", "上一笔跟踪号"), 12: ("last_sent", "上一笔日期时间"), 13: ("last_day", "上一笔清算日期"),
        14: ("last_amount", "上一笔金额"), 15: ("fee", "商户手续费"), 16: ("settlement", "结算金额"),
        17: ("group", "集团商户"), 18: ("account", "商户代码"), 21: ("periods", "期数"),
    },
)  # fmt: skip
"""Fields 1–21; a reserve follows."""

_EXTRA: Final = ("code", "mcc", "last_trace", "last_sent", "last_day", "last_amount", "group", "periods")


class UnionpayErrorReader(MerchantFileReader):
    """One pass over one ZME file."""

    layout = LAYOUT
    file_kind = "ZME"
    kind_of_file = gettext_lazy("UnionPay error file (ZME)")

    def __init__(self, source: Source, expect: Expectation) -> None:
        self._codes = error_codes(expect.options)
        super().__init__(source, expect)

    def check_first(self, head: bytes) -> None:
        """A first row with an error code; the ordinary file has another one."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        if FIRST_ROW.match(row) and not ERROR_ROW.match(row):
            raise self.other_file(gettext_lazy("UnionPay merchant file (ZM)"))
        if not FIRST_ROW.match(row):
            raise self.not_this(row if head.strip() else b"")

    def convert(self, numbers: Sequence[int], columns: list[Sequence[bytes]]) -> Batch:
        """Rows cut into fields, field by field."""
        cells = LAYOUT.cells(columns[0])
        account = [cell.rstrip() for cell in cells["account"]]
        if set(account) != {self._account}:
            self.refuse_other(numbers, account, self._account, "bill.wrong_account")
        known = meanings(self._codes, cells["code"])
        require_digits(cells["trace"], LAYOUT.label("trace"), 6, 6)
        amount = plain_amounts(cells["amount"], LAYOUT.label("amount"))
        fee = [-value for value in signed_amounts(cells["fee"], LAYOUT.label("fee"))]
        settled = signed_amounts(cells["settlement"], LAYOUT.label("settlement"))
        times = self.times(cells["sent"], LAYOUT.label("sent"))
        fee = list(map(self._checked_fee, numbers, known, amount, fee, settled))
        trade = joined(cells["agency"], cells["sender"], cells["trace"], cells["sent"])
        require_keys(trade, LAYOUT.label("trace"))
        rows = len(numbers)
        batch = Batch(
            numbers, bytearray(KIND_CODES[kind] for kind, _sign in known), trade, trade, [b""] * rows, [b""] * rows,
            self._originals(cells), [b"SUCCESS"] * rows, amount, settled, fee, [b""] * rows, [b"CNY"] * rows, times,
            [mask_card(cell) for cell in cells["card"]],
            [code + b"|" + key for code, key in zip(cells["code"], trade, strict=True)],
            lambda i: {
                name: cells[name][i].decode("gb18030", "replace").strip() for name in _EXTRA if cells[name][i].strip()
            },
        )  # fmt: skip
        require_keys(batch.payer, LAYOUT.label("card"), optional=True)
        return batch

    def _checked_fee(self, number: int, meaning: Meaning, amount: int, fee: int, settled: int) -> int:
        """The fee we pay, once fee and settlement make up the amount; a row about a fee is nothing but its fee."""
        kind, direction = meaning
        gross = settled if kind == FEE else settled + fee
        if abs(gross) != amount and self.expect.options.get("check_settlement", True):
            raise IrregularError(
                "line.settlement",
                _("结算金额 %(net)s and 商户手续费 %(fee)s do not make up 交易金额 %(amount)s (in fen).")
                % {"net": settled, "fee": fee, "amount": amount},
            )
        if gross * direction < 0:
            self.warn(
                "line.direction",
                _("The money of this error goes the other way than its code says; the file's sign was taken."),
                number,
            )
        return -settled if kind == FEE else fee

    def _originals(self, cells: dict[str, list[bytes]]) -> list[bytes]:
        """Trace number, time and amount of the step before; empty where the file knows of none."""
        keys = joined(cells["last_trace"], cells["last_sent"], cells["last_amount"])
        require_keys(keys, LAYOUT.label("last_trace"))
        return [key if key.strip(b"0-") else b"" for key in keys]


class UnionpayZme(FixedWidthFormat):
    """The registry entry of ZME."""

    code = "unionpay_zme"
    label = gettext_lazy("UnionPay error file (ZME)")
    family = "unionpay_merchant"
    bill_type = BillType.ERRORS
    reader = UnionpayErrorReader

    def sniff(self, head: bytes, name: str) -> bool:
        """A first row with an error code and a space at every field border."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        return bool(ERROR_ROW.match(row)) and LAYOUT.is_cut_right(row)
