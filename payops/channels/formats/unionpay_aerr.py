"""UnionPay acquirer error files AERRN and AERRA (FORMATS 4.3): chargebacks, re-presentments, adjustments, refunds.

AERRA is AERRN with the agent's part behind, of which nothing is money of ours: one format reads the core of both.
Amounts carry no sign; the error code says which way the money goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.utils.translation import gettext as _

from payops.channels.formats.acquirer import FAMILY, KIND_NAMES, AcquirerReader
from payops.channels.formats.base import FEE, KIND_CODES, Batch, BillType, Expectation
from payops.channels.formats.columns import IrregularError, mask_card, mask_cards_in_text, require_digits, require_keys
from payops.channels.formats.container import Source
from payops.channels.formats.error_codes import error_codes, meanings
from payops.channels.formats.fixed_width import FixedWidthFormat, Layout, joined, plain_amounts, signed_amounts
from payops.channels.formats.unionpay import ERROR_ROW, FIRST_ROW

LAYOUT: Final = Layout(
    (
        3, 11, 11, 6, 10, 19, 12, 4, 6, 4, 8, 12, 2, 6, 11, 11, 6, 2, 3, 12, 12, 12, 12, 12, 12, 4, 11, 19, 11, 19,
        10, 3, 1, 1, 4, 12, 1, 2, 15, 11, 11, 11, 2, 40, 2, 1, 8, 24, 3, 1, 2,
    ),
    {
        1: ("code", "差错标志"), 2: ("agency", "代理机构"), 3: ("sender", "发送机构"), 4: ("trace", "跟踪号"),
        5: ("sent", "传输时间"), 6: ("card", "主账号"), 7: ("amount", "交易金额"), 8: ("message", "报文类型"),
        9: ("type", "交易类型码"), 10: ("mcc", "MCC"), 11: ("terminal", "终端"), 12: ("reference", "上一笔参考号"),
        13: ("condition", "条件码"), 17: ("last_trace", "上一笔跟踪号"), 20: ("received", "应收交换费"),
        21: ("paid", "应付交换费"), 22: ("instalment", "分期附加费"), 23: ("switch", "持卡人手续费/转接费"),
        24: ("charged", "应收费用"), 25: ("owed", "应付费用"), 26: ("reason", "差错原因"), 28: ("card_out", "转出卡"),
        30: ("card_in", "转入卡"), 31: ("last_sent", "上一笔时间"), 35: ("last_day", "上一笔清算日"),
        36: ("last_amount", "上一笔金额"), 39: ("merchant", "商户"), 44: ("shop", "商户名称"),
    },
)  # fmt: skip
"""Fields 1–51, the core of both files."""

_EXTRA: Final = (
    "code", "message", "type", "mcc", "terminal", "reference", "condition", "instalment", "reason", "last_trace",
    "last_sent", "last_day", "last_amount", "merchant", "shop",
)  # fmt: skip


class AerrReader(AcquirerReader):
    """One pass over one error file."""

    layout = LAYOUT
    file_kind = "AERR"
    kind_of_file = KIND_NAMES["AERR"]

    def __init__(self, source: Source, expect: Expectation) -> None:
        self._codes = error_codes(expect.options)
        # Cardholder fee or switch fee: which one the field holds is not published.
        self._with_switch_fee = bool(expect.options.get("error_switch_fee", True))
        super().__init__(source, expect)

    def check_first(self, head: bytes) -> None:
        """A first row with an error code."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        if not (ERROR_ROW.match(row) and FIRST_ROW.match(row)):
            raise self.not_this(row if head.strip() else b"")

    def convert(self, numbers: Sequence[int], columns: list[Sequence[bytes]]) -> Batch:
        """Rows cut into fields, field by field."""
        cells = LAYOUT.cells(columns[0])
        self.check_acquirer(numbers, cells["agency"])
        known = meanings(self._codes, cells["code"])
        require_digits(cells["trace"], LAYOUT.label("trace"), 6, 6)
        amount = plain_amounts(cells["amount"], LAYOUT.label("amount"))
        times = self.times(cells["sent"], LAYOUT.label("sent"))
        fee, settled = self._money(known, amount, cells)
        trade = joined(cells["agency"], cells["sender"], cells["trace"], cells["sent"])
        require_keys(trade, LAYOUT.label("trace"))
        last = joined(cells["agency"], cells["sender"], cells["last_trace"], cells["last_sent"])
        require_keys(last, LAYOUT.label("last_trace"))
        rows = len(numbers)
        batch = Batch(
            numbers, bytearray(KIND_CODES[kind] for kind, _sign in known), trade, trade, [b""] * rows, [b""] * rows,
            [key if trace.strip(b" 0") else b"" for key, trace in zip(last, cells["last_trace"], strict=True)],
            [b"SUCCESS"] * rows, amount, settled, fee, [b""] * rows, [b"CNY"] * rows, times,
            [mask_card(cell) for cell in cells["card"]],
            [code + b"|" + key for code, key in zip(cells["code"], trade, strict=True)],
            lambda i: {
                name: cells[name][i].decode("gb18030", "replace").strip() for name in _EXTRA if cells[name][i].strip()
            },
        )  # fmt: skip
        require_keys(batch.payer, LAYOUT.label("card"), optional=True)
        return batch

    def _money(
        self, known: Sequence[tuple[str, int]], amount: Sequence[int], cells: dict[str, list[bytes]]
    ) -> tuple[list[int], list[int]]:
        """Fee we pay and net to us of every row; a row about a fee (E05) has nothing but the fee it names."""
        received, paid, charged, owed = (
            plain_amounts(cells[name], LAYOUT.label(name)) for name in ("received", "paid", "charged", "owed")
        )
        switch = signed_amounts(cells["switch"], LAYOUT.label("switch"))
        fees, nets = [], []
        for i, ((kind, direction), whole) in enumerate(zip(known, amount, strict=True)):
            fee = paid[i] - received[i] + owed[i] - charged[i] - (switch[i] if self._with_switch_fee else 0)
            if kind == FEE and abs(charged[i] - owed[i]) != whole:
                raise IrregularError(
                    "line.settlement",
                    _("The fee %(amount)s is neither 应收费用 nor 应付费用 (in fen).") % {"amount": whole},
                )
            if kind != FEE and not direction:
                raise IrregularError(
                    "line.kind",
                    _("Which way the money of %(code)s goes is not published. Name it in the option error_codes.")
                    % {"code": cells["code"][i].decode("latin-1")},
                )
            fees.append(fee)
            nets.append((0 if kind == FEE else direction * whole) - fee)
        return fees, nets

    def show_cells(self, cells: Sequence[bytes]) -> str:
        """The line with all three card numbers masked."""
        row = cells[0]
        for name in ("card", "card_out", "card_in"):
            where = LAYOUT.slices[name]
            if len(row) >= where.stop:
                row = row[: where.start] + mask_card(row[where]).ljust(19) + row[where.stop :]
        return mask_cards_in_text(row.decode("gb18030", "replace"), self.expect.account)


class UnionpayAerr(FixedWidthFormat):
    """The registry entry of AERRN and AERRA."""

    code = "unionpay_aerr"
    label = KIND_NAMES["AERR"]
    family = FAMILY
    bill_type = BillType.ERRORS
    reader = AerrReader

    def sniff(self, head: bytes, name: str) -> bool:
        """A first row with an error code and a space at every field border."""
        row = head.split(b"\n", 1)[0].rstrip(b"\r")
        return bool(ERROR_ROW.match(row)) and LAYOUT.is_cut_right(row)
