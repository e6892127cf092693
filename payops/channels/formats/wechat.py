"""WeChat Pay trade bill (FORMATS 1.1): ALL, SUCCESS, REFUND, their legacy headers, and service provider files.

UTF-8, a back-tick before every cell and no quoting: rows are split on ",`" after the first back-tick. Columns are found
by header name. The bill ends with a footer of totals; without it the download was cut.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import sub
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.base import (
    KIND_CODES,
    PAYMENT,
    REFUND,
    VOID,
    Batch,
    BillType,
    Expectation,
    FormatError,
)
from payops.channels.formats.columns import (
    DAMAGED_NUMBER,
    IrregularError,
    amount_column,
    fee_column,
    hundredths,
    mask_cards_in_text,
    mask_tails,
    require_digits,
    require_keys,
    require_rates,
    show,
    sparse_amounts,
    time_table,
)
from payops.channels.formats.container import DEFAULT_LIMITS, Limits, LineStream, Source, unwrap
from payops.channels.formats.divided import Blocks, DivisibleReader
from payops.channels.formats.refusals import damaged_number, not_a_bill, wrong_day
from payops.channels.formats.wechat_answers import refuse_answer
from payops.core.money import CURRENCY_EXPONENTS

_BOM: Final = b"\xef\xbb\xbf"
_FOOTER: Final = "总交易单数".encode()
_MAX_FOOTER: Final = 1 << 16

# Header name → our name. Legacy names stand beside the current ones; a file has one of each pair.
_COLUMNS: Final[dict[str, str]] = {
    "交易时间": "time",
    "商户号": "account",
    "特约商户号": "sub_merchant",
    "子商户号": "sub_merchant",
    "微信订单号": "trade_no",
    "商户订单号": "order_no",
    "用户标识": "payer",
    "交易类型": "trade_type",
    "交易状态": "state",
    "付款银行": "bank",
    "货币种类": "currency",
    "应结订单金额": "base",
    "总金额": "base",
    "代金券金额": "coupon",
    "企业红包金额": "coupon",
    "代金券或立减优惠金额": "coupon",
    "微信退款单号": "refund_no",
    "商户退款单号": "request_no",
    "退款金额": "refund",
    "充值券退款金额": "coupon_refund",
    "企业红包退款金额": "coupon_refund",
    "代金券或立减优惠退款金额": "coupon_refund",
    "退款状态": "refund_state",
    "商品名称": "product",
    "商户数据包": "attach",
    "手续费": "fee",
    "费率": "rate",
    "订单金额": "order_amount",
    "申请退款金额": "requested",
    "费率备注": "rate_note",
}
_NAMES: Final = {ours: name for name, ours in reversed(_COLUMNS.items())}
_REQUIRED: Final = (
    "time", "account", "trade_no", "order_no", "payer", "state", "currency", "base", "fee", "rate",
)  # fmt: skip
_REFUND_COLUMNS: Final = ("refund_no", "request_no", "refund", "refund_state")
_AMOUNTS: Final = ("base", "order_amount", "refund", "requested", "coupon_refund")
_EXTRA: Final = ("sub_merchant", "trade_type", "bank", "coupon", "coupon_refund", "product", "attach", "rate_note")

# Footer name → the column it sums up.
_TOTALS: Final[dict[str, str]] = {
    "应结订单总金额": "base",
    "总交易额": "base",
    "退款总金额": "refund",
    "总退款金额": "refund",
    "充值券退款总金额": "coupon_refund",
    "总企业红包退款金额": "coupon_refund",
    "总代金券或立减优惠退款金额": "coupon_refund",
    "手续费总金额": "fee",
    "订单总金额": "order_amount",
    "申请退款总金额": "requested",
}
_COUNT: Final = "总交易单数"
_STATES: Final = {b"SUCCESS", b"REFUND", b"REVOKED"}
_REFUND_STATES: Final = {b"SUCCESS", b"PROCESSING", b"FAIL", b"CHANGE"}


class WechatTrade:
    """The registry entry of the trade bill."""

    code = "wechat_trade"
    label = gettext_lazy("WeChat Pay trade bill")
    family = "wechat"
    bill_type = BillType.TRADE

    @property
    def reader(self) -> type[WechatReader]:
        """What reads the bill."""
        return WechatReader

    def sniff(self, head: bytes, name: str) -> bool:
        """A first line with the names every variant has."""
        first = head.removeprefix(_BOM).split(b"\n", 1)[0]
        return first.startswith("交易时间,".encode()) and "微信订单号".encode() in first

    def open(self, source: Source, expect: Expectation, *, limits: Limits = DEFAULT_LIMITS) -> WechatReader:
        """A reader over the one bill in `source`."""
        members = unwrap(source, limits)
        if len(members) != 1:
            raise FormatError(
                "bill.wrong_format",
                _("“%(name)s” holds %(count)s files; a WeChat bill is one file. Load it by itself.")
                % {"name": source.name, "count": len(members)},
                {"name": source.name, "count": len(members)},
            )
        return self.reader(members[0], expect)

    def raw_line(self, source: Source, expect: Expectation, line_no: int) -> str:
        """One line by its number, payer and cards masked."""
        reader = self.open(source, expect)
        lines = reader.lines()
        try:
            for number, line in enumerate(iter(lines.line, None)):
                if number == line_no:
                    return reader.show_cells(line.removeprefix(b"`").split(b",`"))
        finally:
            lines.close()
        return ""


class WechatReader(DivisibleReader):
    """One pass over one trade bill."""

    header_lines = 1
    footer_mark = _FOOTER
    """How the first of the footer's two lines starts."""
    footer_name = "手续费总金额"
    """A name only a whole footer has."""
    kind_of_file = gettext_lazy("WeChat trade bill")

    def __init__(self, source: Source, expect: Expectation) -> None:
        super().__init__(expect)
        self.source = source
        self._account = expect.account.encode()
        self._payment_key = expect.key_column("payment_key", "order_no")
        self._refund_key = expect.key_column("refund_key", "request_no")
        self._revoked_kind = KIND_CODES[str(expect.options.get("revoked_kind", VOID))]
        self._at: dict[str, int] = {}
        self._names: list[str] = []
        self._crlf = True
        self._footer = b""
        self._sums = dict.fromkeys((*_AMOUNTS, "fee"), 0)
        self._rows = 0
        self._next = 1
        lines = self.lines()
        try:
            self._read_header(lines)
        finally:
            lines.close()

    def reopen(self) -> WechatReader:
        """A fresh reader over the same bill."""
        return type(self)(self.source, self.expect)

    def lines(self) -> LineStream:
        """The bill's lines from the first byte."""
        return LineStream(self.source.open(), self.source.name)

    # -- header -------------------------------------------------------------------------------------------------

    def _read_header(self, lines: LineStream) -> None:
        first = lines.line()
        if first is None or not first.strip():
            raise FormatError(
                "bill.not_a_bill",
                _("“%(name)s” is empty. A day without business still has a header and a zero footer; fetch it again.")
                % {"name": self.source.name},
                {"name": self.source.name},
            )
        first = first.removeprefix(_BOM)
        if first.lstrip()[:1] in (b"<", b"{"):
            rest = b"".join(line for line, _n in zip(iter(lines.line, None), range(50), strict=False))
            refuse_answer(first + rest, self.source.name, self.kind_of_file)
        try:
            text = first.decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._wrong_encoding(first) from error
        names = [name.strip().removeprefix("`") for name in text.split(",")]
        self.check_header(names)

    def _wrong_encoding(self, first: bytes) -> FormatError:
        if "交易时间".encode("gb18030") in first:
            return FormatError(
                "bill.encoding",
                _("The bill is in GBK, as spreadsheets save it; WeChat delivers UTF-8. Load the file as downloaded."),
            )
        return self.not_a_bill(first)

    def check_header(self, names: list[str]) -> None:
        """Find the columns by their names; refuse another bill's header."""
        if "资金流水单号" in names:
            raise FormatError(
                "bill.wrong_format",
                _("“%(name)s” is a WeChat fund-flow bill (资金账单); load the trade bill (交易账单) here.")
                % {"name": self.source.name},
                {"name": self.source.name},
            )
        known = [_COLUMNS.get(name, "") for name in names]
        if "time" not in known and "trade_no" not in known:
            raise self.not_a_bill(",".join(names).encode())
        missing = [_NAMES[column] for column in _REQUIRED if column not in known]
        refunds = [column for column in _REFUND_COLUMNS if column in known]
        if refunds:
            missing += [_NAMES[column] for column in _REFUND_COLUMNS if column not in known]
        repeated = [_NAMES[column] for column in set(known) - {""} if known.count(column) > 1]
        if missing or repeated:
            raise FormatError(
                "bill.unknown_header",
                _(
                    "The header on line 1 is not one of the trade bill's: missing %(missing)s, repeated %(repeated)s. "
                    "Cross-border bills are another format."
                )
                % {"missing": "、".join(missing) or "–", "repeated": "、".join(repeated) or "–"},
                {"missing": missing, "repeated": repeated, "header": names},
            )
        self._names = names
        self._at = {column: index for index, column in enumerate(known) if column}

    def not_a_bill(self, first: bytes) -> FormatError:
        """The first line is of no bill read here."""
        return not_a_bill(self.source.name, self.kind_of_file, first)

    # -- rows ---------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """Rows up to the footer, then the proof of the totals."""
        yield from self.spread()
        self._read_footer(self._footer)

    def row_blocks(self) -> Blocks:
        """Everything between header and footer; leaves the footer in `_footer`."""
        lines, mark = self.lines(), self.footer_mark
        try:
            lines.line()
            blocks = lines.blocks()
            for block in blocks:
                at = 0 if block.startswith(mark) else block.find(b"\n" + mark) + 1
                if at or block.startswith(mark):
                    yield block[:at], True
                    self._footer = _bounded(block[at:], blocks)
                    return
                yield block, False
            raise self._truncated()
        finally:
            lines.close()

    def divides(self, block: bytes, following: bytes) -> bool:
        """Merchant text may break a row over two blocks; what then follows has no back-tick."""
        return block.startswith(b"`") and (not following or following.startswith(b"`"))

    def own_figures(self) -> dict[str, Any]:
        """What the footer states."""
        return {"rows": self._rows, "sums": self._sums}

    def add_own_figures(self, figures: dict[str, Any]) -> None:
        """Rows and sums of other blocks."""
        self._rows += figures["rows"]
        for name, value in figures["sums"].items():
            self._sums[name] += value

    def rows_of(self, block: bytes, *, last: bool) -> Iterator[Batch]:
        """The good rows of one block; what its last line begins waits for the next block unless it is the last."""
        if self._carry:
            block, self._carry = self._carry + block, b""
        if not block:
            return
        start = self._next
        end = b"\r\n" if block.endswith(b"\r\n") else b"\n"
        width = len(self._names)
        if block.startswith(b"`") and block.endswith(b"\n"):
            rows = [row.split(b",`") for row in block[1 : -len(end)].split(end + b"`")]
            # As many line ends as rows: no row hides another one, none spans two lines.
            if set(map(len, rows)) == {width} and block.count(b"\n") == len(rows):
                self._next = start + len(rows)
                columns = list(zip(*rows, strict=True))
                # A block's row lists are fewer than what starts a garbage collection, if they are let go first.
                del rows
                yield from self.convert_all(range(start, self._next), columns)
                return
        yield from self._odd_rows(block, start, last=last)

    def _odd_rows(self, block: bytes, start: int, *, last: bool) -> Iterator[Batch]:
        """The careful way through a block: mixed line ends, blank lines, line breaks in merchant text, damage."""
        width = len(self._names)
        physical = block.split(b"\n")
        if physical[-1] == b"":
            physical.pop()
        numbers: list[int] = []
        rows: list[list[bytes]] = []
        index = 0
        while index < len(physical):
            first = index
            record = physical[index].rstrip(b"\r")
            index += 1
            cells = record.removeprefix(b"`").split(b",`")
            # Only merchant text can break a row, and what follows the break has no back-tick of its own.
            while record.startswith(b"`") and len(cells) < width and index - first < 20:
                if index == len(physical) and not last:
                    self._carry = b"\n".join(physical[first:]) + b"\n"
                    break
                if index == len(physical) or physical[index].startswith(b"`"):
                    break
                record += b"\n" + physical[index].rstrip(b"\r")
                cells = record.removeprefix(b"`").split(b",`")
                index += 1
            if self._carry:
                index = first
                break
            if not record:
                continue
            if len(cells) == width and record.startswith(b"`"):
                numbers.append(start + first)
                rows.append(cells)
            else:
                self.add_bad_line(start + first, self.show_cells(cells), _wrong_cells(record, len(cells), width))
        self._next = start + index
        if rows:
            yield from self.convert_all(numbers, list(zip(*rows, strict=True)))

    def convert(self, numbers: Sequence[int], columns: list[Sequence[bytes]]) -> Batch:
        """One block of cells, column by column."""
        at = self._at
        count = len(numbers)
        cells = {name: columns[index] for name, index in at.items()}
        if set(cells["account"]) != {self._account}:
            self.refuse_other(numbers, cells["account"], self._account, "bill.wrong_account")
        trade, order = cells["trade_no"], cells["order_no"]
        self._refuse_damaged(numbers, trade)
        require_digits(trade, _NAMES["trade_no"], 10, 32)
        require_keys(order, _NAMES["order_no"])
        require_keys(cells["payer"], _NAMES["payer"], optional=True)
        require_rates(cells["rate"], _NAMES["rate"])
        times, stray = time_table(cells["time"], _NAMES["time"], self.expect.channel_date)
        if stray is not None:
            self._refuse_day(numbers, cells["time"], stray)
        values, fees = self._amounts(cells)
        _require_currencies(cells["currency"])
        batch = Batch(
            numbers=numbers,
            kind=bytearray([KIND_CODES[PAYMENT]]) * count,
            match_key=trade if self._payment_key == "trade_no" else order,
            trade_no=trade,
            order_no=order,
            request_no=[b""] * count,
            original_trade_no=[b""] * count,
            status=[b"SUCCESS"] * count,
            amount=values.get("order_amount", values["base"]),
            settled=list(map(sub, values["base"], fees)),
            fee=fees,
            rate=cells["rate"],
            currency=cells["currency"],
            occurred_at=list(map(times.__getitem__, cells["time"])),
            payer=mask_tails(cells["payer"]),
            key=list(trade),
            extra_of=lambda i: {name: show(cells[name][i]) for name in _EXTRA if name in cells and cells[name][i]},
        )
        odd = [i for i, state in enumerate(cells["state"]) if state != b"SUCCESS"]
        if odd:
            self._take_back(odd, cells, values, batch)
        self._to_currency(batch)
        self._rows += count
        for name, column in values.items():
            self._sums[name] += sum(column)
        self._sums["fee"] += sum(fees)
        return batch

    @staticmethod
    def _amounts(cells: dict[str, Sequence[bytes]]) -> tuple[dict[str, list[int]], list[int]]:
        values: dict[str, list[int]] = {"base": amount_column(_NAMES["base"], cells["base"])}
        if "order_amount" in cells:
            # Equal unless a coupon was used, which whole blocks often show none of.
            same = cells["order_amount"] == cells["base"]
            values["order_amount"] = (
                values["base"] if same else amount_column(_NAMES["order_amount"], cells["order_amount"])
            )
        for name in ("refund", "requested", "coupon_refund"):
            if name in cells:
                values[name] = sparse_amounts(_NAMES[name], cells[name])
        return values, fee_column(_NAMES["fee"], cells["fee"])

    def _take_back(
        self, rows: list[int], cells: dict[str, Sequence[bytes]], values: dict[str, list[int]], batch: Batch
    ) -> None:
        """Turn the rows of a block that are refunds or revocations from payments into what they are."""
        states = [cells["state"][i] for i in rows]
        unknown = set(states) - _STATES
        if unknown or "refund" not in cells:
            state = unknown.pop() if unknown else states[0]
            raise IrregularError(
                "line.kind", _("交易状态 “%(value)s” is not known in this kind of bill.") % {"value": show(state)}
            )
        refund_states = [cells["refund_state"][i] for i in rows]
        for state in set(refund_states) - _REFUND_STATES:
            raise IrregularError("line.status", _("退款状态 “%(value)s” is not known.") % {"value": show(state)})
        refund_nos = [cells["refund_no"][i] for i in rows]
        requests = [b"" if cell == b"0" else cell for cell in (cells["request_no"][i] for i in rows)]
        require_keys(refund_nos, _NAMES["refund_no"], optional=True)
        # A revocation has no request of its own; a refund always has.
        required = [number for number, state in zip(requests, states, strict=True) if state == b"REFUND" or number]
        if required:
            require_keys(required, _NAMES["request_no"])
        batch.amount, batch.match_key = list(batch.amount), list(batch.match_key)
        refunded = values["refund"]
        requested = values.get("requested", refunded)
        kinds = {b"REFUND": KIND_CODES[REFUND], b"REVOKED": self._revoked_kind}
        trade, order = batch.trade_no, batch.order_no
        for n, i in enumerate(rows):
            batch.kind[i] = kinds[states[n]]
            # 申请退款金额 is what the payer was promised; legacy bills only have what left the settlement.
            batch.amount[i] = requested[i] or refunded[i]
            batch.settled[i] = -refunded[i] - batch.fee[i]
            batch.status[i] = refund_states[n]
            batch.request_no[i] = requests[n]
            batch.original_trade_no[i] = trade[i]
            batch.key[i] = b"|".join((trade[i], states[n], refund_nos[n]))
            if self._refund_key == "request_no":
                batch.match_key[i] = requests[n] or order[i]
            else:
                batch.match_key[i] = trade[i] if self._refund_key == "trade_no" else order[i]

    def _to_currency(self, batch: Batch) -> None:
        """Bills print two decimals whatever the currency: 100.00 yen are 100 minor units."""
        if all(CURRENCY_EXPONENTS[code.decode()] == 2 for code in set(batch.currency)):
            return
        # Copies: the totals still need what is printed.
        batch.amount, batch.settled, batch.fee = list(batch.amount), list(batch.settled), list(batch.fee)
        for column in (batch.amount, batch.settled, batch.fee):
            for i, code in enumerate(batch.currency):
                exponent = CURRENCY_EXPONENTS[code.decode()]
                scaled = column[i] * 10**exponent
                if scaled % 100:
                    raise IrregularError(
                        "line.amount_decimals",
                        _("Row has more decimals than its currency %(currency)s allows.") % {"currency": show(code)},
                    )
                column[i] = scaled // 100

    def _refuse_damaged(self, numbers: Sequence[int], trade: Sequence[bytes]) -> None:
        if b"E" not in b"".join(trade):
            return
        for i, cell in enumerate(trade):
            if DAMAGED_NUMBER.fullmatch(cell):
                raise damaged_number(numbers[i], numbers[i] + self.header_lines, cell)

    def _refuse_day(self, numbers: Sequence[int], cells: Sequence[bytes], stray: bytes) -> None:
        index = cells.index(stray)
        raise wrong_day(numbers[index], numbers[index] + self.header_lines, stray, self.expect)

    def show_cells(self, cells: Sequence[bytes]) -> str:
        """The row as the file has it, the payer and card numbers masked."""
        shown = list(cells)
        at = self._at.get("payer")
        if at is not None and at < len(shown):
            shown[at] = mask_tails([shown[at]])[0]
        text = b",".join(b"`" + cell for cell in shown).decode("utf-8", "replace")
        return mask_cards_in_text(text, self.expect.account)

    # -- footer -------------------------------------------------------------------------------------------------

    def _read_footer(self, text: bytes) -> None:
        lines = [line.strip() for line in text.split(b"\n")]
        while lines and not lines[-1]:
            lines.pop()
        if len(lines) < 2 or not lines[1].startswith(b"`"):
            raise self._truncated()
        if len(lines) > 2:
            raise FormatError(
                "bill.after_footer",
                _("Line %(line)s stands after the footer: “%(text)s”. Two bills in one file? Load each by itself.")
                % {"line": self._next + self.header_lines + 2, "text": show(lines[2])},
                {"line": self._next + self.header_lines + 2},
            )
        names = lines[0].decode("utf-8", "replace").split(",")
        values = lines[1].removeprefix(b"`").split(b",`")
        if len(names) != len(values) or self.footer_name not in names:
            raise self._truncated()
        self.compare(dict(zip((name.strip() for name in names), values, strict=True)))

    def compare(self, stated: dict[str, bytes]) -> None:
        """The footer's figures beside the same figures of the rows."""
        try:
            count = hundredths(stated.pop(_COUNT), _COUNT, signed=False)
            self.totals.add(_COUNT, count // 100, self._rows, unit="count")
            for name, cell in stated.items():
                column = _TOTALS.get(name)
                if column is not None:
                    self.totals.add(name, hundredths(cell, name, signed=True), self._sums[column])
        except IrregularError as error:
            message = _("In the footer: %(reason)s") % {"reason": error.message}
            raise FormatError("bill.footer_unreadable", message) from error
        self.prove((_COUNT,))

    def _truncated(self) -> FormatError:
        return FormatError(
            "bill.truncated",
            _(
                "The bill ends after row %(row)s without its footer (总交易单数 …): the download was cut. "
                "Fetch it again from the channel."
            )
            % {"row": self._next - 1},
            {"line_no": self._next - 1, "rows": self._rows},
        )


def _bounded(text: bytes, blocks: Iterator[bytes]) -> bytes:
    for block in blocks:
        text += block
        if len(text) > _MAX_FOOTER:
            break
    return text


def _wrong_cells(record: bytes, found: int, width: int) -> IrregularError:
    if not record.startswith(b"`"):
        return IrregularError("line.start", _("The line does not start with a back-tick, as every row does."))
    return IrregularError(
        "line.cells",
        _("The line has %(found)s cells instead of %(width)s.") % {"found": found, "width": width},
    )


def _require_currencies(cells: Sequence[bytes]) -> None:
    for code in set(cells):
        if code.decode("latin-1") not in CURRENCY_EXPONENTS:
            raise IrregularError("line.currency", _("Currency “%(value)s” is not known.") % {"value": show(code)})
