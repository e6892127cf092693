"""Alipay business detail and its summary (FORMATS 2.1–2.3).

Refund rows are negative. The service-fee sign is not documented: it is inferred per file from the payment rows, and
mixtures are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import compress, count
from operator import ne, neg, sub
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.alipay_list import AlipayListReader
from payops.channels.formats.alipay_members import BUSINESS, pick, titled
from payops.channels.formats.alipay_summary import ZERO_SUMS, read_summary
from payops.channels.formats.base import (
    KIND_CODES,
    PAYMENT,
    REFUND,
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
    show_hundredths,
    signed_column,
    sparse_amounts,
    time_table,
)
from payops.channels.formats.container import DEFAULT_LIMITS, Limits, Source
from payops.channels.formats.divided import DivisibleReader
from payops.channels.formats.refusals import damaged_number, wrong_day

_REFUND_CODE: Final = KIND_CODES[REFUND]

_COLUMNS: Final[dict[str, str]] = {
    "支付宝交易号": "trade_no",
    "商户订单号": "order_no",
    "业务类型": "type",
    "商品名称": "product",
    "创建时间": "created",
    "完成时间": "finished",
    "门店编号": "shop_no",
    "门店名称": "shop",
    "操作员": "operator",
    "终端号": "terminal",
    "对方账户": "payer",
    "订单金额": "order_amount",
    "商家实收": "received",
    "支付宝红包": "red_packet",
    "集分宝": "points",
    "支付宝优惠": "alipay_discount",
    "商家优惠": "discount",
    "券核销金额": "coupon",
    "券名称": "coupon_name",
    "商家红包消费金额": "merchant_packet",
    "卡消费金额": "card_amount",
    "退款批次号/请求号": "request_no",
    "服务费": "fee",
    "分润": "share",
    "备注": "remark",
}
_REQUIRED: Final = (
    "trade_no", "order_no", "type", "finished", "payer", "order_amount", "received", "discount", "request_no", "fee",
)  # fmt: skip
_AMOUNTS: Final = ("order_amount", "received", "alipay_discount", "discount", "card_amount", "fee", "share")
_FREE_TEXT: Final = ("product", "coupon_name", "remark")
_ALL_AMOUNTS: Final = (*_AMOUNTS, "red_packet", "points", "coupon", "merchant_packet")
_READ: Final = (*_REQUIRED, "alipay_discount", "card_amount", "share")
_STRIPPED: Final = ("trade_no", "order_no", "type", "finished", "request_no", *_AMOUNTS)
_EXTRA: Final = ("shop_no", "shop", "terminal", "product", "discount", "alipay_discount", "share", "remark")

_PAID: Final = re.compile(r"#交易合计：(\d+)笔，(商家实收|交易金额)共(-?[\d.]+)元，(商家优惠|优惠金额)共(-?[\d.]+)元")
_REFUNDED: Final = re.compile(
    r"#退款合计：(\d+)笔，(商家实收退款|交易退款金额|退款金额)共(-?[\d.]+)元，(商家优惠退款|优惠退款金额|优惠金额)共(-?[\d.]+)元"
)


class AlipayTrade:
    """The registry entry of the business detail."""

    code = "alipay_trade"
    label = gettext_lazy("Alipay business detail")
    family = "alipay"
    bill_type = BillType.TRADE

    def sniff(self, head: bytes, name: str) -> bool:
        """The title line, in either encoding."""
        return titled(head, BUSINESS.detail) is not None

    def open(
        self, source: Source, expect: Expectation, *, summary: Source | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> AlipayReader:
        """A reader over the detail in `source`; a summary, beside it in the zip or given, is checked against it."""
        detail, summaries = pick(source, BUSINESS, summary, limits)
        return AlipayReader(detail, expect, summaries)

    def raw_line(self, source: Source, expect: Expectation, line_no: int) -> str:
        """One line by its number, cards masked (Alipay masks payers itself)."""
        return self.open(source, expect).raw_text(line_no)


class AlipayReader(AlipayListReader, DivisibleReader):
    """One pass over one business detail."""

    title = BUSINESS.detail
    end_mark = "业务明细列表结束"
    footer_words = "业务明细列表结束, 交易合计, 退款合计"
    kind_of_file = BUSINESS.label
    columns = _COLUMNS
    required = _REQUIRED
    free_text = _FREE_TEXT
    amounts = _ALL_AMOUNTS
    times = ("created", "finished")

    def __init__(self, source: Source, expect: Expectation, summaries: Sequence[Source] = ()) -> None:
        self.summaries = list(summaries)
        self._payment_key = expect.key_column("payment_key", "order_no")
        self._refund_key = expect.key_column("refund_key", "request_no")
        self._sums = {kind: dict.fromkeys((*_AMOUNTS, "count"), 0) for kind in (PAYMENT, REFUND)}
        self._sign: int | None = None
        super().__init__(source, expect)
        self._types = {
            kind.encode(self._encoding): KIND_CODES[ours] for kind, ours in (("交易", PAYMENT), ("退款", REFUND))
        }

    def reopen(self) -> AlipayReader:
        """A fresh reader over the same bill."""
        return AlipayReader(self.source, self.expect, self.summaries)

    # -- rows ---------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """Rows up to the end of the list, then the proof of the totals."""
        self._sign = self._fee_sign()
        yield from self.spread()
        self._prove()

    def rows_of(self, block: bytes, *, last: bool) -> Iterator[Batch]:
        """The good rows of one block."""
        for numbers, columns in self.tables_of(block):
            yield from self.convert_all(numbers, columns)

    def member_options(self) -> dict[str, Any]:
        """The sign of the fees, which only a part of the rows may show."""
        return {"fee_sign": "positive" if self._sign == 1 else "negative"}

    def obey(self, prefix_id: int, contract_id: int) -> None:
        """As any reader's; the sign is given."""
        super().obey(prefix_id, contract_id)
        self._sign = self._fee_sign()

    def own_figures(self) -> dict[str, Any]:
        """The sums the footer and the summary state."""
        return self._sums

    def add_own_figures(self, figures: dict[str, Any]) -> None:
        """Sums of other rows."""
        for kind, sums in figures.items():
            for name, value in sums.items():
                self._sums[kind][name] += value

    def _fee_sign(self) -> int:
        """−1 when fees we pay are negative (as documented), +1 when positive; the first charged payment says."""
        option = str(self.expect.options.get("fee_sign", "infer"))
        if option in ("negative", "positive"):
            return -1 if option == "negative" else 1
        scout = self.reopen()
        payment = "交易".encode(self._encoding)
        try:
            for _numbers, columns in scout.tables():
                types, fees = columns[self._at["type"]], columns[self._at["fee"]]
                for kind, fee in zip(types, fees, strict=True):
                    if kind.strip() == payment and fee.strip(b" -0.\t"):
                        return -1 if fee.strip().startswith(b"-") else 1
        except FormatError:
            # Whatever is wrong, the reading pass meets it at the same place and names it.
            return -1
        return -1

    def convert(self, numbers: Sequence[int], columns: Sequence[Sequence[bytes]]) -> Batch:
        """One block of cells, column by column."""
        cells = {name: columns[self._at[name]] for name in _READ if name in self._at}
        try:
            return self._converted(numbers, columns, cells)
        except IrregularError:
            spaced = [name for name in _STRIPPED if name in cells and b" " in b"".join(cells[name])]
            if not spaced:
                raise
            stripped = {name: [cell.strip() for cell in cells[name]] for name in spaced}
            return self._converted(numbers, columns, cells | stripped)

    def _converted(
        self, numbers: Sequence[int], columns: Sequence[Sequence[bytes]], cells: dict[str, Sequence[bytes]]
    ) -> Batch:
        trade = cells["trade_no"]
        self._check_numbers(numbers, trade, cells["order_no"], cells["request_no"])
        times, stray = time_table(cells["finished"], AlipayReader.name_of("finished"), self.expect.channel_date)
        if stray is not None:
            index = cells["finished"].index(stray)
            raise wrong_day(numbers[index], numbers[index] + self.header_lines, stray, self.expect)
        payer = require_text(cells["payer"], AlipayReader.name_of("payer"), self._encoding, longest=64)
        kinds = self._kinds(cells["type"])
        back = [i for i, code in enumerate(kinds) if code == _REFUND_CODE] if _REFUND_CODE in kinds else []
        values = self._amounts(cells)
        amounts = _unsigned(values, back)
        # Fee as we pay it: in the negative convention the cell is our money, in the positive one the charge.
        sign = self._sign or -1
        fees = values["fee"] if sign > 0 else list(map(neg, values["fee"]))
        self._check_signs(numbers, fees, back)
        settled = list(map(sub, values["received"], fees))
        if any(values["share"]):
            settled = [net - sign * share for net, share in zip(settled, values["share"], strict=True)]
        rows = len(numbers)
        match_key, request, original, keys = self._references(cells, back)
        self._count(values, back, rows)
        return Batch(
            numbers, kinds, match_key, trade, cells["order_no"], request, original, [b"SUCCESS"] * rows, amounts,
            settled, fees, [b""] * rows, [b"CNY"] * rows, list(map(times.__getitem__, cells["finished"])), payer,
            keys, lambda i: self._extra(columns, i), self.no_backslash,
        )  # fmt: skip

    def _check_numbers(
        self, numbers: Sequence[int], trade: Sequence[bytes], order: Sequence[bytes], request: Sequence[bytes]
    ) -> None:
        try:
            require_digits(trade, AlipayReader.name_of("trade_no"), 10, 32)
        except IrregularError:
            for number, cell in zip(numbers, trade, strict=True):
                if DAMAGED_NUMBER.fullmatch(cell):
                    raise damaged_number(number, number + self.header_lines, cell) from None
            raise
        require_keys(order, AlipayReader.name_of("order_no"))
        require_keys(request, AlipayReader.name_of("request_no"), optional=True)

    def _references(
        self, cells: dict[str, Sequence[bytes]], back: list[int]
    ) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes]]:
        """Matching key, request and original trade number, and row key; the last three differ on refunds only."""
        trade, order, requests = cells["trade_no"], cells["order_no"], cells["request_no"]
        columns = {"order_no": order, "trade_no": trade, "request_no": requests}
        paid, returned = columns[self._payment_key], columns[self._refund_key]
        match_key = [number or fallback for number, fallback in zip(paid, order, strict=True)]
        request, original = [b""] * len(trade), [b""] * len(trade)
        keys = list(trade)
        if any(requests):
            for i in [i for i, cell in enumerate(requests) if cell]:
                keys[i] = b"|".join((trade[i], b"payment", requests[i]))
        for i in back:
            match_key[i] = returned[i] or order[i]
            request[i], original[i] = requests[i], trade[i]
            keys[i] = b"|".join((trade[i], b"refund", requests[i]))
        return match_key, request, original, keys

    def _extra(self, columns: Sequence[Sequence[bytes]], i: int) -> dict[str, str]:
        cells = {name: columns[self._at[name]][i] for name in _EXTRA if name in self._at}
        return {name: cell.decode(self._encoding, "replace").strip() for name, cell in cells.items() if cell.strip()}

    def _kinds(self, cells: Sequence[bytes]) -> bytearray:
        try:
            return bytearray(map(self._types.__getitem__, cells))
        except KeyError:
            raise IrregularError(
                "line.kind",
                _("业务类型 “%(value)s” is neither 交易 nor 退款.")
                % {"value": cells[0].decode(self._encoding, "replace")[:40]},
            ) from None

    def _amounts(self, cells: dict[str, Sequence[bytes]]) -> dict[str, list[int]]:
        values = {name: signed_column(AlipayReader.name_of(name), cells[name]) for name in ("order_amount", "fee")}
        # Equal unless a discount was given.
        whole, received = cells["order_amount"], cells["received"]
        values["received"] = values["order_amount"].copy()
        for i in compress(count(), map(ne, whole, received)):
            values["received"][i] = hundredths(received[i], AlipayReader.name_of("received"), signed=True)
        for name in _AMOUNTS:
            if name not in values:
                column = cells.get(name)
                values[name] = (
                    [0] * len(cells["fee"])
                    if column is None
                    else sparse_amounts(self.name_of(name), column, signed=True)
                )
        return values

    def _check_signs(self, numbers: Sequence[int], fees: list[int], back: list[int]) -> None:
        charged = _turned(fees, back)
        if min(charged) >= 0:
            return
        index = next(i for i, fee in enumerate(charged) if fee < 0)
        raise FormatError(
            "bill.fee_sign_mixed",
            _(
                "Row %(row)s (line %(line)s of the file) has service fee %(fee)s against the sign of the other "
                "rows. Whether fees are charges cannot be told; ask the channel or set the option fee_sign."
            )
            % {
                "row": numbers[index],
                "line": numbers[index] + self.header_lines,
                "fee": show_hundredths((self._sign or -1) * fees[index]),
            },
            {"line_no": numbers[index]},
        )

    def _count(self, values: dict[str, list[int]], back: list[int], rows: int) -> None:
        paid, returned = self._sums[PAYMENT], self._sums[REFUND]
        for name, column in values.items():
            refunded = sum([column[i] for i in back])
            returned[name] += refunded
            paid[name] += sum(column) - refunded
        returned["count"] += len(back)
        paid["count"] += rows - len(back)

    # -- totals -------------------------------------------------------------------------------------------------

    def _prove(self) -> None:
        text = self._footer.decode(self._encoding, "replace")
        paid, returned = _PAID.search(text), _REFUNDED.search(text)
        if paid is None or returned is None:
            raise self.truncated()
        try:
            for kind, match, label in ((PAYMENT, paid, "交易合计"), (REFUND, returned, "退款合计")):
                self._add_totals(kind, match, label)
        except IrregularError as error:
            message = _("In the footer: %(reason)s") % {"reason": error.message}
            raise FormatError("bill.footer_unreadable", message) from error
        for summary in self.summaries:
            self._add_summary(summary)
        self.prove(("交易合计笔数", "退款合计笔数"))

    def _add_totals(self, kind: str, match: re.Match[str], label: str) -> None:
        sums = self._sums[kind]
        count, amount_name, amount, discount_name, discount = match.groups()
        stated = hundredths(amount.encode(), amount_name, signed=True)
        stated_discount = hundredths(discount.encode(), discount_name, signed=True)
        self.totals.add(f"{label}笔数", int(count), sums["count"], unit="count")
        computed, computed_discount = sums["received"], sums["discount"]
        if "商家" not in amount_name:
            # Older footers say only 交易金额 and 优惠金额; which of the columns they sum is not documented.
            computed = sums["order_amount"] if stated == sums["order_amount"] else computed
            both = computed_discount + sums["alipay_discount"]
            computed_discount = both if stated_discount == both else computed_discount
        self.totals.add(f"{label}{amount_name}", stated, computed)
        self.totals.add(f"{label}{discount_name}", stated_discount, computed_discount)

    def _add_summary(self, summary: Source) -> None:
        stated = read_summary(summary, self.expect)
        paid, returned = self._sums[PAYMENT], self._sums[REFUND]
        sums = {name: paid[name] + returned[name] for name in _AMOUNTS}
        sign = self._sign or -1
        computed = dict(ZERO_SUMS) | {
            "交易订单总笔数": paid["count"],
            "退款订单总笔数": returned["count"],
            "订单金额": sums["order_amount"],
            "商家实收": sums["received"],
            "支付宝优惠": sums["alipay_discount"],
            "商家优惠": sums["discount"],
            "卡消费金额": sums["card_amount"],
            "服务费": sums["fee"],
            "分润": sums["share"],
            "实收净额": sums["received"] - sign * (sums["fee"] + sums["share"]),
        }
        for name, value in stated.items():
            self.totals.add(f"汇总{name}", value, computed[name], unit="count" if "笔数" in name else "amount")


def _turned(values: list[int], back: list[int]) -> list[int]:
    """The values with those of refunds negated."""
    if not back:
        return values
    turned = values.copy()
    for i in back:
        turned[i] = -turned[i]
    return turned


def _unsigned(values: dict[str, list[int]], back: list[int]) -> list[int]:
    """Order amounts without sign, once all amounts have the sign of their kind."""
    for name in ("received", "order_amount"):
        unsigned = _turned(values[name], back)
        if min(unsigned) < 0:
            raise IrregularError(
                "line.amount_sign",
                _("Column %(name)s: a payment is positive and a refund negative.")
                % {"name": AlipayReader.name_of(name)},
            )
    return unsigned
