"""What the report pages share: their filter forms, the range they open with, and the buttons to files."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.chart import dotted
from payops.accounts.models import Subject
from payops.console.cells import link
from payops.console.filters import latest_day
from payops.console.forms import DATE
from payops.console.lists import Button
from payops.core.errors import PayopsError
from payops.core.formatting import local_name

DEFAULT_DAYS = 31
LONGEST_RANGE = 400
"""Days of a report by day; each is one row, read from what its close left behind."""

LEVELS = (
    ("", gettext_lazy("Leaf subjects")),
    ("1", gettext_lazy("Level 1")),
    ("2", gettext_lazy("Level 2")),
    ("3", gettext_lazy("Level 3")),
    ("4", gettext_lazy("Level 4")),
)


class DayLevelForm(forms.Form):
    """Which day, how deep."""

    day = forms.DateField(label=gettext_lazy("Accounting day"), widget=DATE)
    level = forms.ChoiceField(label=gettext_lazy("Subjects"), choices=LEVELS, required=False)
    within = forms.RegexField(
        label=gettext_lazy("Subject begins with"), regex=r"^[0-9.]{1,13}$", required=False, max_length=13
    )


class RangeForm(forms.Form):
    """From one day to another."""

    first = forms.DateField(label=gettext_lazy("From"), widget=DATE)
    last = forms.DateField(label=gettext_lazy("To"), widget=DATE)

    def clean(self) -> dict[str, Any]:
        """The days follow one another and are not too many."""
        data = super().clean() or {}
        first, last = data.get("first"), data.get("last")
        if first and last:
            if last < first:
                self.add_error("last", _("The last day lies before the first one."))
            elif (last - first).days >= LONGEST_RANGE:
                self.add_error("last", _("At most %d days are shown at once.") % LONGEST_RANGE)
        return data


class SubjectRangeForm(RangeForm):
    """A subject over a range of days."""

    field_order = ("subject", "first", "last")
    subject = forms.ModelChoiceField(
        label=gettext_lazy("Subject"),
        queryset=Subject.objects.order_by("code"),
        to_field_name="code",
        empty_label=None,
    )


class AccountRangeForm(RangeForm):
    """An account over a range of days."""

    field_order = ("account", "first", "last")
    account = forms.CharField(label=gettext_lazy("Account number"), max_length=64)


class AccountMomentForm(forms.Form):
    """An account at a moment, in Shanghai time like all times on screen."""

    account = forms.CharField(label=gettext_lazy("Account number"), max_length=64)
    moment = forms.DateTimeField(
        label=gettext_lazy("Date and time"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"),
        input_formats=["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"],
    )


def subject_text(subject: Any) -> str:
    """2202.01 Pending settlement"""
    return f"{dotted(subject.code)} {local_name(subject)}"


def range_data(request: HttpRequest, days: int = DEFAULT_DAYS) -> Any:
    """The query with its range filled in: the last month up to the open day."""
    data = request.GET.copy()
    newest = latest_day()
    data.setdefault("last", newest.isoformat())
    data.setdefault("first", (newest - dt.timedelta(days=days - 1)).isoformat())
    return data


def require_valid(form: forms.Form) -> dict[str, Any]:
    """The cleaned values of an address that carries no form of its own; PayopsError naming what is wrong."""
    if not form.is_valid():
        name, errors = next(iter(form.errors.items()))
        raise PayopsError("reports.parameter", str(errors[0]), {name: form.data.get(name, "")})
    return form.cleaned_data


def file_buttons(request: HttpRequest, report: str, **query: Any) -> list[Button]:
    """The page as CSV and XLSX at once, or made in the background where it may be large."""
    buttons = [
        Button("CSV", link("report_file", report, "csv", **query)),
        Button("XLSX", link("report_file", report, "xlsx", **query)),
    ]
    if request.user.may("reports.export"):
        # Asked for on the page of exports: the pages of the ledger hold no button that sends anything.
        buttons.append(Button(_("In the background"), link("report_list", report=report, **query)))
    return buttons
