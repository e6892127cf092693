"""What a mapping says: where each field of a line stands in a channel's file and how its words are to be read.

A mapping is JSON, made in the console and decided by two people; `spec_of` checks it whole and gives every problem by
the field it belongs to. `docs/mapping.md` explains each part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.channels.formats.base import (
    FEE,
    KIND_CODES,
    PAYMENT,
    PAYOUT,
    PREAUTH_COMPLETION,
    REFUND,
    REFUND_RETURN,
    VOID,
)
from payops.core.errors import PayopsError

DELIMITED: Final = "delimited"
FIXED: Final = "fixed"
XLSX: Final = "xlsx"
LAYOUTS: Final = (DELIMITED, FIXED, XLSX)
ENCODINGS: Final = ("utf-8", "gb18030")
"""GBK and GB2312 are parts of gb18030. In both a line end is never a part of another character."""

FIELDS: Final = (
    "trade_no", "order_no", "request_no", "original_trade_no", "kind", "status", "occurred_at", "amount", "credit",
    "debit", "fee", "settled", "rate", "currency", "payer", "account",
)  # fmt: skip
IGNORE: Final = "ignore"
"""The kind of a row that moves no money: it is counted and is no line."""
DIRECTIONS: Final[dict[str, int]] = {
    PAYMENT: 1, REFUND: -1, VOID: -1, PAYOUT: -1, FEE: -1, PREAUTH_COMPLETION: 1, REFUND_RETURN: 1,
}  # fmt: skip
"""Which way money goes for us; kinds not named here go either way, and the file's sign tells."""

FIGURES: Final = ("count", "amount", "fee", "settled", "credit", "debit", "rows")
"""What a control total may be about, of all lines or of one kind (`refund.amount`): columns are added up as they are
printed; credit and debit are what came and went; `rows` counts ignored rows as well."""
UNSIGNED, SIGNED, SIDES = "unsigned", "signed", "sides"
GROSS, LESS_FEE, COLUMN = "gross", "less_fee", "column"
WE_PAY, WE_GET, BY_KIND = "we_pay", "we_get", "by_kind"

_MAX_SKIP: Final = 100
_MAX_RULES: Final = 100
_RANGE: Final = re.compile(r"([1-9][0-9]{0,4})-([1-9][0-9]{0,4})")
_TOKEN: Final = re.compile(r"YYYY|MM|DD|hh|mm|ss")
_TOKENS: Final = {
    "YYYY": r"(?P<year>[0-9]{4})", "MM": r"(?P<month>[0-9]{2})", "DD": r"(?P<day>[0-9]{2})",
    "hh": r"(?P<hour>[0-9]{2})", "mm": r"(?P<minute>[0-9]{2})", "ss": r"(?P<second>[0-9]{2})",
}  # fmt: skip


class SpecError(PayopsError):
    """A mapping that says something impossible; `problems` has a sentence per field ('mapping.invalid')."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__(
            "mapping.invalid",
            " ".join(f"{name}: {problem}" for name, problem in problems.items()),
            {"problems": dict(problems)},
        )
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Place:
    """Columns by name or number, or bytes first-last, joined with a blank; or a value that is the same everywhere."""

    columns: tuple[str, ...] = ()
    constant: str | None = None


@dataclass(frozen=True, slots=True)
class KindRule:
    """One rule of the order in which kinds are tried: a word in a column, a sign, or neither, which always holds."""

    kind: str
    column: str = ""
    value: str = ""
    negative: bool | None = None


@dataclass(frozen=True, slots=True)
class StatedTotal:
    """A figure the file states: in the n-th line and cell before the rows (`header`) or from the footer on."""

    figure: str
    place: str
    line: int
    cell: int


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked mapping."""

    layout: str
    encoding: str
    delimiter: str
    quote: str
    trim: str
    sheet: str
    skip_lines: int
    header: bool
    footer_mark: str
    places: Mapping[str, Place]
    kinds: tuple[KindRule, ...]
    words: Mapping[str, Mapping[str, str]]
    time: re.Pattern[str]
    unit: str
    decimal: str
    thousands: str
    sign: str
    fee_sign: str
    settled: str
    settled_sign: str
    row_days: int
    totals: tuple[StatedTotal, ...]
    columns: tuple[str, ...] = field(default=())
    """Every column the rows are read from, each once, in the order of the fields."""


