"""Alipay business detail and its summary (FORMATS 2.1–2.3).

Detail rows between `#` lines, usually GBK, identifiers followed by a TAB before the comma, no quoting. Cells are cut on
bytes: no GBK character contains a comma, a TAB or a line end, so decoding waits until a cell is kept. Refund rows are
negative. The service-fee sign is not documented: it is inferred per file from the payment rows, mixtures are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from itertools import compress, count
from operator import ne, neg, sub
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.alipay_members import DETAIL_TITLE, SUMMARY_TITLE, no_detail, titled
from payops.channels.formats.alipay_summary import ZERO_SUMS, read_summary
from payops.channels.formats.base import (
    KIND_CODES,
    PAYMENT,
    REFUND,
    Batch,
    Expectation,
    FormatError,
    Reader,
)
from payops.channels.formats.columns import (
    DAMAGED_NUMBER,
    Grid,
    IrregularError,
    hundredths,
    mask_cards_in_text,
    require_digits,
    require_keys,
    require_text,
    show_hundredths,
    signed_column,
    sparse_amounts,
    time_table,
)
from payops.channels.formats.container import DEFAULT_LIMITS, Limits, LineStream, Source, unwrap
from payops.channels.formats.refusals import damaged_number, wrong_day

_REFUND_CODE: Final = KIND_CODES[REFUND]
_END: Final = "业务明细列表结束"
_MAX_FOOTER: Final = 1 << 16
_MAX_HEADER_LINES: Final = 30

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

_ACCOUNT: Final = re.compile(r"#账号：\[([0-9]+)\]")
_PERIOD: Final = re.compile(r"#起始日期：\[(.+?)\]\s*终止日期：\[(.+?)\]")
_TIME: Final = re.compile(r"(\d{4})年(\d{2})月(\d{2})日 00:00:00")
_PAID: Final = re.compile(r"#交易合计：(\d+)笔，(商家实收|交易金额)共(-?[\d.]+)元，(商家优惠|优惠金额)共(-?[\d.]+)元")
_REFUNDED: Final = re.compile(
    r"#退款合计：(\d+)笔，(商家实收退款|交易退款金额|退款金额)共(-?[\d.]+)元，(商家优惠退款|优惠退款金额|优惠金额)共(-?[\d.]+)元"
)


class AlipayTrade:
    """The registry entry of the business detail."""

    code = "alipay_trade"
    label = gettext_lazy("Alipay business detail")

    def sniff(self, head: bytes, name: str) -> bool:
        """The title line, in either encoding."""
        return titled(head, DETAIL_TITLE) is not None

    def open(
        self, source: Source, expect: Expectation, *, summary: Source | None = None, limits: Limits = DEFAULT_LIMITS
    ) -> AlipayReader:
        """A reader over the detail in `source`; a summary, beside it in the zip or given, is checked against it."""
        details: list[Source] = []
        summaries: list[Source] = unwrap(summary, limits) if summary is not None else []
        others: list[Source] = []
        for member in unwrap(source, limits):
            head = member.head(256)
            if titled(head, DETAIL_TITLE):
                details.append(member)
            elif titled(head, SUMMARY_TITLE):
                summaries.append(member)
            else:
                others.append(member)
        if len(details) != 1:
            raise no_detail(source, details, summaries, others)
        return AlipayReader(details[0], expect, summaries)

    def raw_line(self, source: Source, expect: Expectation, line_no: int) -> str:
        """One line by its number, cards masked (Alipay masks payers itself)."""
        reader = self.open(source, expect)
        lines = reader.lines()
        try:
            for number, line in enumerate(iter(lines.line, None), start=1 - reader.header_lines):
                if number == line_no:
                    return reader.show_cells([line])
        finally:
            lines.close()
        return ""


class AlipayReader(Reader):
    """One pass over one business detail."""

    def __init__(self, source: Source, expect: Expectation, summaries: Sequence[Source] = ()) -> None:
        super().__init__(expect)
        self.source = source
        self.summaries = list(summaries)
        self._payment_key = expect.key_column("payment_key", "order_no")
        self._refund_key = expect.key_column("refund_key", "request_no")
        self._at: dict[str, int] = {}
        self._width = 0
        self._repair: re.Pattern[bytes] | None = None
        self._sums = {kind: dict.fromkeys((*_AMOUNTS, "count"), 0) for kind in (PAYMENT, REFUND)}
        self._next = 1
        self._sign: int | None = None
        lines = self.lines()
        try:
            self._read_header(lines)
        finally:
            lines.close()
        self._types = {
            kind.encode(self._encoding): KIND_CODES[ours] for kind, ours in (("交易", PAYMENT), ("退款", REFUND))
        }

    def reopen(self) -> AlipayReader:
        """A fresh reader over the same bill."""
        return AlipayReader(self.source, self.expect, self.summaries)

    def lines(self) -> LineStream:
        """The bill's lines from the first byte."""
        return LineStream(self.source.open(), self.source.name)

    # -- header -------------------------------------------------------------------------------------------------

    def _read_header(self, lines: LineStream) -> None:
        first = lines.line() or b""
        self._encoding = titled(first, DETAIL_TITLE) or "gb18030"
        account = period = None
        for number in range(2, _MAX_HEADER_LINES):
            line = lines.line()
            if line is None:
                raise self._truncated()
            if line.startswith(b"#"):
                text = line.decode(self._encoding, "replace").rstrip(",\t ")
                account = account or _ACCOUNT.match(text)
                period = period or _PERIOD.match(text)
                continue
            self.header_lines = number
            self._check_columns(line)
            self._check_account(account[1] if account else "")
            self._check_period(period.groups() if period else ("", ""))
            return
        raise self._truncated()

    def _check_columns(self, line: bytes) -> None:
        names = [
            re.sub(r"[（(]元[）)]$", "", name.strip()) for name in line.decode(self._encoding, "replace").split(",")
        ]
        known = [_COLUMNS.get(name, "") for name in names]
        missing = [_name_of(column) for column in _REQUIRED if column not in known]
        repeated = [_name_of(column) for column in set(known) - {""} if known.count(column) > 1]
        if missing or repeated:
            raise FormatError(
                "bill.unknown_header",
                _(
                    "The column header on line %(line)s is not the business detail's: missing %(missing)s, "
                    "repeated %(repeated)s."
                )
                % {
                    "line": self.header_lines,
                    "missing": "、".join(missing) or "–",
                    "repeated": "、".join(repeated) or "–",
                },
                {"missing": missing, "repeated": repeated, "header": names},
            )
        self._at = {column: index for index, column in enumerate(known) if column}
        self._width = len(names)
        self._repair = _repair_pattern(known)

    def _check_account(self, found: str) -> None:
        # The file has the 16-digit account with 0156 behind it; contracts may hold either.
        expected = self.expect.account
        if found != expected and found != expected + "0156":
            raise FormatError(
                "bill.wrong_account",
                _(
                    "The file is of Alipay account %(found)s, but this contract is %(expected)s. "
                    "Load the file for the contract it belongs to."
                )
                % {"found": found or "–", "expected": expected},
                {"found": found, "expected": expected},
            )

    def _check_period(self, period: tuple[str, ...]) -> None:
        days = []
        for text in period:
            match = _TIME.fullmatch(text.strip())
            try:
                days.append(date(*map(int, match.groups())) if match else None)
            except ValueError:
                days.append(None)
        day = self.expect.channel_date
        if days != [day, day + timedelta(days=1)]:
            raise FormatError(
                "bill.wrong_date",
                _("The file covers %(start)s to %(end)s, but was loaded for %(day)s. Load it for its own day.")
                % {"start": period[0] or "–", "end": period[1] or "–", "day": day.isoformat()},
                {"found": list(period), "expected": day.isoformat()},
            )

    # -- rows ---------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """Rows up to the end of the list, then the proof of the totals."""
        self._sign = self._fee_sign()
        for numbers, columns in self._tables():
            yield from self.convert_all(numbers, columns)
        self._prove()

    def _fee_sign(self) -> int:
        """−1 when fees we pay are negative (as documented), +1 when positive; the first charged payment says."""
        option = str(self.expect.options.get("fee_sign", "infer"))
        if option in ("negative", "positive"):
            return -1 if option == "negative" else 1
        scout = self.reopen()
        payment = "交易".encode(self._encoding)
        try:
            for _numbers, columns in scout._tables():
                types, fees = columns[self._at["type"]], columns[self._at["fee"]]
                for kind, fee in zip(types, fees, strict=True):
                    if kind.strip() == payment and fee.strip(b" -0.\t"):
                        return -1 if fee.strip().startswith(b"-") else 1
        except FormatError:
            # Whatever is wrong, the reading pass meets it at the same place and names it.
            return -1
        return -1

    def _tables(self) -> Iterator[tuple[Sequence[int], Sequence[Sequence[bytes]]]]:
        """Row numbers and columns of raw cells, block by block; leaves the footer in `_footer`."""
        end = _END.encode(self._encoding)
        lines = self.lines()
        try:
            for _n in range(self.header_lines):
                lines.line()
            blocks = lines.blocks()
            for block in blocks:
                found = block.find(end)
                at = block.rfind(b"\n", 0, found) + 1 if found >= 0 else -1
                if at >= 0 and block.startswith(b"#", at):
                    yield from self._block_tables(block[:at])
                    self._footer = _bounded(block[at:], blocks)
                    return
                yield from self._block_tables(block)
            raise self._truncated()
        finally:
            lines.close()

    def _block_tables(self, block: bytes) -> Iterator[tuple[Sequence[int], Sequence[Sequence[bytes]]]]:
        if not block:
            return
        start = self._next
        ending = b"\r\n" if block.endswith(b"\r\n") else b"\n"
        grid = self._grid(block, ending)
        if grid is not None:
            self._next = start + len(grid[0])
            yield range(start, self._next), grid
            return
        text = block.replace(b"\t,", b",").replace(b"\t" + ending, ending)
        if not text.strip():
            self._next = start + text.count(b"\n")
            return
        numbers: list[int] = []
        rows = []
        for number, line in enumerate(text.removesuffix(b"\n").split(b"\n"), start=start):
            self._next = number + 1
            cells = self._cells(number, line.rstrip(b"\r"))
            if cells is not None:
                numbers.append(number)
                rows.append(cells)
        if rows:
            yield numbers, list(zip(*rows, strict=True))

    def _grid(self, block: bytes, ending: bytes) -> Grid | None:
        """The cells of a block all of whose rows are as they should be, None when one is not."""
        text = block.translate(None, b"\t")
        tabs = len(block) - len(text) - block.count(b"\t,")
        if tabs and tabs != block.count(b"\t" + ending):
            return None
        # Line ends become cells of their own: where each stands then proves the width of every row at once.
        step = self._width + 1
        cells = text.replace(ending, b",\n,").split(b",")
        rows = len(cells) // step
        if len(cells) != rows * step + 1 or cells.pop() or text.count(b"\n") != rows:
            return None
        if (ending == b"\n" and b"\r" in text) or cells[self._width :: step].count(b"\n") != rows:
            return None
        return Grid(cells, self._width, step)

    def _cells(self, number: int, line: bytes) -> Sequence[bytes] | None:
        """The cells of a line that came with the wrong number of commas: one repair, else it is set aside."""
        if not line.strip():
            return None
        cells: Sequence[bytes] = line.split(b",")
        if len(cells) == self._width:
            return cells
        if len(cells) > self._width and self._repair is not None:
            # Free text takes as little as possible, then as much as possible; only one reading may exist.
            repaired = self._repair.fullmatch(line)
            if repaired is not None and self._only_reading(repaired, line):
                return repaired.groups()
        self.add_bad_line(
            number,
            self.show_cells([line]),
            IrregularError(
                "line.cells",
                _("The line has %(found)s cells instead of %(width)s: a comma or a line break inside merchant text.")
                % {"found": len(cells), "width": self._width},
            ),
        )
        return None

    def _only_reading(self, repaired: re.Match[bytes], line: bytes) -> bool:
        pattern = self._repair.pattern if self._repair is not None else b""
        greedy = re.compile(pattern.replace(b".*?", b".*"), re.DOTALL).fullmatch(line)
        return greedy is not None and greedy.groups() == repaired.groups()

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
        times, stray = time_table(cells["finished"], _name_of("finished"), self.expect.channel_date)
        if stray is not None:
            index = cells["finished"].index(stray)
            raise wrong_day(numbers[index], numbers[index] + self.header_lines, stray, self.expect)
        payer = require_text(cells["payer"], _name_of("payer"), self._encoding, longest=64)
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
            keys, lambda i: self._extra(columns, i),
        )  # fmt: skip

    def _check_numbers(
        self, numbers: Sequence[int], trade: Sequence[bytes], order: Sequence[bytes], request: Sequence[bytes]
    ) -> None:
        if b"E" in b"".join(trade):
            for number, cell in zip(numbers, trade, strict=True):
                if DAMAGED_NUMBER.fullmatch(cell):
                    raise damaged_number(number, number + self.header_lines, cell)
        require_digits(trade, _name_of("trade_no"), 10, 32)
        require_keys(order, _name_of("order_no"))
        require_keys(request, _name_of("request_no"), optional=True)

    def _references(
        self, cells: dict[str, Sequence[bytes]], back: list[int]
    ) -> tuple[list[bytes], list[bytes], list[bytes], list[bytes]]:
        """Matching key, request and original trade number, and row key; the last three differ on refunds only."""
        trade, order, requests = cells["trade_no"], cells["order_no"], cells["request_no"]
        columns = {"order_no": order, "trade_no": trade, "request_no": requests}
        paid, returned = columns[self._payment_key], columns[self._refund_key]
        match_key = [number or fallback for number, fallback in zip(paid, order, strict=True)]
        request, original = [b""] * len(trade), [b""] * len(trade)
        keys = [number + b"|payment|" for number in trade]
        if any(requests):
            for i in [i for i, cell in enumerate(requests) if cell]:
                keys[i] += requests[i]
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
        values = {name: signed_column(_name_of(name), cells[name]) for name in ("order_amount", "fee")}
        # Equal unless a discount was given.
        whole, received = cells["order_amount"], cells["received"]
        values["received"] = values["order_amount"].copy()
        for i in compress(count(), map(ne, whole, received)):
            values["received"][i] = hundredths(received[i], _name_of("received"), signed=True)
        for name in _AMOUNTS:
            if name not in values:
                column = cells.get(name)
                values[name] = (
                    [0] * len(cells["fee"]) if column is None else sparse_amounts(_name_of(name), column, signed=True)
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

    def show_cells(self, cells: Sequence[bytes]) -> str:
        """The row as the file has it, card numbers masked."""
        text = b",".join(cells).decode(self._encoding, "replace")
        return mask_cards_in_text(text, self.expect.account)

    # -- totals -------------------------------------------------------------------------------------------------

    def _prove(self) -> None:
        text = self._footer.decode(self._encoding, "replace")
        paid, returned = _PAID.search(text), _REFUNDED.search(text)
        if paid is None or returned is None:
            raise self._truncated()
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

    def _truncated(self) -> FormatError:
        return FormatError(
            "bill.truncated",
            _(
                "The bill ends after row %(row)s without its end (业务明细列表结束, 交易合计, 退款合计): "
                "the file was cut. Fetch it again from the channel."
            )
            % {"row": self._next - 1},
            {"line_no": self._next - 1},
        )


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
                _("Column %(name)s: a payment is positive and a refund negative.") % {"name": _name_of(name)},
            )
    return unsigned


def _name_of(column: str) -> str:
    return next(name for name, ours in _COLUMNS.items() if ours == column)


def _bounded(text: bytes, blocks: Iterator[bytes]) -> bytes:
    for block in blocks:
        text += block
        if len(text) > _MAX_FOOTER:
            raise FormatError(
                "bill.after_footer",
                _("Far too much text follows the end of the list. Two bills in one file? Load each by itself."),
            )
    return text


def _repair_pattern(columns: list[str]) -> re.Pattern[bytes] | None:
    """A row whose free text may hold commas, anchored on its times and amounts; needs the usual columns."""
    if not {"created", "finished", "order_amount"} <= set(columns):
        return None
    parts = []
    for column in columns:
        if column in _FREE_TEXT:
            parts.append(rb"(.*?)")
        elif column in ("created", "finished"):
            parts.append(rb"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})")
        elif column in _ALL_AMOUNTS:
            parts.append(rb"(-?[0-9]{1,15}\.[0-9]{2})")
        else:
            parts.append(rb"([^,]*)")
    return re.compile(b",".join(parts), re.DOTALL)
