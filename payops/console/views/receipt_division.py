"""Dividing a channel's settlement line among the channel days it pays: how it is divided, and proposing otherwise."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from payops.channels.choices import BankLineKind
from payops.channels.models import BankLine
from payops.console import cells
from payops.console.cells import Column, Table, link
from payops.console.shell import action
from payops.console.views.proposals import proposal_page
from payops.core.errors import PayopsError
from payops.core.money import format_amount, parse_amount
from payops.reconciliation.funds.allocation_approval import allocation_propose
from payops.reconciliation.models import ChannelReceipt, ReceiptPart

DAYS_OFFERED: Final = 15
"""Channel days before and after the one a line names that a person may divide it among."""


class DivisionForm(forms.Form):
    """An amount for each channel day, filled with what the line pays now."""

    attributed = forms.TypedChoiceField(
        label=gettext_lazy("Difference from the bills"),
        coerce=lambda value: value == "day",
        choices=[
            ("day", gettext_lazy("Belongs to the day it stands at")),
            ("group", gettext_lazy("Cannot be attributed: belongs to these days together")),
        ],
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)

    def __init__(self, line: BankLine, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.line = line
        now = dict(
            ReceiptPart.objects.filter(allocation__bank_line=line, allocation__is_current=True).values_list(
                "receipt_id", "amount"
            )
        )
        self.days = _days_offered(line, now)
        for receipt in self.days:
            waits = receipt.due - receipt.received
            self.fields[f"day_{receipt.pk}"] = forms.CharField(
                label=receipt.channel_date.isoformat(),
                required=False,
                max_length=24,
                initial=format_amount(now[receipt.pk], line.currency) if receipt.pk in now else "",
                help_text=_("Due %(due)s, still waiting for %(waits)s")
                % {"due": format_amount(receipt.due, line.currency), "waits": format_amount(waits, line.currency)},
            )
        self.order_fields([f"day_{receipt.pk}" for receipt in self.days])

    def clean(self) -> dict[str, Any]:
        """The shares in minor units by receipt; a day left empty has none."""
        cleaned = super().clean() or self.cleaned_data
        shares = {}
        for receipt in self.days:
            text = cleaned.get(f"day_{receipt.pk}") or ""
            if not text.strip():
                continue
            try:
                shares[receipt.pk] = parse_amount(text, self.line.currency)
            except PayopsError as error:
                self.add_error(f"day_{receipt.pk}", str(error))
        cleaned["shares"] = {pk: amount for pk, amount in shares.items() if amount}
        return cleaned


def _days_offered(line: BankLine, now: dict[int, int]) -> list[ChannelReceipt]:
    span = dt.timedelta(days=DAYS_OFFERED)
    near = ChannelReceipt.objects.filter(
        contract=line.contract_id, channel_date__range=(line.channel_date - span, line.channel_date + span)
    )
    receipts = (near | ChannelReceipt.objects.filter(pk__in=list(now))).order_by("channel_date")
    return [receipt for receipt in receipts if receipt.pk in now or receipt.due != receipt.received]


def _state_of(part: ReceiptPart) -> tuple[str, str]:
    if part.allocation.is_current:
        return "active", pgettext("division", "Current")
    return "closed", pgettext("division", "Replaced")


def parts_table(line: BankLine) -> Table:
    """Every way the line was divided, the one that counts first."""
    parts = ReceiptPart.objects.filter(allocation__bank_line=line).select_related("allocation", "receipt")
    rows = [
        [
            cells.count(part.allocation.number),
            cells.date(part.receipt.channel_date, link("receipt", part.receipt_id)),
            cells.money(part.amount, line.currency),
            cells.text(part.allocation.get_kind_display()),
            cells.text(_("By day") if part.allocation.attributed else _("Together")),
            cells.badge(*_state_of(part)),
            cells.text(part.allocation.made_by),
            cells.number(f"#{part.allocation.approval_id}", link("approval", part.allocation.approval_id))
            if part.allocation.approval_id
            else cells.text("–"),
        ]
        for part in parts.order_by("-allocation__number", "receipt__channel_date")
    ]
    columns = [
        Column(_("Division"), "c-amount"),
        Column(_("Channel date")),
        Column(_("Amount"), "c-amount"),
        Column(_("Why")),
        Column(_("Difference")),
        Column(_("State")),
        Column(_("Made by")),
        Column(_("Request")),
    ]
    return Table(columns, rows, title=_("Channel days it pays"))


@action("adjustments.propose", methods=("GET", "POST"))
def bank_line_divide(request: HttpRequest, settlement_line_id: int) -> HttpResponse:
    """Propose which channel days a settlement line pays."""
    kind = BankLineKind.SETTLEMENT
    line = BankLine.objects.select_related("contract").filter(pk=settlement_line_id, kind=kind).first()
    if line is None:
        raise Http404
    return proposal_page(
        request,
        DivisionForm(line, request.POST or None),
        lambda data: allocation_propose(
            bank_line_id=line.pk,
            shares=data["shares"],
            attributed=data["attributed"],
            reason=data["reason"],
            maker=request.user,
        ),
        title=_("Divide among channel days"),
        parent=(line.reference, link("bank_line", line.pk)),
        lead=_("%(channel)s paid %(amount)s. Say which channel days that is for; the amounts must add up to it.")
        % {"channel": line.contract.code, "amount": format_amount(line.amount, line.currency)},
    )


urlpatterns = [
    path("bank-lines/<int:settlement_line_id>/divide/", bank_line_divide, name="bank_line_divide"),
]
