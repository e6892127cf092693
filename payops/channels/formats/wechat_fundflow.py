"""WeChat Pay fund-flow bill (FORMATS 1.2): every movement of our account at WeChat, with the balance after each.

It is the account's log, not a bill of trades: fees are rows of their own, and withdrawals and transfers stand in it.
A line's `settled_amount` is what the row did to the account; a fee row is nothing but its fee. `match_key` is the flow
number, `trade_no` the payment or refund it belongs to, `status` WeChat's own word for the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.base import (
    ADJUSTMENT,
    FEE,
    KIND_CODES,
    PAYMENT,
    PAYOUT,
    REFUND,
    REFUND_RETURN,
    TRANSFER,
    Batch,
    BillType,
    Expectation,
    FormatError,
)
from payops.channels.formats.columns import (
    IrregularError,
    amount_column,
    hundredths,
    require_digits,
    require_keys,
    require_text,
    show_hundredths,
    signed_column,
    time_table,
)
from payops.channels.formats.container import Source
from payops.channels.formats.refusals import wrong_day
from payops.channels.formats.running_balance import RunningBalance
from payops.channels.formats.wechat import WechatReader, WechatTrade

_COLUMNS: Final[dict[str, str]] = {
    "记账时间": "time",
    "微信支付业务单号": "trade_no",
    "资金流水单号": "flow_no",
    "业务名称": "name",
    "业务类型": "type",
    "收支类型": "direction",
    "收支金额(元)": "amount",
    "账户结余(元)": "balance",
    "资金变更提交申请人": "submitted_by",
    "备注": "remark",
    "业务凭证号": "order_no",
}
_NAMES: Final = {ours: name for name, ours in _COLUMNS.items()}
_REQUIRED: Final = ("time", "trade_no", "flow_no", "type", "direction", "amount", "balance", "order_no")
_EXTRA: Final = ("name", "balance", "submitted_by", "remark")
_DIRECTIONS: Final = {"收入".encode(): 1, "支出".encode(): -1}
# WeChat's word for a row → kind. Other words are adjustments: what they did to the account is certain all the same.
_KINDS: Final = {
    "交易": PAYMENT, "退款": REFUND, "退款关闭": REFUND_RETURN, "扣除交易手续费": FEE, "退还交易手续费": FEE,
    "提现": TRANSFER, "充值": TRANSFER, "充值/提现": TRANSFER, "分账": TRANSFER, "企业付款": PAYOUT,
}  # fmt: skip
_FEE: Final = KIND_CODES[FEE]
_FOOTER: Final = "资金流水总笔数"
_COUNTS: Final = ("资金流水总笔数", "收入笔数", "支出笔数")


class FundflowReader(WechatReader):
    """One pass over one fund-flow bill."""

    footer_mark = _FOOTER.encode()
    footer_name = "支出金额"
    kind_of_file = gettext_lazy("WeChat fund-flow bill")
    divisible = False  # its balances are followed from row to row

    def __init__(self, source: Source, expect: Expectation) -> None:
        super().__init__(source, expect)
        self._in = [0, 0]
        self._out = [0, 0]
        self._balance = RunningBalance(self)
        # Flow numbers of captured bills start with the merchant number; no other cell names the account.
        self._own_numbers = bool(expect.options.get("flow_account", False))

    def check_header(self, names: list[str]) -> None:
        """Find the columns by their names, with full or half width brackets."""
        plain = [name.replace("（", "(").replace("）", ")") for name in names]
        known = [_COLUMNS.get(name, "") for name in plain]
        if "微信订单号" in plain:
            raise FormatError(
                "bill.wrong_format",
                _("“%(name)s” is a WeChat trade bill (交易账单); load the fund-flow bill (资金账单) here.")
                % {"name": self.source.name},
                {"name": self.source.name},
            )
        if "flow_no" not in known:
            raise self.not_a_bill(",".join(names).encode())
        missing = [_NAMES[column] for column in _REQUIRED if column not in known]
        repeated = [_NAMES[column] for column in set(known) - {""} if known.count(column) > 1]
        if missing or repeated:
            raise FormatError(
                "bill.unknown_header",
                _("The header is not the fund-flow bill's: missing %(missing)s, repeated %(repeated)s.")
                % {"missing": "、".join(missing) or "–", "repeated": "、".join(repeated) or "–"},
                {"missing": missing, "repeated": repeated, "header": names},
            )
        self._names = names
        self._at = {column: index for index, column in enumerate(known) if column}

    def convert(self, numbers: Sequence[int], columns: list[Sequence[bytes]]) -> Batch:
        """One block of cells, column by column."""
        cells = {name: columns[index] for name, index in self._at.items()}
        flow, trade, order = cells["flow_no"], cells["trade_no"], cells["order_no"]
        self._refuse_damaged(numbers, flow)
        require_digits(flow, _NAMES["flow_no"], 10, 64)
        require_keys(trade, _NAMES["trade_no"])
        require_keys(order, _NAMES["order_no"], optional=True)
        if self._own_numbers and not all(cell.startswith(self._account) for cell in flow):
            self.refuse_other(numbers, [cell[: len(self._account)] for cell in flow], self._account,
                              "bill.wrong_account")  # fmt: skip
        times, stray = time_table(cells["time"], _NAMES["time"], self.expect.channel_date)
        if stray is not None:
            self._refuse_day(numbers, cells["time"], stray)
        status = list(require_text(cells["type"], _NAMES["type"], "utf-8", longest=16))
        amount = amount_column(_NAMES["amount"], cells["amount"])
        balance = signed_column(_NAMES["balance"], cells["balance"])
        signs = _signs(cells["direction"])
        settled = [sign * value for sign, value in zip(signs, amount, strict=True)]
        kinds = bytearray(KIND_CODES[_KINDS.get(cell.decode(), ADJUSTMENT)] for cell in status)
        rows = len(numbers)
        self._balance.follow(numbers, settled, balance)
        self._count(signs, amount)
        return Batch(
            numbers, kinds, list(flow), trade, order, [b""] * rows, [b""] * rows, status, amount, settled,
            [-net if kind == _FEE else 0 for net, kind in zip(settled, kinds, strict=True)], [b""] * rows,
            [b"CNY"] * rows, list(map(times.__getitem__, cells["time"])), [b""] * rows, list(flow),
            lambda i: {name: cells[name][i].decode("utf-8", "replace") for name in _EXTRA
                       if name in cells and cells[name][i]},
        )  # fmt: skip

    def _count(self, signs: Sequence[int], amount: Sequence[int]) -> None:
        for sign, value in zip(signs, amount, strict=True):
            side = self._in if sign > 0 else self._out
            side[0] += 1
            side[1] += value

    def compare(self, stated: dict[str, bytes]) -> None:
        """Counts and sums of both directions; then that every balance follows from the one before."""
        computed = {
            _FOOTER: self._in[0] + self._out[0], "收入笔数": self._in[0], "收入金额": self._in[1],
            "支出笔数": self._out[0], "支出金额": self._out[1],
        }  # fmt: skip
        missing = [name for name in computed if name not in stated]
        if missing:
            raise self._truncated()
        try:
            for name, value in computed.items():
                figure = hundredths(stated[name], name, signed=True)
                if name in _COUNTS and figure % 100:
                    raise IrregularError("line.amount", _("%(name)s is not a whole number.") % {"name": name})
                if name in _COUNTS:
                    self.totals.add(name, figure // 100, value, unit="count")
                else:
                    self.totals.add(name, figure, value)
        except IrregularError as error:
            message = _("In the footer: %(reason)s") % {"reason": error.message}
            raise FormatError("bill.footer_unreadable", message) from error
        self.prove((_FOOTER,))
        self._refuse_break()
        self._balance.add_totals()

    def _refuse_break(self) -> None:
        """WeChat's balances are continuous; one that is not means rows are missing, doubled or out of order."""
        broken = self._balance.first_break
        if broken is None or self.bad_lines or self.expect.options.get("balance_break", "reject") != "reject":
            return
        raise FormatError(
            "bill.balance_break",
            _(
                "Row %(row)s (line %(line)s of the file) has balance %(stated)s, but %(computed)s follows from the row "
                "before. The file is rejected; fetch it again from the channel."
            )
            % {
                "row": broken.number,
                "line": broken.number + self.header_lines,
                "stated": show_hundredths(broken.stated),
                "computed": show_hundredths(broken.computed),
            },
            {"line_no": broken.number, "stated": broken.stated, "computed": broken.computed},
        )

    def _refuse_day(self, numbers: Sequence[int], cells: Sequence[bytes], stray: bytes) -> None:
        index = list(cells).index(stray)
        raise wrong_day(numbers[index], numbers[index] + self.header_lines, stray, self.expect)


def _signs(cells: Sequence[bytes]) -> list[int]:
    try:
        return [_DIRECTIONS[cell] for cell in cells]
    except KeyError:
        raise IrregularError(
            "line.direction",
            _("收支类型 “%(value)s” is neither 收入 nor 支出.") % {"value": cells[0].decode("utf-8", "replace")[:40]},
        ) from None


class WechatFundflow(WechatTrade):
    """The registry entry of the fund-flow bill."""

    code = "wechat_fundflow"
    label = gettext_lazy("WeChat Pay fund-flow bill")
    bill_type = BillType.ACCOUNT_LOG

    @property
    def reader(self) -> type[WechatReader]:
        """What reads the bill."""
        return FundflowReader

    def sniff(self, head: bytes, name: str) -> bool:
        """A first line with the flow number's name."""
        first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0]
        return first.startswith("记账时间,".encode()) and "资金流水单号".encode() in first
