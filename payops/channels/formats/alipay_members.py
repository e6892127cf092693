"""Which file of an Alipay delivery is what: recognised by the title on its first line, never by name (FORMATS 2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.base import FormatError
from payops.channels.formats.columns import mask_digits, show
from payops.channels.formats.container import Limits, Source, unwrap

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A detail and its summary, which come in one archive: the titles of both and what people call them."""

    detail: str
    summary: str
    label: str
    summary_label: str


BUSINESS: Final = Delivery(
    "#支付宝业务明细查询",
    "#支付宝业务汇总查询",
    gettext_lazy("Alipay business detail (业务明细)"),
    gettext_lazy("business summary (业务汇总)"),
)
ACCOUNTING: Final = Delivery(
    "#支付宝账务明细查询",
    "#支付宝账务汇总查询",
    gettext_lazy("Alipay account log (账务明细)"),
    gettext_lazy("account summary (账务汇总)"),
)


def titled(head: bytes, title: str) -> str | None:
    """The encoding in which `head` starts with a title."""
    body = head.removeprefix(_BOM)
    for encoding in ("utf-8", "gb18030"):
        if body.startswith(title.encode(encoding)):
            return encoding
    return None


def pick(source: Source, wanted: Delivery, summary: Source | None, limits: Limits) -> tuple[Source, list[Source]]:
    """The one detail of a delivery and its summaries, beside it or given; FormatError when there is no one detail."""
    details: list[Source] = []
    summaries: list[Source] = unwrap(summary, limits) if summary is not None else []
    others: list[Source] = []
    for member in unwrap(source, limits):
        head = member.head(256)
        if titled(head, wanted.detail):
            details.append(member)
        elif titled(head, wanted.summary):
            summaries.append(member)
        else:
            others.append(member)
    if len(details) != 1:
        raise _no_detail(source, wanted, details, summaries, others)
    return details[0], summaries


def _no_detail(
    source: Source, wanted: Delivery, details: list[Source], summaries: list[Source], others: list[Source]
) -> FormatError:
    context = {"name": source.name}
    if details:
        return FormatError(
            "bill.several_details",
            _("“%(name)s” holds %(count)s files of the kind %(kind)s; load them one by one.")
            % {"name": source.name, "count": len(details), "kind": wanted.label},
            context,
        )
    if summaries:
        return FormatError(
            "bill.summary_only",
            _("“%(name)s” holds only the %(summary)s; load the %(kind)s too.")
            % {"name": source.name, "summary": wanted.summary_label, "kind": wanted.label},
            context,
        )
    other = ACCOUNTING if wanted is BUSINESS else BUSINESS
    for member in others:
        head = member.head(256)
        if titled(head, other.detail) or titled(head, other.summary):
            return FormatError(
                "bill.wrong_format",
                _("“%(name)s” is a %(found)s; load the %(kind)s here.")
                % {"name": source.name, "found": other.label, "kind": wanted.label},
                context,
            )
    start = mask_digits(show(others[0].head(60))) if others else "–"
    return FormatError(
        "bill.not_a_bill",
        _("“%(name)s” holds no %(kind)s; it starts with “%(start)s”. Check what was uploaded.")
        % {"name": source.name, "start": start, "kind": wanted.label},
        context,
    )