DEFAULTS: Final[dict[str, Any]] = {
    "layout": DELIMITED,
    "encoding": "utf-8",
    "delimiter": ",",
    "quote": '"',
    "trim": "",
    "sheet": "",
    "skip_lines": 0,
    "header": True,
    "footer_mark": "",
    "fields": {},
    "kinds": [],
    "words": {},
    "time_pattern": "YYYY-MM-DD hh:mm:ss",
    "unit": "major",
    "decimal": ".",
    "thousands": "",
    "sign": UNSIGNED,
    "fee_sign": WE_PAY,
    "settled": LESS_FEE,
    "settled_sign": SIGNED,
    "row_days": 0,
    "totals": [],
}
"""A mapping's keys and what stands for those left out."""


def spec_of(data: Mapping[str, Any]) -> Spec:
    """The checked mapping; SpecError with a sentence for every field that is wrong."""
    unknown = set(data) - set(DEFAULTS)
    values = {**DEFAULTS, **{name: value for name, value in data.items() if name in DEFAULTS}}
    check = _Check(values)
    if unknown:
        check.problems["fields"] = _("Unknown: %(names)s.") % {"names": ", ".join(sorted(unknown))}
    check.file_shape()
    check.amount_shape()
    places, kinds, words = check.places(), check.kinds(), check.words()
    time = check.time()
    check.fields(places, kinds)
    totals = check.totals()
    if check.problems:
        raise SpecError(check.problems)
    columns = [column for place in places.values() for column in place.columns]
    columns += [rule.column for rule in kinds if rule.column]
    plain = {name: values[name] for name in (
        "layout", "encoding", "delimiter", "quote", "trim", "sheet", "skip_lines", "header", "footer_mark", "unit",
        "decimal", "thousands", "sign", "fee_sign", "settled", "settled_sign", "row_days",
    )}  # fmt: skip
    if plain["layout"] == FIXED:
        plain["header"] = False
    return Spec(
        **plain, places=places, kinds=kinds, words=words, time=time, totals=totals,
        columns=tuple(dict.fromkeys(columns)),
    )  # fmt: skip


