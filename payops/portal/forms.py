"""The portal's filters, checked before a query is made of them."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from django import forms
from django.utils.translation import gettext_lazy as _

from payops.channels.models import Channel
from payops.core.formatting import local_name
from payops.core.ids import FIRST_YEAR, LAST_YEAR
from payops.orders.choices import Kind, Status

MAX_DAYS: Final = 93
DEFAULT_DAYS: Final = 7
EARLIEST: Final = dt.date(FIRST_YEAR + 1, 1, 1)
LATEST: Final = dt.date(LAST_YEAR - 1, 12, 31)


class DayInput(forms.DateInput):
    """The browser's own date picker."""

    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class TransactionFilter(forms.Form):
    """Which transactions to list: a period of accounting days and exact values."""

    first = forms.DateField(label=_("From"), required=False, widget=DayInput(), input_formats=["%Y-%m-%d"])
    last = forms.DateField(label=_("To"), required=False, widget=DayInput(), input_formats=["%Y-%m-%d"])
    kind = forms.TypedChoiceField(label=_("Kind"), required=False, coerce=int, empty_value=None)
    status = forms.ChoiceField(label=_("Status"), required=False)
    channel = forms.ChoiceField(label=_("Channel"), required=False)
    number = forms.CharField(
        label=_("Number"),
        required=False,
        max_length=64,
        widget=forms.TextInput(attrs={"placeholder": _("transaction or order number"), "autocomplete": "off"}),
    )
    before = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, channels: list[Channel], today: dt.date, **kwargs: Any) -> None:
        super().__init__(*args, label_suffix="", **kwargs)
        everything = ("", _("all"))
        self.fields["kind"].choices = [everything, *Kind.choices]
        self.fields["status"].choices = [everything, *Status.choices]
        self.fields["channel"].choices = [everything, *((each.code, channel_name(each)) for each in channels)]
        self.today = today

    def clean_number(self) -> str:
        number = self.cleaned_data["number"].strip()
        if "\x00" in number:
            raise forms.ValidationError(_("This is not a number of a transaction."))
        return number

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if self.errors:
            return data
        last = data.get("last") or max(self.today, data.get("first") or self.today)
        first = data.get("first") or last - dt.timedelta(days=DEFAULT_DAYS - 1)
        if not (EARLIEST <= first <= LATEST and EARLIEST <= last <= LATEST):
            raise forms.ValidationError(_("Choose days between %s and %s.") % (EARLIEST, LATEST))
        if last < first:
            self.add_error("last", _("The last day lies before the first."))
        elif (last - first).days >= MAX_DAYS:
            self.add_error("last", _("Choose at most %d days at a time.") % MAX_DAYS)
        data["first"], data["last"] = first, last
        return data

    def shown(self) -> TransactionFilter:
        """The same filter with the period filled in, for the page."""
        if not self.is_valid():
            return self
        values = {name: self.cleaned_data[name] for name in ("kind", "status", "channel", "number")}
        values |= {"first": self.cleaned_data["first"], "last": self.cleaned_data["last"]}
        fields = self.fields["channel"].choices
        again = type(self)(initial=values, channels=[], today=self.today)
        again.fields["channel"].choices = fields
        return again


def channel_name(channel: Channel) -> str:
    """The channel's name in the reader's language."""
    return local_name(channel)


class PageNumber(forms.Form):
    """Which page of a list that is counted from the start."""

    page = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)
