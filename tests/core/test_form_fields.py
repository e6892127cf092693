"""Form fields drawn in Python look exactly as Django's templates draw them."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _

from payops.core.form_fields import QuickRenderer

ODD = "<b>&\"'"
GROUPED = [("", _("All")), (ODD, ODD), ("Group <1>", [(1, 1234567), (True, mark_safe("<i>safe</i>"))])]

WIDGETS: list[tuple[forms.Widget, Any]] = [
    (forms.TextInput(attrs={"maxlength": 64, "required": True, "hidden": False, "title": ODD}), ODD),
    (forms.TextInput(attrs={"placeholder": _("All")}), None),
    (forms.TextInput(), ""),
    (forms.NumberInput(attrs={"min": 0}), 12345),
    (forms.HiddenInput(), 7),
    (forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"), dt.date(2026, 11, 20)),
    (forms.Select(choices=GROUPED), ODD),
    (forms.Select(attrs={"class": "c-wide", "data-fills": ODD}, choices=GROUPED), "1"),
    (forms.Select(choices=[]), None),
    (forms.SelectMultiple(choices=GROUPED), ["1", ODD]),
    (forms.CheckboxInput(), True),
    (forms.Textarea(), ODD),
]


@pytest.mark.parametrize(("widget", "value"), WIDGETS, ids=lambda value: type(value).__name__)
def test_a_widget_looks_as_its_template_draws_it(widget: forms.Widget, value: Any) -> None:
    drawn = widget.render("field", value, {"id": "id_field"}, QuickRenderer())
    assert drawn == widget.render("field", value, {"id": "id_field"}, DjangoTemplates())


def test_what_somebody_typed_into_a_filter_is_escaped() -> None:
    assert "<script>" not in forms.TextInput().render("q", "<script>alert(1)</script>", renderer=QuickRenderer())


def test_an_option_with_a_template_of_its_own_is_not_drawn_as_another() -> None:
    widget = forms.Select(choices=[("a", "A")])
    widget.option_template_name = "django/forms/widgets/radio_option.html"
    with pytest.raises(ValueError, match=r"radio_option\.html is not drawn here"):
        widget.render("field", "a", renderer=QuickRenderer())
