"""Parsers of the channels' bill files: pure Python, no models, no database.

`get_format(code).open(source, expectation)` gives a streaming reader; `detect` recognises a format from the first
bytes; `raw_line` shows one line of a kept file.
"""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _

from payops.channels.formats.alipay import AlipayTrade
from payops.channels.formats.base import (
    BILL_COPY_COLUMNS,
    KIND_CODES,
    BadLine,
    ControlTotals,
    Expectation,
    Format,
    FormatError,
    KindSums,
    Line,
    Reader,
    Total,
    row_hash,
)
from payops.channels.formats.container import Limits, Source, unwrap
from payops.channels.formats.unionpay import UnionpayZm
from payops.channels.formats.wechat import WechatTrade

__all__ = [
    "BILL_COPY_COLUMNS",
    "FORMATS",
    "KIND_CODES",
    "BadLine",
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
    "detect_source",
    "get_format",
    "raw_line",
    "row_hash",
    "unwrap",
]

FORMATS: Final[dict[str, Format]] = {fmt.code: fmt for fmt in (WechatTrade(), AlipayTrade(), UnionpayZm())}


def get_format(code: str) -> Format:
    """The format registered under `code`; FormatError 'bill.unknown_format' otherwise."""
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
    for member in unwrap(source):
        found = detect(member.head(), member.name)
        if found is not None:
            return found
    return None


def raw_line(source: Source, expect: Expectation, line_no: int, *, format_code: str = "") -> str:
    """Masked text of the line with this number, unchecked; empty when the file has no such line."""
    fmt = get_format(format_code) if format_code else detect_source(source)
    if fmt is None:
        raise FormatError("bill.not_a_bill", _("“%(name)s” is no known bill.") % {"name": source.name})
    return fmt.raw_line(source, expect, line_no)
