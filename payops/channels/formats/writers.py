"""Bills written exactly as the channels write them, for sample days and tests: the parsers' twin.

Each writer streams its rows and computes footer and summary from what it wrote. Amounts are minor units of CNY; WeChat
rows may name another currency (two decimals are printed whatever the currency, as WeChat does).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final
from zoneinfo import ZoneInfo

from payops.channels.formats.base import PAYMENT, PAYOUT, PREAUTH_COMPLETION, REFUND, VOID
from payops.channels.formats.columns import show_hundredths as money
from payops.channels.formats.unionpay import LAYOUT
from payops.core.money import exponent

_BEIJING: Final = ZoneInfo("Asia/Shanghai")

WECHAT_HEADER: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,应结订单金额,"
    "代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,"
    "申请退款金额,费率备注"
)
WECHAT_FOOTER: Final = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
ALIPAY_HEADER: Final = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,订单金额（元）,"
    "商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,商家红包消费金额（元）,"
    "卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
ALIPAY_SUMMARY_HEADER: Final = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,卡消费金额（元）,"
    "服务费（元）,分润（元）,实收净额（元）"
)


@dataclass(frozen=True, slots=True)
class BillRow:
    """One row to write. `amount` ≥ 0; `discount` is what the channel does not settle (X); `fee` as a payment has it.

    Refunds and voids carry the fee given back as a positive `fee`; the writer turns signs as its format does.
    `order_no` is the payment's order number, on refunds the original's; `request_no` our number of the refund or void.
    """

    kind: str
    order_no: str
    trade_no: str
    amount: int
    fee: int
    occurred_at: datetime
    request_no: str = ""
    original_trade_no: str = ""
    original_at: datetime | None = None
    discount: int = 0
    rate: str = "0.60%"
    payer: str = ""
    status: str = "SUCCESS"
    product: str = ""
    currency: str = "CNY"


def _moment(instant: datetime) -> datetime:
    return instant.astimezone(_BEIJING) if instant.tzinfo else instant


def _clock(instant: datetime) -> str:
    return _moment(instant).strftime("%Y-%m-%d %H:%M:%S")


def write_wechat_all(file: BinaryIO, account: str, rows: Iterable[BillRow]) -> int:
    """A WeChat trade bill of type ALL; returns the number of rows."""
    file.write(b"\xef\xbb\xbf" + WECHAT_HEADER.encode() + b"\r\n")
    sums = {"base": 0, "refund": 0, "fee": 0, "order": 0, "requested": 0}
    count = 0
    for row in rows:
        # Two printed decimals whatever the currency: a yen is printed 1.00.
        scale = 10 ** (2 - exponent(row.currency))
        amount, fee, net = row.amount * scale, row.fee * scale, (row.amount - row.discount) * scale
        head = (
            f"`{_clock(row.occurred_at)},`wx0f0e0d0c0b0a0908,`{account},`0,`,`{row.trade_no},`{row.order_no},"
            f"`{row.payer or 'oPAYOPS'},`JSAPI"
        )
        if row.kind == PAYMENT:
            sums["base"] += net
            sums["order"] += amount
            line = (
                f"{head},`SUCCESS,`OTHERS,`{row.currency},`{money(net)},`0.00,`0,`0,`0.00,`0.00,`,`,`{row.product},`,"
                f"`{money(fee)}000,`{row.rate},`{money(amount)},`0.00,`\r\n"
            )
        else:
            sums["refund"] += net
            sums["requested"] += amount
            fee = -fee
            state = "REFUND" if row.kind == REFUND else "REVOKED"
            # A returned fee of nothing is still printed with its sign.
            returned = f"-{money(-fee)}000"
            line = (
                f"{head},`{state},`OTHERS,`{row.currency},`0.00,`0.00,`5030{row.trade_no[-12:]}{count:013d},"
                f"`{row.request_no or '0'},`{money(net)},`0.00,`ORIGINAL,`{row.status},`{row.product},`,"
                f"`{returned},`{row.rate},`0.00,`{money(amount)},`\r\n"
            )
        sums["fee"] += fee
        count += 1
        file.write(line.encode())
    footer = (
        f"`{count},`{money(sums['base'])},`{money(sums['refund'])},`0.00,`{money(sums['fee'])}000,"
        f"`{money(sums['order'])},`{money(sums['requested'])}\r\n"
    )
    file.write((WECHAT_FOOTER + "\r\n" + footer).encode())
    return count


def write_alipay_zip(path: str | Path, account: str, day: date, rows: Iterable[BillRow]) -> int:
    """An Alipay delivery: zip with summary and detail, names and content in GBK; returns the number of rows."""
    folder = f"{account}_{day:%Y%m%d}"
    detail = io.BytesIO()
    count, summary = write_alipay_detail(detail, account, day, rows)
    # A fixed time, so that the same rows give the same bytes.
    stamp = (*(day + timedelta(days=1)).timetuple()[:3], 7, 31, 46)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (
            (f"{folder}_业务明细(汇总).csv", summary),
            (f"{folder}_业务明细.csv", detail.getvalue()),
        ):
            # zipfile writes non-ASCII names as UTF-8 with its flag; Alipay's are GBK bytes without it.
            info = _GbkInfo(name, stamp)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return count


class _GbkInfo(zipfile.ZipInfo):
    """A member whose name is written as GBK bytes with the UTF-8 flag off, as Windows tools and Alipay do."""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802 - zipfile's own name
        return self.filename.encode("gbk"), self.flag_bits & ~0x800


def _alipay_head(title: str, section: str, account: str, day: date) -> str:
    last = day + timedelta(days=1)
    return (
        f"#支付宝{title}查询\r\n#账号：[{account}]\r\n"
        f"#起始日期：[{day:%Y年%m月%d日} 00:00:00]   终止日期：[{last:%Y年%m月%d日} 00:00:00]\r\n"
        f"#-----------------------------------------{section}----------------------------------------\r\n"
    )


def write_alipay_detail(file: BinaryIO, account: str, day: date, rows: Iterable[BillRow]) -> tuple[int, bytes]:
    """An Alipay business detail in GBK; returns the number of rows and the bytes of its summary."""
    exported = f"#导出时间：[{day + timedelta(days=1):%Y年%m月%d日} 07:31:46]\r\n"
    file.write((_alipay_head("业务明细", "业务明细列表", account, day) + ALIPAY_HEADER + "\r\n").encode("gb18030"))
    counts = {PAYMENT: 0, REFUND: 0}
    sums = {kind: {"order": 0, "received": 0, "discount": 0, "fee": 0} for kind in counts}
    for row in rows:
        if row.kind not in counts or row.currency != "CNY":
            raise ValueError(f"Alipay details have no row of kind {row.kind} in {row.currency}")
        sign = 1 if row.kind == PAYMENT else -1
        figures = {
            "order": sign * row.amount,
            "received": sign * (row.amount - row.discount),
            "discount": sign * row.discount,
            "fee": -sign * row.fee,
        }
        counts[row.kind] += 1
        for name, figure in figures.items():
            sums[row.kind][name] += figure
        created = _clock(row.original_at or row.occurred_at)
        line = (
            f"{row.trade_no}\t,{row.order_no}\t,{'交易' if sign > 0 else '退款'}\t,{row.product},{created},"
            f"{_clock(row.occurred_at)},\t,\t,\t,\t,{row.payer},{money(figures['order'])},{money(figures['received'])},"
            f"0.00,0.00,0.00,{money(figures['discount'])},0.00,,0.00\t,0.00,{row.request_no if sign < 0 else ''}\t,"
            f"{money(figures['fee'])},0.00,\r\n"
        )
        file.write(line.encode("gb18030"))
    paid, returned = sums[PAYMENT], sums[REFUND]
    file.write(
        (
            "#-----------------------------------------业务明细列表结束------------------------------------\r\n"
            f"#交易合计：{counts[PAYMENT]}笔，商家实收共{money(paid['received'])}元，商家优惠共{money(paid['discount'])}元\r\n"
            f"#退款合计：{counts[REFUND]}笔，商家实收退款共{money(returned['received'])}元，"
            f"商家优惠退款共{money(returned['discount'])}元\r\n{exported}"
        ).encode("gb18030")
    )
    both = {name: paid[name] + returned[name] for name in paid}
    total = (
        f"{counts[PAYMENT]},{counts[REFUND]},{money(both['order'])},{money(both['received'])},0.00,"
        f"{money(both['discount'])},0.00,{money(both['fee'])},0.00,{money(both['received'] + both['fee'])}\r\n"
    )
    summary = (
        f"{_alipay_head('业务汇总', '业务汇总列表', account, day)}{ALIPAY_SUMMARY_HEADER}\r\n"
        f"\t,\t,{total}合计\t,\t,{total}"
        f"#----------------------------------------业务汇总列表结束-------------------------------------\r\n{exported}"
    )
    return sum(counts.values()), summary.encode("gb18030")


_UNIONPAY_TYPES: Final = {PAYMENT: "01", PREAUTH_COMPLETION: "03", REFUND: "04", PAYOUT: "12", VOID: "31"}


def unionpay_zm_name(account: str, day: date) -> str:
    """The name UnionPay gives a ZM file."""
    return f"INN{day:%y%m%d}88ZM_{account}"


def write_unionpay_zm(file: BinaryIO, account: str, day: date, rows: Iterable[BillRow]) -> int:
    """A UnionPay ZM file of settlement date `day`; returns the number of rows.

    The channel's file has no place for a discount in what it settles: rows with one are refused.
    """
    count = 0
    for row in rows:
        if row.currency != "CNY" or row.discount:
            raise ValueError("UnionPay merchant files are in CNY and settle amount less fee")
        count += 1
        inward = row.kind in (PAYMENT, PREAUTH_COMPLETION)
        net = _signed((row.amount - row.fee) * (1 if inward else -1))
        instant = _moment(row.occurred_at)
        original_at = _moment(row.original_at).strftime("%m%d%H%M%S") if row.original_at else ""
        fields: Sequence[str] = (
            "S22" if inward else "S30", "48990000", "00010000", f"{count % 1_000_000:06d}",
            instant.strftime("%m%d%H%M%S"), row.payer or "621626*********0018", f"{row.amount:012d}", "5411", "07",
            row.trade_no, "", row.order_no if inward else row.request_no, "01",
            "" if inward else row.original_trade_no[-6:], "" if inward else original_at,
            _signed(-row.fee if inward else row.fee), net, "0001", "", _UNIONPAY_TYPES[row.kind],
            "01" if inward else "00", "000201", "01", "", "", "0", "" if inward else row.original_trade_no, account,
            "", "", "", "", net, "", "", _signed(0), _signed(0), "", "", "1", "" if inward else row.order_no,
        )  # fmt: skip
        line = b" ".join(_field(text, width) for text, width in zip(fields, LAYOUT.widths, strict=True))
        tail = f" {net:<13} 01   {count:012d} {'':67}"
        file.write(line + tail.encode() + b"\r\n")
    return count


def _signed(value: int) -> str:
    return f"{'C' if value > 0 else 'D' if value < 0 else ' '}{abs(value):012d}"


def _field(text: str, width: int) -> bytes:
    cell = text.encode("gb18030")
    if len(cell) > width:
        raise ValueError(f"“{text}” does not fit into {width} bytes")
    return cell.ljust(width)
