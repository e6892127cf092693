"""Alipay accounting detail and its summary (FORMATS 2.4): every movement of our account, with the balance after each.

It is the account's log, not a bill of trades: fees are rows of their own, and withdrawals and transfers stand in it.
16 columns today, 12 in older files, other orders in portal exports; they are found by header name. A line's
`settled_amount` is what the row did to the account; a fee row is nothing but its fee. `match_key` is the flow number,
`trade_no` the trade it belongs to, `status` Alipay's own word for the row. Alipay does not promise that balances are
continuous, so a break is a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.alipay_list import AlipayListReader
from payops.channels.formats.alipay_members import ACCOUNTING, pick, titled
from payops.channels.formats.alipay_summary import summary_rows, unreadable
from payops.channels.formats.base import (
    ADJUSTMENT,
    FEE,
    KIND_CODES,
    PAYMENT,
    REFUND,
    TRANSFER,
    Batch,
    BillType,
    Expectation,
    FormatError,
)
from payops.channels.formats.columns import (
    DAMAGED_NUMBER,
    IrregularError,
    hundredths,
    require_digits,
    require_keys,
    require_text,
    signed_column,
    time_table,
)
from payops.channels.formats.container import DEFAULT_LIMITS, Limits, Source
from payops.channels.formats.refusals import damaged_number, wrong_day
from payops.channels.formats.running_balance import RunningBalance

_COLUMNS: Final[dict[str, str]] = {
    "账务流水号": "flow_no",
    "业务流水号": "trade_no",
    "商户订单号": "order_no",
    "商品名称": "product",
    "发生时间": "time",
    "对方账号": "payer",
    "对方账户": "payer",
    "收入金额": "income",
    "支出金额": "expense",
    "账户余额": "balance",
    "交易渠道": "channel",
    "业务类型": "type",
    "备注": "remark",
    "业务描述": "description",
    "业务账单来源": "source",
    "业务基础订单号": "base_order_no",
    "业务订单号": "own_order_no",
}
_REQUIRED: Final = ("flow_no", "trade_no", "time", "income", "expense", "balance", "type")
_EXTRA: Final = ("product", "balance", "channel", "remark", "description", "source", "base_order_no", "own_order_no")
# Alipay's word for a row → kind. Other words are adjustments: what they did to the account is certain all the same.
_KINDS: Final = {
    "交易付款": PAYMENT, "在线支付": PAYMENT, "交易退款": REFUND, "收费": FEE, "退费": FEE, "转账": TRANSFER,
    "提现": TRANSFER, "充值": TRANSFER,
}  # fmt: skip
_FEE, _REFUND = KIND_CODES[FEE], KIND_CODES[REFUND]
_TOTAL: Final = r"#{label}合计：(\d+)笔，共(-?[\d.]+)元"
_SIDES: Final = ("收入", "支出")


class AlipayAccountReader(AlipayListReader):
    """One pass over one accounting detail."""

    title = ACCOUNTING.detail
    end_mark = "账务明细列表结束"
    footer_words = "账务明细列表结束, 支出合计, 收入合计"
    kind_of_file = ACCOUNTING.label
    columns = _COLUMNS
    required = _REQUIRED
    free_text = ("product", "remark", "description")
    amounts = ("income", "expense", "balance")
    times = ("time",)

    def __init__(self, source: Source, expect: Expectation, summaries: Sequence[Source] = ()) -> None:
        self.summaries = list(summaries)
        self._outward = 1 if expect.options.get("expense_sign", "negative") == "positive" else -1
        self._sums = {side: [0, 0] for side in _SIDES}
        super().__init__(source, expect)
        self._balance = RunningBalance(self)

    def reopen(self) -> AlipayAccountReader:
        """A fresh reader over the same log."""
        return AlipayAccountReader(self.source, self.expect, self.summaries)

    def batches(self) -> Iterator[Batch]:
        """Rows up to the end of the list, then the proof of the totals."""
        for numbers, columns in self.tables():
            yield from self.convert_all(numbers, columns)
        self._prove()

    def convert(self, numbers: Sequence[int], columns: Sequence[Sequence[bytes]]) -> Batch:
        """One block of cells, column by column."""
        cells = {name: [cell.strip() for cell in columns[index]] for name, index in self._at.items()}
        flow, trade = cells["flow_no"], cells["trade_no"]
        rows = len(numbers)
        order, own_order = (cells.get(name) or [b""] * rows for name in ("order_no", "own_order_no"))
        self._check_numbers(numbers, flow, trade, order, own_order)
        times, stray = time_table(cells["time"], self.name_of("time"), self.expect.channel_date)
        if stray is not None:
            index = cells["time"].index(stray)
            raise wrong_day(numbers[index], numbers[index] + self.header_lines, stray, self.expect)
        status = list(require_text(cells["type"], self.name_of("type"), self._encoding, longest=16))
        payer = require_text(cells.get("payer") or [b""] * rows, self.name_of("payer"), self._encoding, longest=64)
        settled = self._movements(cells["income"], cells["expense"])
        balance = signed_column(self.name_of("balance"), cells["balance"])
        kinds = bytearray(KIND_CODES[_KINDS.get(cell.decode(), ADJUSTMENT)] for cell in status)
        self._balance.follow(numbers, settled, balance)
        self._count(settled)
        return Batch(
            numbers, kinds, flow, [number or key for number, key in zip(trade, flow, strict=True)], order,
            [number if kind == _REFUND else b"" for number, kind in zip(own_order, kinds, strict=True)],
            [number if kind == _REFUND else b"" for number, kind in zip(trade, kinds, strict=True)], status,
            [abs(net) for net in settled], settled,
            [-net if kind == _FEE else 0 for net, kind in zip(settled, kinds, strict=True)], [b""] * rows,
            [b"CNY"] * rows, list(map(times.__getitem__, cells["time"])), payer, flow,
            lambda i: {name: cells[name][i].decode(self._encoding, "replace") for name in _EXTRA
                       if name in cells and cells[name][i]},
        )  # fmt: skip

    def _check_numbers(
        self,
        numbers: Sequence[int],
        flow: Sequence[bytes],
        trade: Sequence[bytes],
        order: Sequence[bytes],
        own_order: Sequence[bytes],
    ) -> None:
        for column in (flow, trade):
            if b"E" in b"".join(column):
                for number, cell in zip(numbers, column, strict=True):
                    if DAMAGED_NUMBER.fullmatch(cell):
                        raise damaged_number(number, number + self.header_lines, cell)
        require_digits(flow, self.name_of("flow_no"), 10, 64)
        require_keys(trade, self.name_of("trade_no"), optional=True)
        require_keys(order, self.name_of("order_no"), optional=True)
        require_keys(own_order, self.name_of("own_order_no"), optional=True)

    def _movements(self, income: Sequence[bytes], expense: Sequence[bytes]) -> list[int]:
        """What every row did to the account; it either brings or takes, never both, and each column has its sign."""
        brought = signed_column(self.name_of("income"), [cell or b"0.00" for cell in income])
        taken = signed_column(self.name_of("expense"), [cell or b"0.00" for cell in expense])
        for plus, minus in zip(brought, taken, strict=True):
            if plus < 0 or minus * self._outward < 0 or (plus and minus):
                raise IrregularError(
                    "line.amount_sign",
                    _("A row brings a positive 收入金额 or takes a negative 支出金额, not both."),
                )
        return [plus - self._outward * minus for plus, minus in zip(brought, taken, strict=True)]

    def _count(self, settled: Sequence[int]) -> None:
        for net in settled:
            # A row of nothing counts nowhere.
            if net:
                side = self._sums["收入" if net > 0 else "支出"]
                side[0] += 1
                side[1] += net

    # -- totals -------------------------------------------------------------------------------------------------

    def _prove(self) -> None:
        text = self._footer.decode(self._encoding, "replace")
        for side in _SIDES:
            match = re.search(_TOTAL.format(label=side), text)
            if match is None:
                raise self.truncated()
            try:
                amount = self._signed(side, hundredths(match[2].encode(), f"{side}合计", signed=True))
            except IrregularError as error:
                message = _("In the footer: %(reason)s") % {"reason": error.message}
                raise FormatError("bill.footer_unreadable", message) from error
            self._add_totals(side, f"{side}合计", int(match[1]), amount)
        for summary in self.summaries:
            self._add_summary(summary)
        self.prove([f"{side}合计笔数" for side in _SIDES])
        self._balance.warn()
        self._balance.add_totals()

    def _signed(self, side: str, amount: int) -> int:
        """A stated sum as it changes the account."""
        return -amount if side == "支出" and self._outward > 0 else amount

    def _add_totals(self, side: str, name: str, count: int, amount: int) -> None:
        rows, total = self._sums[side]
        self.totals.add(f"{name}笔数", count, rows, unit="count")
        self.totals.add(f"{name}金额", amount, total)

    def _add_summary(self, summary: Source) -> None:
        names, rows = summary_rows(summary, self.expect, ACCOUNTING.summary, "账务汇总列表结束")
        # Whether the list ends with a total row is not documented; without one the types are added up.
        totals = [row for row in rows if row[0].strip().startswith("合计")] or rows
        for side in _SIDES:
            try:
                count, amount = (
                    sum(_figure(dict(zip(names, row, strict=True)), f"{side}{what}") for row in totals)
                    for what in ("笔数", "金额")
                )
            except (IrregularError, KeyError, ValueError) as error:
                raise unreadable(summary.name, str(getattr(error, "message", error))) from error
            self._add_totals(side, f"汇总{side}", count // 100, self._signed(side, amount))


def _figure(cells: dict[str, str], name: str) -> int:
    return hundredths(cells[name].strip().encode(), name, signed=True)


class AlipayAccount:
    """The registry entry of the accounting detail."""

    code = "alipay_account"
    label = gettext_lazy("Alipay account log")
    family = "alipay"
    bill_type = BillType.ACCOUNT_LOG

    def sniff(self, head: bytes, name: str) -> bool:
        """The title line, in either encoding."""
        return titled(head, ACCOUNTING.detail) is not None

    def open(
        self, source: Source, expect: Expectation, *, summary: Source | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> AlipayAccountReader:
        """A reader over the detail in `source`; a summary, beside it in the zip or given, is checked against it."""
        detail, summaries = pick(source, ACCOUNTING, summary, limits)
        return AlipayAccountReader(detail, expect, summaries)

    def raw_line(self, source: Source, expect: Expectation, line_no: int) -> str:
        """One line by its number, cards masked (Alipay masks payers itself)."""
        return self.open(source, expect).raw_text(line_no)
