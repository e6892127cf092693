"""Alipay summaries, read for their control figures; the business one has a row per shop and a total (FORMATS 2.3)."""

from __future__ import annotations

import re
from typing import Final

from django.utils.translation import gettext as _

from payops.channels.formats.alipay_members import BUSINESS
from payops.channels.formats.base import Expectation, FormatError
from payops.channels.formats.columns import IrregularError, hundredths
from payops.channels.formats.container import Source

_MAX_BYTES: Final = 16 << 20
_COUNTS: Final = ("交易订单总笔数", "退款订单总笔数")
_AMOUNTS: Final = (
    "订单金额", "商家实收", "支付宝优惠", "商家优惠", "卡消费金额", "服务费", "分润", "实收净额",
)  # fmt: skip
ZERO_SUMS: Final[dict[str, int]] = dict.fromkeys((*_COUNTS, *_AMOUNTS), 0)


def read_summary(source: Source, expect: Expectation) -> dict[str, int]:
    """Counts and minor-unit amounts of the 合计 row by column; FormatError when cut or of another account or day."""
    names, rows = summary_rows(source, expect, BUSINESS.summary, "业务汇总列表结束")
    if not rows[-1][0].strip().startswith("合计"):
        raise unreadable(source.name, _("its total row (合计) or its end is missing"))
    return _figures(dict(zip(names, rows[-1], strict=True)), source.name)


def summary_rows(source: Source, expect: Expectation, title: str, end: str) -> tuple[list[str], list[list[str]]]:
    """Column names without their unit and the rows of a summary, once it is whole and of this account and day."""
    with source.open() as stream:
        data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise unreadable(source.name, _("it is too large"))
    data = data.removeprefix(b"\xef\xbb\xbf")
    encoding = "utf-8" if data.startswith(title.encode()) else "gb18030"
    text = data.decode(encoding, "replace")
    account = re.search(r"#账号：\[([0-9]+)\]", text)
    if account is None or account[1] not in (expect.account, expect.account + "0156"):
        raise FormatError(
            "bill.wrong_account",
            _("The summary “%(name)s” is of account %(found)s, but this contract is %(expected)s.")
            % {"name": source.name, "found": account[1] if account else "–", "expected": expect.account},
        )
    if f"[{expect.channel_date:%Y年%m月%d日} 00:00:00]" not in text.split("终止日期")[0]:
        raise FormatError(
            "bill.wrong_date",
            _("The summary “%(name)s” is not of %(day)s.")
            % {"name": source.name, "day": expect.channel_date.isoformat()},
        )
    rows = [line.split(",") for line in text.splitlines() if line and not line.startswith("#")]
    if end not in text or len(rows) < 2:
        raise unreadable(source.name, _("its total row (合计) or its end is missing"))
    names = [re.sub(r"[（(][+-]?元[）)]$", "", name.strip()) for name in rows[0]]
    if len(names) != len(rows[-1]):
        raise unreadable(source.name, _("its total row does not fit its header"))
    return names, rows[1:]


def _figures(cells: dict[str, str], name: str) -> dict[str, int]:
    result: dict[str, int] = {}
    try:
        for column in (*_COUNTS, *_AMOUNTS):
            if column in cells:
                value = hundredths(cells[column].strip().encode(), column, signed=True)
                result[column] = value // 100 if column in _COUNTS else value
    except IrregularError as error:
        raise unreadable(name, error.message) from error
    if not result:
        raise unreadable(name, _("it has none of the known columns"))
    return result


def unreadable(name: str, reason: str) -> FormatError:
    """A summary that cannot be compared with its detail."""
    return FormatError(
        "bill.summary_unreadable",
        _("The summary “%(name)s” cannot be used: %(reason)s. Fetch it again from the channel.")
        % {"name": name, "reason": reason},
        {"name": name},
    )
