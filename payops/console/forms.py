"""Forms of the console: uploads, proposals, decisions. They check shape; rules stand in the services."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from payops.channels.models import ChannelContract
from payops.discrepancies.choices import ActionKind

SUGGESTIONS = "console:account_suggest"
DATE = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class AccountInput(forms.TextInput):
    """An account's number, with accounts to choose from while one writes (static/js/console.js)."""

    def render(self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None) -> SafeString:
        choices = f"{name}-choices"
        more = {"list": choices, "autocomplete": "off", "data-account": "", "data-suggest": reverse(SUGGESTIONS)}
        return format_html(
            '{}<datalist id="{}"></datalist>', super().render(name, value, {**(attrs or {}), **more}, renderer), choices
        )


class OrdersUploadForm(forms.Form):
    """A file of the payment core."""

    file = forms.FileField(label=_("File"), max_length=200)


class ReceiptsUploadForm(forms.Form):
    """A file of bank receipts."""

    file = forms.FileField(label=_("File"), max_length=200)


class BillUploadForm(forms.Form):
    """A bill of one channel and day."""

    contract = forms.ModelChoiceField(
        label=_("Channel"), queryset=ChannelContract.objects.none(), to_field_name="code", empty_label=None
    )
    channel_date = forms.DateField(label=_("Channel date"), widget=DATE)
    file = forms.FileField(label=_("File"), max_length=200)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["contract"].queryset = ChannelContract.objects.filter(active=True).order_by("code")


class ReasonForm(forms.Form):
    """Why."""

    note = forms.CharField(label=_("Reason"), widget=forms.Textarea(attrs={"rows": 3}), max_length=2000)


class NoteForm(forms.Form):
    """A remark that may be left out."""

    note = forms.CharField(label=_("Note"), required=False, widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)


class DayForm(forms.Form):
    """A day."""

    day = forms.DateField(label=_("Day"), widget=DATE)


class ProposeForm(forms.Form):
    """What to do about a case or many; which details are needed depends on the action."""

    kind = forms.ChoiceField(
        label=_("Action"), choices=ActionKind.choices, widget=forms.Select(attrs={"data-action-kind": ""})
    )
    merchant_no = forms.CharField(label=_("Merchant number"), required=False, max_length=40)
    match_key = forms.CharField(
        label=_("Refund request number"), required=False, max_length=32, help_text=_("Made from the case if left out.")
    )
    days = forms.IntegerField(label=_("Days to wait"), required=False, min_value=1, max_value=30)
    note = forms.CharField(label=_("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)
    fingerprint = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    NEEDED_BY = {
        "merchant_no": "supplement refund_payer recover",
        "match_key": "refund_payer",
        "days": "wait",
    }
    """Which actions need a detail; the others hide it."""

    def __init__(self, *args: Any, kinds: list[ActionKind] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if kinds is not None:
            self.fields["kind"].choices = [(kind.value, kind.label) for kind in kinds]

    def rows(self) -> list[tuple[forms.BoundField, str]]:
        """The visible fields, each with the actions that need it; empty for those every action has."""
        return [(field, self.NEEDED_BY.get(field.name, "")) for field in self.visible_fields()]

    def params(self) -> dict[str, Any]:
        """What was filled in and belongs to the action chosen."""
        kind = self.cleaned_data["kind"]
        return {
            name: self.cleaned_data[name]
            for name, kinds in self.NEEDED_BY.items()
            if kind in kinds.split() and self.cleaned_data.get(name)
        }