class _Check:
    """The parts of a mapping, checked one by one; every problem is kept under the name of its part."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.problems: dict[str, str] = {}

    def _one_of(self, name: str, known: Sequence[str]) -> None:
        if self.values[name] not in known:
            self.problems[name] = _("“%(value)s” is not known. Use one of: %(known)s.") % {
                "value": str(self.values[name])[:40],
                "known": ", ".join(known),
            }

    def _text(self, name: str, longest: int) -> None:
        value = self.values[name]
        if not isinstance(value, str) or len(value) > longest or "\x00" in value:
            self.problems[name] = _("Give a text of at most %(limit)d characters.") % {"limit": longest}

    def _number(self, name: str, most: int) -> None:
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self.problems[name] = _("Give a number from 0 to %(limit)d.") % {"limit": most}

    def file_shape(self) -> None:
        self._one_of("layout", LAYOUTS)
        self._one_of("encoding", ENCODINGS)
        for name, longest in (("trim", 10), ("sheet", 31), ("footer_mark", 60), ("delimiter", 1), ("quote", 1)):
            self._text(name, longest)
        self._number("skip_lines", _MAX_SKIP)
        self._number("row_days", 7)
        if not isinstance(self.values["header"], bool):
            self.problems["header"] = _("Say whether a line names the columns.")
        if self.values["layout"] != DELIMITED or self.problems:
            return
        delimiter, quote = self.values["delimiter"], self.values["quote"]
        if len(delimiter) != 1 or delimiter in '\r\n"' or delimiter.isalnum():
            self.problems["delimiter"] = _("The delimiter is one character, such as a comma, a tab or |.")
        elif quote == delimiter or quote in ("\r", "\n"):
            self.problems["quote"] = _("Quotes and delimiter are the same character.")

    def amount_shape(self) -> None:
        self._one_of("unit", ("major", "minor"))
        self._one_of("decimal", (".", ","))
        self._one_of("thousands", ("", ",", ".", " ", "'"))
        self._one_of("sign", (UNSIGNED, SIGNED, SIDES))
        self._one_of("fee_sign", (WE_PAY, WE_GET, BY_KIND))
        self._one_of("settled", (GROSS, LESS_FEE, COLUMN))
        self._one_of("settled_sign", (SIGNED, UNSIGNED))
        if self.values["decimal"] == self.values["thousands"]:
            self.problems["thousands"] = _("Thousands and decimals have the same mark.")

    def places(self) -> dict[str, Place]:
        given = self.values["fields"]
        if not isinstance(given, Mapping):
            self.problems["fields"] = _("Say for each field where it stands.")
            return {}
        found = {}
        for name, place in given.items():
            if name not in FIELDS:
                self.problems["fields"] = _("Unknown: %(names)s.") % {"names": str(name)[:40]}
            elif isinstance(place, Mapping) and isinstance(place.get("constant"), str):
                found[name] = Place(constant=self._constant(name, place["constant"]))
            elif isinstance(place, Mapping) and isinstance(place.get("columns"), list) and place["columns"]:
                found[name] = Place(tuple(self._column(name, column) for column in place["columns"][:4]))
            else:
                self.problems[name] = _("Name its column, or = and the value it always has.")
        return found

    def _constant(self, name: str, value: str) -> str:
        if name not in ("status", "currency", "rate"):
            self.problems[name] = _("This field differs from row to row and cannot be the same everywhere.")
        elif not value.isascii() or not value.strip() or len(value) > 16:
            self.problems[name] = _("Give a text of at most %(limit)d characters.") % {"limit": 16}
        return value

    def _column(self, name: str, column: Any) -> str:
        text = column if isinstance(column, str) else ""
        if not text.strip() or len(text) > 80:
            self.problems[name] = _("Name its column, or = and the value it always has.")
        elif self.values["layout"] == FIXED:
            match = _RANGE.fullmatch(text)
            if match is None or int(match[1]) > int(match[2]):
                self.problems[name] = _("Give the bytes it takes as first-last, for example 1-20.")
        elif self.values["header"] is False and not (text.isascii() and text.isdigit() and 0 < int(text) < 1000):
            self.problems[name] = _("Without a header line a column is a number, 1 for the first.")
        return text

    def kinds(self) -> tuple[KindRule, ...]:
        given = self.values["kinds"]
        if not isinstance(given, list) or not given or len(given) > _MAX_RULES:
            self.problems["kinds"] = _("Say what the rows are: at least one rule, at most %(limit)d.") % {
                "limit": _MAX_RULES
            }
            return ()
        rules = []
        for number, rule in enumerate(given, start=1):
            made = self._kind(number, rule)
            if made is not None:
                rules.append(made)
        return tuple(rules)

    def _kind(self, number: int, rule: Any) -> KindRule | None:
        kind = rule.get("kind") if isinstance(rule, Mapping) else None
        if not isinstance(kind, str) or (kind not in KIND_CODES and kind != IGNORE):
            self.problems["kinds"] = _("Rule %(number)d: “%(value)s” is no kind. Use one of: %(known)s.") % {
                "number": number, "value": str(kind)[:40], "known": ", ".join((*KIND_CODES, IGNORE)),
            }  # fmt: skip
            return None
        column, negative = rule.get("column", ""), rule.get("negative")
        if column:
            return KindRule(kind, self._column("kinds", column), str(rule.get("value", "")))
        if negative is not None and self.values["sign"] == UNSIGNED:
            self.problems["kinds"] = _("Rule %(number)d asks for the sign of the amount, but amounts have none.") % {
                "number": number
            }
        return KindRule(kind, negative=None if negative is None else bool(negative))

    def words(self) -> dict[str, dict[str, str]]:
        given = self.values["words"]
        found: dict[str, dict[str, str]] = {}
        if not isinstance(given, Mapping):
            self.problems["words"] = _("Say for each word of the file what it means.")
            return found
        for name, table in given.items():
            if name not in ("status", "currency") or not isinstance(table, Mapping):
                self.problems["words"] = _("Only words of status and currency can be given a meaning.")
                continue
            found[name] = {str(word): str(meaning) for word, meaning in table.items()}
            longest = {"status": 16, "currency": 3}[name]
            bad = [text for text in found[name].values() if not text.isascii() or not 0 < len(text) <= longest]
            if bad:
                self.problems["words"] = _("“%(value)s” is longer than %(limit)d letters or empty.") % {
                    "value": bad[0][:40], "limit": longest,
                }  # fmt: skip
        return found

    def time(self) -> re.Pattern[str]:
        pattern = str(self.values["time_pattern"])
        tokens = _TOKEN.findall(pattern)
        if len(pattern) > 60 or not {"YYYY", "MM", "DD"} <= set(tokens) or len(tokens) != len(set(tokens)):
            self.problems["time_pattern"] = _("Write the time with YYYY, MM, DD, hh, mm and ss, each once.")
            return re.compile("")
        parts = [re.escape(part) for part in _TOKEN.split(pattern)]
        parts[1:] = [_TOKENS[token] + part for token, part in zip(tokens, parts[1:], strict=True)]
        return re.compile("".join(parts))

    def fields(self, places: Mapping[str, Place], kinds: Sequence[KindRule]) -> None:
        needed = ["trade_no", "order_no", "occurred_at"]
        needed += ["credit", "debit"] if self.values["sign"] == SIDES else ["amount"]
        if self.values["settled"] == COLUMN:
            needed.append("settled")
        for name in needed:
            if name not in places:
                self.problems.setdefault(name, _("This field is needed: name its column."))
        either_way = [rule.kind for rule in kinds if rule.kind != IGNORE and rule.kind not in DIRECTIONS]
        by_column = self.values["settled"] == COLUMN and self.values["settled_sign"] == SIGNED
        if either_way and self.values["sign"] == UNSIGNED and not by_column:
            self.problems.setdefault(
                "kinds",
                _(
                    "Rows of kind %(kind)s go either way: the amounts need a sign, or a column has the settled "
                    "amount with its sign."
                )
                % {"kind": either_way[0]},
            )

    def totals(self) -> tuple[StatedTotal, ...]:
        given, found = self.values["totals"], []
        if not isinstance(given, list) or len(given) > _MAX_RULES:
            self.problems["totals"] = _("Say which line and cell states which figure.")
            return ()
        for entry in given:
            total = entry if isinstance(entry, Mapping) else {}
            figure, place = str(total.get("figure", "")), str(total.get("place", ""))
            kind, _dot, what = figure.rpartition(".")
            line, cell = total.get("line"), total.get("cell")
            if what not in FIGURES or (kind and kind not in KIND_CODES) or place not in ("header", "footer"):
                self.problems["totals"] = _("“%(value)s” is no figure. Use one of: %(known)s.") % {
                    "value": figure[:40] or place[:40], "known": ", ".join((*FIGURES, "refund.amount")),
                }  # fmt: skip
            elif not (isinstance(line, int) and 1 <= line <= _MAX_SKIP and isinstance(cell, int) and 1 <= cell < 1000):
                self.problems["totals"] = _("Line and cell of a figure are counted from 1.")
            elif place == "footer" and not self.values["footer_mark"]:
                self.problems["footer_mark"] = _("A figure stands in the footer: say how the footer begins.")
            else:
                found.append(StatedTotal(figure, place, line, cell))
        return tuple(found)
