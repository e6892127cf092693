"""Parsers of the channels' bill files: pure Python, no models, no database.

`get_format(code).open(source, expectation)` gives a streaming reader; `detect` recognises a format from the first
bytes; `raw_line` shows one line of a kept file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.utils.translation import gettext as _

from payops.channels.formats.alipay import AlipayTrade
from payops.channels.formats.alipay_account import AlipayAccount
from payops.channels.formats.base import (
    BILL_COPY_COLUMNS,
    KIND_CODES,
    BadLine,
    BillType,
    ControlTotals,
    Expectation,
    Format,
    FormatError,
    KindSums,
    Line,
    Reader,
    Total,
)
from payops.channels.formats.container import Limits, Source, unwrap
from payops.channels.formats.copy_columns import row_hash
from payops.channels.formats.unionpay import UnionpayZm
from payops.channels.formats.unionpay_acom import UnionpayAcoma, UnionpayAcomn
from payops.channels.formats.unionpay_aerr import UnionpayAerr
from payops.channels.formats.unionpay_alfee import UnionpayAlfee
from payops.channels.formats.unionpay_zme import UnionpayZme
from payops.channels.formats.wechat import WechatTrade
from payops.channels.formats.wechat_fundflow import WechatFundflow

__all__ = [
    "BILL_COPY_COLUMNS",
    "FORMATS",
    "KIND_CODES",
    "BadLine",
    "BillType",
    "ControlTotals",
    "Expectation",
    "Format",
    "FormatError",
    "KindSums",
    "Limits",
    "Line",
    "Reader",
    "Source",
    "Total",
    "detect",
    "detect_all",
    "detect_source",
    "get_format",
    "raw_line",
    "register_family",
    "row_hash",
    "unwrap",
]

FORMATS: Final[dict[str, Format]] = {
    fmt.code: fmt
    for fmt in (
        WechatTrade(),
        WechatFundflow(),
        AlipayTrade(),
        AlipayAccount(),
        UnionpayZm(),
        UnionpayZme(),
        UnionpayAcomn(),
        UnionpayAcoma(),
        UnionpayAerr(),
        UnionpayAlfee(),
    )
}
"""In the order in which they are asked; those of one family may come from one contract."""


_families: dict[str, Callable[[str], Format]] = {}


def register_family(prefix: str, find: Callable[[str], Format]) -> None:
    """`find(code)` gives the formats whose codes start with `prefix`, which are made while the program runs."""
    _families[prefix] = find


def get_format(code: str) -> Format:
    """The format registered under `code`; FormatError 'bill.unknown_format' otherwise."""
    for prefix, find in _families.items():
        if code.startswith(prefix):
            return find(code)
    try:
        return FORMATS[code]
    except KeyError:
        raise FormatError(
            "bill.unknown_format",
            _("Bill format “%(code)s” is not known. Use one of: %(known)s.")
            % {"code": code, "known": ", ".join(sorted(FORMATS))},
            {"code": code},
        ) from None


def detect(head: bytes, name: str = "") -> Format | None:
    """The format of unpacked bytes that start with `head`, None when none recognises them."""
    return next((fmt for fmt in FORMATS.values() if fmt.sniff(head, name)), None)


def detect_source(source: Source) -> Format | None:
    """The format of the bill inside a source, through its packing."""
    return next(iter(detect_all(source)), None)


def detect_all(source: Source) -> list[Format]:
    """The formats of all files inside a source, each once, in the order of the registry."""
    found = {fmt.code for member in unwrap(source) if (fmt := detect(member.head(), member.name)) is not None}
    return [fmt for code, fmt in FORMATS.items() if code in found]


def raw_line(source: Source, expect: Expectation, line_no: int, *, format_code: str = "") -> str:
    """Masked text of the line with this number, unchecked; empty when the file has no such line."""
    fmt = get_format(format_code) if format_code else detect_source(source)
    if fmt is None:
        raise FormatError("bill.not_a_bill", _("“%(name)s” is no known bill.") % {"name": source.name})
    return fmt.raw_line(source, expect, line_no)
