"""Template filters for amounts, days and record numbers: `{% load payops_format %}`."""

from __future__ import annotations

import datetime as dt

from django import template

from payops.core import formatting, retelling

register = template.Library()


@register.filter(is_safe=True)
def money(minor: int | None, currency: str = "CNY") -> str:
    """`{{ order.amount|money:order.currency }}` → 1,234.50."""
    return formatting.money(minor, currency)


@register.filter(is_safe=True)
def datecode(value: int | dt.date | None) -> str:
    """The day of a day-coded id, or a date, as 2026-11-20."""
    if isinstance(value, dt.date):
        return formatting.date_text(value)
    return formatting.id_day_text(value)


@register.filter
def retold(text: str | None) -> str:
    """`{{ event.note|retold }}`: a sentence the program wrote down, in the reader's language."""
    return retelling.retold(text)


@register.filter(is_safe=True)
def unlocalized(id: int | None) -> str:
    """`{{ line.id|unlocalized }}` → 261120000000001000, without group separators."""
    return formatting.unlocalized_id(id)
