"""The form of a mapped format: what people write in, and the mapping it means."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.channels.formats.generic_spec import FIELDS, SpecError, spec_of
from payops.channels.mapping import notation
from payops.channels.mapping.models import CODE
from payops.console.forms import DATE

LABELS = notation.LABELS
SAMPLE_LIMIT: Final = 5 << 20
"""Bytes a sample may have: it is read while somebody waits."""
COLUMN: Final = "column_"
COLUMN_FIELDS: Final = tuple(name for name in FIELDS if name != "kind")


def _choices(*pairs: tuple[str, Any]) -> list[tuple[str, Any]]:
    return list(pairs)


def _rules(name: str, rows: int, hint: Any, *, required: bool = False) -> forms.CharField:
    return forms.CharField(
        label=LABELS[name], required=required, max_length=8000, help_text=hint,
        widget=forms.Textarea(attrs={"rows": rows, "spellcheck": "false"}),
    )  # fmt: skip


def _one_of(name: str) -> forms.ChoiceField:
    return forms.ChoiceField(label=LABELS[name], choices=_choices(*notation.CHOICES[name].items()))


class MappingForm(forms.Form):
    """One version of a mapping, the sample it is tried on, and the reason for it."""

    code = forms.CharField(label=gettext_lazy("Code"), max_length=16, validators=[CODE])
    name = forms.CharField(label=gettext_lazy("Name"), max_length=60)
    layout = _one_of("layout")
    encoding = _one_of("encoding")
    delimiter = forms.ChoiceField(
        label=LABELS["delimiter"],
        choices=_choices((",", ","), ("tab", "TAB"), ("|", "|"), (";", ";"), ("^", "^"), ("~", "~"), ("#", "#")),
    )
    quote = forms.ChoiceField(
        label=LABELS["quote"], required=False, choices=_choices(('"', '"'), ("'", "'"), ("", gettext_lazy("None")))
    )
    trim = forms.CharField(
        label=LABELS["trim"], required=False, max_length=10, help_text=gettext_lazy("Besides blanks, for example `")
    )
    sheet = forms.CharField(
        label=LABELS["sheet"], required=False, max_length=31, help_text=gettext_lazy("Of a workbook; empty: the first.")
    )
    skip_lines = forms.IntegerField(label=LABELS["skip_lines"], min_value=0, max_value=100)
    header = forms.ChoiceField(
        label=LABELS["header"],
        choices=_choices(
            ("names", gettext_lazy("A line names the columns")), ("numbers", gettext_lazy("Columns by number"))
        ),
        help_text=gettext_lazy("Fixed width has none: its columns are bytes, such as 1-20."),
    )
    footer_mark = forms.CharField(
        label=LABELS["footer_mark"],
        required=False,
        max_length=60,
        help_text=gettext_lazy("A file without its footer was cut and is rejected."),
    )
    kinds = _rules(
        "kinds",
        5,
        gettext_lazy(
            "One a line: “column = word: kind”, “negative: kind”, “positive: kind”, “otherwise: kind”. Kinds: payment, "
            "refund, void, reversal, payout, dispute, fee, adjustment, transfer, preauth_completion, refund_return, "
            "ignore."
        ),
        required=True,
    )
    words = _rules("words", 3, gettext_lazy("One a line: “status: S = SUCCESS”, “currency: 156 = CNY”."))
    time_pattern = forms.CharField(
        label=LABELS["time_pattern"], max_length=60, help_text=gettext_lazy("YYYY MM DD hh mm ss, Beijing time")
    )
    row_days = forms.IntegerField(
        label=LABELS["row_days"],
        min_value=0,
        max_value=7,
        help_text=gettext_lazy("How many days before the channel date a row may lie."),
    )
    unit = _one_of("unit")
    decimal = forms.ChoiceField(label=LABELS["decimal"], choices=_choices((".", "."), (",", ",")))
    thousands = forms.ChoiceField(
        label=LABELS["thousands"],
        required=False,
        choices=_choices(
            ("", gettext_lazy("None")), (",", ","), (".", "."), ("'", "'"), ("blank", gettext_lazy("blank"))
        ),
    )
    sign = _one_of("sign")
    fee_sign = _one_of("fee_sign")
    settled = _one_of("settled")
    settled_sign = _one_of("settled_sign")
    totals = _rules(
        "totals",
        3,
        gettext_lazy(
            "One a line: “footer 1 2: count” is line 1, cell 2 of the footer. Also header; count, rows, amount, fee, "
            "settled, credit, debit, or of one kind: refund.amount."
        ),
    )
    sample = forms.FileField(label=gettext_lazy("Sample file"), required=False, max_length=200)
    sample_day = forms.DateField(label=gettext_lazy("Channel date of the sample"), widget=DATE, required=False)
    sample_account = forms.CharField(
        label=LABELS["account"],
        required=False,
        max_length=40,
        help_text=gettext_lazy("Needed when a column holds it."),
    )
    reason = forms.CharField(
        label=gettext_lazy("Reason"), required=False, widget=forms.Textarea(attrs={"rows": 2}), max_length=2000
    )
    kept_sample = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in COLUMN_FIELDS:
            self.fields[COLUMN + name] = forms.CharField(label=LABELS[name], required=False, max_length=300)
        self.fields[COLUMN + "occurred_at"].help_text = gettext_lazy("Two columns: date + time")
        self.fields[COLUMN + "currency"].help_text = gettext_lazy("=CNY when it is always the same")
        self.spec: dict[str, Any] = {}

    def clean(self) -> dict[str, Any]:
        """The mapping the form means in `spec`; every problem stands at its field."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        try:
            self.spec = self._meant(cleaned)
            spec_of(self.spec)
        except SpecError as error:
            for name, problem in error.problems.items():
                self.add_error(self._field_of(name), problem)
        return cleaned

    def _field_of(self, name: str) -> str | None:
        if name in ("settled", "kind"):
            return COLUMN + "settled" if name == "settled" else "kinds"
        return next((field for field in (name, COLUMN + name) if field in self.fields), None)

    def _meant(self, cleaned: dict[str, Any]) -> dict[str, Any]:
        places = {name: cleaned[COLUMN + name].strip() for name in COLUMN_FIELDS}
        plain = (
            "layout", "encoding", "quote", "trim", "sheet", "skip_lines", "footer_mark", "time_pattern", "row_days",
            "unit", "decimal", "sign", "fee_sign", "settled", "settled_sign",
        )  # fmt: skip
        return {
            **{name: cleaned[name] for name in plain},
            "delimiter": "\t" if cleaned["delimiter"] == "tab" else cleaned["delimiter"],
            "thousands": " " if cleaned["thousands"] == "blank" else cleaned["thousands"],
            "header": cleaned["header"] == "names" and cleaned["layout"] != "fixed",
            "fields": {name: notation.place_of(text) for name, text in places.items() if text},
            "kinds": notation.kinds_of(cleaned["kinds"]),
            "words": notation.words_of(cleaned["words"]),
            "totals": notation.totals_of(cleaned["totals"]),
        }

    @property
    def sections(self) -> list[tuple[Any, list[Any]]]:
        """The fields in the groups they are filled in."""
        groups = [
            (
                _("File"),
                ["code", "name", "layout", "encoding", "delimiter", "quote", "trim", "sheet", "skip_lines", "header",
                 "footer_mark"],
            ),
            (_("Where each field stands"), [COLUMN + name for name in COLUMN_FIELDS]),
            (
                _("How it is read"),
                ["kinds", "words", "time_pattern", "row_days", "unit", "decimal", "thousands", "sign", "fee_sign",
                 "settled", "settled_sign", "totals"],
            ),
            (_("Sample and reason"), ["sample", "sample_day", "sample_account", "reason"]),
        ]  # fmt: skip
        return [(title, [self[name] for name in names]) for title, names in groups]


def initial_of(spec: dict[str, Any]) -> dict[str, Any]:
    """What the form shows of a mapping."""
    written = {"kinds": notation.kinds_text, "words": notation.words_text, "totals": notation.totals_text}
    initial = {name: written[name](value) if name in written else value for name, value in spec.items()}
    initial["delimiter"] = "tab" if spec["delimiter"] == "\t" else spec["delimiter"]
    initial["thousands"] = "blank" if spec["thousands"] == " " else spec["thousands"]
    initial["header"] = "names" if spec["header"] or spec["layout"] == "fixed" else "numbers"
    for name, place in initial.pop("fields").items():
        initial[COLUMN + name] = notation.place_text(place)
    return initial
