"""Which file of an Alipay delivery is what: recognised by the title on its first line, never by name (FORMATS 2.1)."""

from __future__ import annotations

from typing import Final

from django.utils.translation import gettext as _

from payops.channels.formats.base import FormatError
from payops.channels.formats.columns import mask_digits, show
from payops.channels.formats.container import Source

DETAIL_TITLE: Final = "#支付宝业务明细查询"
SUMMARY_TITLE: Final = "#支付宝业务汇总查询"
ACCOUNT_LOG: Final = "#支付宝账务"
_BOM: Final = b"\xef\xbb\xbf"


def titled(head: bytes, title: str) -> str | None:
    """The encoding in which `head` starts with a title."""
    body = head.removeprefix(_BOM)
    for encoding in ("utf-8", "gb18030"):
        if body.startswith(title.encode(encoding)):
            return encoding
    return None


def no_detail(source: Source, details: list[Source], summaries: list[Source], others: list[Source]) -> FormatError:
    context = {"name": source.name}
    if details:
        return FormatError(
            "bill.several_details",
            _("“%(name)s” holds %(count)s business details; load them one by one.")
            % {"name": source.name, "count": len(details)},
            context,
        )
    if summaries:
        return FormatError(
            "bill.summary_only",
            _("“%(name)s” holds only the summary (业务汇总); load the business detail (业务明细) too.")
            % {"name": source.name},
            context,
        )
    for member in others:
        head = member.head(256)
        if titled(head, ACCOUNT_LOG):
            return FormatError(
                "bill.wrong_format",
                _("“%(name)s” is an Alipay account log (账务明细); load the business detail (业务明细) here.")
                % {"name": source.name},
                context,
            )
    start = mask_digits(show(others[0].head(60))) if others else "–"
    return FormatError(
        "bill.not_a_bill",
        _("“%(name)s” holds no Alipay business detail; it starts with “%(start)s”. Check what was uploaded.")
        % {"name": source.name, "start": start},
        context,
    )
