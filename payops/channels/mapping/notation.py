"""A mapping as people write it: one short line per rule, and back again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from payops.channels.formats.generic_spec import FIELDS, SpecError

JOIN: Final = " + "
_TOTAL: Final = re.compile(r"(header|footer)\s+([0-9]{1,3})\s+([0-9]{1,3})\s*:\s*([a-z_.]+)")
_SIGNS: Final = {"negative": True, "positive": False}

LABELS: Final[dict[str, Any]] = {
    "trade_no": gettext_lazy("Channel trade number"),
    "order_no": gettext_lazy("Order number"),
    "request_no": gettext_lazy("Refund request number"),
    "original_trade_no": gettext_lazy("Original trade number"),
    "kind": gettext_lazy("Kind"),
    "status": gettext_lazy("Status"),
    "occurred_at": gettext_lazy("Time"),
    "amount": gettext_lazy("Amount"),
    "credit": pgettext_lazy("mapped format", "Money in"),
    "debit": pgettext_lazy("mapped format", "Money out"),
    "fee": gettext_lazy("Fee"),
    "settled": gettext_lazy("Settled amount"),
    "rate": gettext_lazy("Rate"),
    "currency": gettext_lazy("Currency"),
    "payer": gettext_lazy("Payer"),
    "account": gettext_lazy("Our number at the channel"),
    "layout": gettext_lazy("Layout"),
    "encoding": gettext_lazy("Encoding"),
    "delimiter": gettext_lazy("Delimiter"),
    "quote": gettext_lazy("Quotes"),
    "trim": gettext_lazy("Characters around cells"),
    "sheet": gettext_lazy("Worksheet"),
    "skip_lines": gettext_lazy("Lines to skip"),
    "header": gettext_lazy("Column names"),
    "footer_mark": gettext_lazy("Footer begins with"),
    "kinds": gettext_lazy("Kinds, first that holds"),
    "words": gettext_lazy("Words of the file"),
    "time_pattern": gettext_lazy("Time pattern"),
    "unit": gettext_lazy("Unit of amounts"),
    "decimal": gettext_lazy("Decimal mark"),
    "thousands": gettext_lazy("Thousands mark"),
    "sign": gettext_lazy("Sign of amounts"),
    "fee_sign": gettext_lazy("Sign of fees"),
    "settled_sign": gettext_lazy("Sign of settled amounts"),
    "row_days": gettext_lazy("Days before"),
    "totals": gettext_lazy("Control totals"),
}
"""What each part of a mapping is called. `settled` names a column and how the amount is found."""

CHOICES: Final[dict[str, dict[str, Any]]] = {
    "layout": {
        "delimited": gettext_lazy("Delimited text"),
        "fixed": gettext_lazy("Fixed width"),
        "xlsx": gettext_lazy("Workbook (XLSX)"),
    },
    "encoding": {"utf-8": "UTF-8", "gb18030": "GBK (GB18030)"},
    "unit": {"major": gettext_lazy("Major units (1,234.50)"), "minor": gettext_lazy("Minor units (123450)")},
    "sign": {
        "unsigned": gettext_lazy("None: the kind tells"),
        "signed": gettext_lazy("Below zero is money out"),
        "sides": gettext_lazy("A column for each direction"),
    },
    "fee_sign": {
        "we_pay": gettext_lazy("Above zero we pay"),
        "we_get": gettext_lazy("Below zero we pay"),
        "by_kind": gettext_lazy("None: the kind tells"),
    },
    "settled": {
        "less_fee": gettext_lazy("Amount less fee"),
        "gross": gettext_lazy("The amount; the fee is billed"),
        "column": gettext_lazy("A column of its own"),
    },
    "settled_sign": {
        "signed": gettext_lazy("Below zero is money out"),
        "unsigned": gettext_lazy("None: the kind tells"),
    },
}
"""What the values of a part are called, where people do not write the value itself."""

FIGURE_LABELS: Final[dict[str, Any]] = {
    "count": gettext_lazy("Lines"),
    "rows": gettext_lazy("Rows"),
    **{name: LABELS[name] for name in ("amount", "fee", "settled", "credit", "debit")},
}
"""What the figures are called that a mapped file states of all its lines."""


def place_of(text: str) -> dict[str, Any]:
    """`name`, `one + other` or `=value` as a place."""
    if text.startswith("="):
        return {"constant": text[1:].strip()}
    return {"columns": [column.strip() for column in text.split(JOIN)]}


def place_text(place: Mapping[str, Any]) -> str:
    """A place as `place_of` reads it."""
    return f"={place['constant']}" if "constant" in place else JOIN.join(place.get("columns", []))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def kinds_of(text: str) -> list[dict[str, Any]]:
    """`column = word: kind`, `negative: kind`, `positive: kind` and `otherwise: kind`, one a line."""
    rules = []
    for line in _lines(text):
        condition, colon, kind = line.rpartition(":")
        condition, kind = condition.strip(), kind.strip()
        column, equals, value = condition.partition("=")
        if condition in _SIGNS:
            rules.append({"negative": _SIGNS[condition], "kind": kind})
        elif condition == "otherwise":
            rules.append({"kind": kind})
        elif colon and equals and column.strip():
            rules.append({"column": column.strip(), "value": value.strip(), "kind": kind})
        else:
            raise SpecError({"kinds": _("“%(line)s” is no rule; write “column = word: kind”.") % {"line": line[:60]}})
    return rules


def kinds_text(rules: list[dict[str, Any]]) -> str:
    """Rules as `kinds_of` reads them."""
    lines = []
    for rule in rules:
        if rule.get("column"):
            condition = f"{rule['column']} = {rule.get('value', '')}"
        elif rule.get("negative") is None:
            condition = "otherwise"
        else:
            condition = "negative" if rule["negative"] else "positive"
        lines.append(f"{condition}: {rule['kind']}")
    return "\n".join(lines)


def words_of(text: str) -> dict[str, dict[str, str]]:
    """`status: word = meaning`, one a line."""
    words: dict[str, dict[str, str]] = {}
    for line in _lines(text):
        name, colon, rest = line.partition(":")
        word, equals, meaning = rest.rpartition("=")
        if not colon or not equals or not word.strip():
            raise SpecError(
                {"words": _("“%(line)s” gives no meaning; write “status: word = meaning”.") % {"line": line[:60]}}
            )
        words.setdefault(name.strip(), {})[word.strip()] = meaning.strip()
    return words


def words_text(words: Mapping[str, Mapping[str, str]]) -> str:
    """Words as `words_of` reads them."""
    return "\n".join(f"{name}: {word} = {meaning}" for name, table in words.items() for word, meaning in table.items())


def totals_of(text: str) -> list[dict[str, Any]]:
    """`footer 1 2: count`: place, line and cell of a figure, one a line."""
    totals = []
    for line in _lines(text):
        match = _TOTAL.fullmatch(line)
        if match is None:
            raise SpecError({"totals": _("“%(line)s” is no figure; write “footer 1 2: count”.") % {"line": line[:60]}})
        totals.append({"place": match[1], "line": int(match[2]), "cell": int(match[3]), "figure": match[4]})
    return totals


def totals_text(totals: list[dict[str, Any]]) -> str:
    """Figures as `totals_of` reads them."""
    return "\n".join(f"{total['place']} {total['line']} {total['cell']}: {total['figure']}" for total in totals)


def shown(spec: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """Label and text of every part of a mapping that says something, for people to read."""
    fields = spec.get("fields", {})
    rows = [(LABELS[name], place_text(fields[name])) for name in FIELDS if name in fields]
    written = {"kinds": kinds_text, "words": words_text, "totals": totals_text}
    for name, value in spec.items():
        if name == "fields" or name == "settled" or value in ("", None, [], {}):
            continue
        text = written[name](value) if name in written else _plain(name, value)
        rows.append((LABELS[name], text))
    return rows


def _plain(name: str, value: Any) -> str:
    if name == "header":
        return _("a line names them") if value else _("by number or position")
    words = CHOICES.get(name, {"\t": "TAB", " ": _("blank")})
    return str(words.get(str(value), value))
