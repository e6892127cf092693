"""SWIFT MT940 customer statement (FORMATS 6.2), read strictly: what is not understood is an error, never skipped.

Pages chain: the closing balance 62M of one is the opening balance 60M of the next, and the last has 62F. Every page
proves itself, so no `:61:` line can be lost. Narratives are SWIFT characters; a bank that puts others there would have
them cut by whoever carries the file, so such a file is refused.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from django.utils.translation import gettext as _

from payops.channels.statements.base import Entry, Statement, StatementError, memo_of, minor, plain
from payops.core.money import CURRENCY_EXPONENTS

_MAX_BYTES: Final = 64 << 20
_START: Final = re.compile(r"\{1:[^{}]*\}(?:\{2:(?P<app>[^{}]*)\})?(?:\{3:(?:\{[^{}]*\})*\})?\{4:\s*")
_END: Final = re.compile(r"-(?:\}(?:\{5:(?:\{[^{}]*\})*\})?)?\s*")
_TAG: Final = re.compile(r":([0-9]{2}[A-Z]?):")
_TAGS: Final = {"20", "21", "25", "25P", "28", "28C", "60F", "60M", "61", "86", "62F", "62M", "64", "65"}
_BALANCE: Final = re.compile(r"([CD])([0-9]{6})([A-Z]{3})([0-9]{1,14},[0-9]{0,3})")
_LINE: Final = re.compile(
    r"(?P<value>[0-9]{6})(?P<entry>[0-9]{4})?(?P<mark>R?[CD])(?P<funds>[A-Z])?(?P<amount>[0-9]{1,14},[0-9]{0,3})"
    r"(?P<type>[NFS][A-Z0-9]{3})(?P<ours>.{0,16}?)(?://(?P<theirs>.{1,16}))?"
)
_NUMBER: Final = re.compile(r"([0-9]{1,5})(?:/([0-9]{1,5}))?")
_CODES: Final = re.compile(r"/(EREF|REMI|NAME|ORDP|BENM|KREF|PREF|MREF|PURP)/")


@dataclass(slots=True)
class _Field:
    """A tag with its lines, and the line of the file it starts on."""

    tag: str
    lines: list[str]
    at: int


@dataclass(slots=True)
class _Page:
    """One message: a page of a statement."""

    account: str
    number: str
    page: int
    currency: str
    first: bool
    last: bool
    opening: int
    closing: int
    date: dt.date
    at: int
    entries: list[Entry] = field(default_factory=list)


def read_mt940(stream: BinaryIO, name: str) -> list[Statement]:
    """The statements of a file, their pages joined and each proven."""
    data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise StatementError("statement.too_large", _("“%(name)s” is larger than any statement.") % {"name": name}, {})
    pages = [_page(message) for message in _messages(_text_of(data, name))]
    if not pages:
        raise StatementError("statement.empty", _("“%(name)s” holds no MT940 message.") % {"name": name}, {})
    return _joined(pages)


# --- messages and fields ----------------------------------------------------------------------------------------------


def _text_of(data: bytes, name: str) -> str:
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise StatementError(
            "statement.encoding",
            _("Line %(line)s of “%(name)s” holds characters outside SWIFT's set. Ask the bank for a file in that set.")
            % {"line": data.count(b"\n", 0, error.start) + 1, "name": name},
            {"line": data.count(b"\n", 0, error.start) + 1},
        ) from error


def _messages(text: str) -> list[list[_Field]]:
    """The fields of every message; a bare file without SWIFT's blocks starts at its first :20:."""
    messages: list[list[_Field]] = []
    current: list[_Field] | None = None
    for at, raw in enumerate(text.split("\n"), 1):
        line = raw.rstrip("\r\x03\x01 ") if raw.strip() else ""
        start = _START.match(line)
        if start is not None:
            if start["app"] and not re.match(r"[IO]940", start["app"]):
                raise _at(at, "statement.not_mt940", _("the message is not an MT940"))
            _close(messages, current)
            current = []
            line = line[start.end() :]
        if not line:
            continue
        if _END.fullmatch(line):
            _close(messages, current)
            current = None
            continue
        tag = _TAG.match(line)
        if tag is not None and tag[1] in _TAGS:
            if tag[1] == "20" and (current is None or current):
                _close(messages, current)
                current = []
            if current is None:
                raise _at(at, "statement.stray_line", _("a field stands outside any message"))
            current.append(_Field(tag[1], [line[tag.end() :]], at))
        elif line.startswith((":", "{")) or not current or current[-1].tag not in ("61", "86"):
            raise _at(at, "statement.unknown_line", _("“%(line)s” is no field of a statement") % {"line": line[:40]})
        else:
            current[-1].lines.append(line)
    _close(messages, current)
    return messages


def _close(messages: list[list[_Field]], current: list[_Field] | None) -> None:
    if current:
        messages.append(current)


def _at(line: int, code: str, reason: str) -> StatementError:
    return StatementError(
        code,
        _("Line %(line)s: %(reason)s. Nothing was taken; fetch the statement again from the bank.")
        % {"line": line, "reason": reason},
        {"line": line},
    )


# --- one page ---------------------------------------------------------------------------------------------------------


def _page(fields: list[_Field]) -> _Page:
    """A message's fields in the order SWIFT gives them: 20 21? 25 28C 60 (61 86?)* 62 64? 65* 86?."""
    rest = list(fields)
    _take(rest, "20")
    if rest and rest[0].tag == "21":
        rest.pop(0)
    account = _take(rest, "25", "25P").lines[0].strip()
    number_field = _take(rest, "28C", "28")
    number = _NUMBER.fullmatch(number_field.lines[0].strip())
    if number is None or not account:
        raise _at(number_field.at, "statement.number", _("the statement's account or number cannot be read"))
    opening_field = _take(rest, "60F", "60M")
    opening, currency, _day = _balance(opening_field)
    entries: list[Entry] = []
    while rest and rest[0].tag == "61":
        line = rest.pop(0)
        narrative = rest.pop(0) if rest and rest[0].tag == "86" else None
        entries.append(_entry(line, narrative, currency))
    closing_field = _take(rest, "62F", "62M")
    closing, closing_currency, day = _balance(closing_field)
    if closing_currency != currency:
        raise _at(closing_field.at, "statement.currency", _("the balances are in different currencies"))
    for left in rest:
        if left.tag not in ("64", "65", "86"):
            raise _at(left.at, "statement.order", _("field :%(tag)s: stands where it does not belong") % {
                "tag": left.tag})  # fmt: skip
    page = _Page(
        account.replace(" ", ""), number[1], int(number[2] or 1), currency, opening_field.tag == "60F",
        closing_field.tag == "62F", opening, closing, day, fields[0].at, entries,
    )  # fmt: skip
    if opening + sum(entry.amount for entry in entries) != closing:
        _statement([page]).prove()
    return page


def _take(rest: list[_Field], *tags: str) -> _Field:
    if rest and rest[0].tag in tags:
        return rest.pop(0)
    found = f":{rest[0].tag}:" if rest else _("the end of the message")
    at = rest[0].at if rest else 0
    raise StatementError(
        "statement.missing_field",
        _("Field :%(tag)s: is missing; %(found)s stands there (line %(line)s). The statement is incomplete.")
        % {"tag": tags[0], "found": found, "line": at or "–"},
        {"tag": tags[0], "line": at},
    )


def _balance(found: _Field) -> tuple[int, str, dt.date]:
    match = _BALANCE.fullmatch(found.lines[0].strip())
    if match is None or match[3] not in CURRENCY_EXPONENTS:
        raise _at(found.at, "statement.balance_field", _("balance “%(value)s” cannot be read") % {
            "value": found.lines[0][:40]})  # fmt: skip
    amount = _units(match[4], match[3], found.at)
    return amount if match[1] == "C" else -amount, match[3], _date(match[2], found.at)


def _entry(line: _Field, narrative: _Field | None, currency: str) -> Entry:
    match = _LINE.fullmatch(line.lines[0])
    if match is None or len(line.lines) > 2:
        raise _at(line.at, "statement.line", _("entry “%(value)s” cannot be read") % {"value": line.lines[0][:60]})
    if match["funds"] and match["funds"] != currency[2]:
        raise _at(line.at, "statement.currency", _("the entry is in another currency than its account"))
    value_date = _date(match["value"], line.at)
    if match["entry"]:
        _entry_date(value_date, match["entry"], line.at)
    amount = _units(match["amount"], currency, line.at)
    # A reversed credit takes, a reversed debit brings.
    inward = match["mark"] in ("C", "RD")
    said = _narrative(narrative, line.lines[1:])
    ours = match["ours"].strip()
    end_to_end = said.get("EREF") or ("" if ours in ("", "NONREF") else ours)
    end_to_end = "" if end_to_end == "NOTPROVIDED" else plain(end_to_end, 64)
    return Entry(
        reference=plain(match["theirs"] or "", 56),
        value_date=value_date,
        amount=amount if inward else -amount,
        counterparty=plain(said.get("NAME") or said.get("ORDP") or said.get("BENM") or "", 120),
        memo=memo_of([said.get("REMI") or said.get("", "")], end_to_end),
        end_to_end=end_to_end,
        code=match["type"],
    )


def _narrative(narrative: _Field | None, supplementary: list[str]) -> dict[str, str]:
    """The parts of :86: by their codes, the whole text under the empty code; lines join without a blank."""
    text = "".join(narrative.lines) if narrative is not None else "".join(supplementary)
    said = {"": text}
    marks = list(_CODES.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    # One end more than marks where there are none.
    for mark, end in zip(marks, ends, strict=False):
        said.setdefault(mark[1], text[mark.end() : end].strip(" /"))
    return said


def _units(text: str, currency: str, at: int) -> int:
    whole, fraction = text.split(",")
    return minor(f"{whole}.{fraction}" if fraction else whole, currency, _("line %(line)s") % {"line": at})


def _date(text: str, at: int) -> dt.date:
    try:
        return dt.date(2000 + int(text[:2]), int(text[2:4]), int(text[4:]))
    except ValueError:
        raise _at(at, "statement.date", _("“%(value)s” is not a date") % {"value": text}) from None


def _entry_date(value: dt.date, text: str, at: int) -> dt.date:
    """MMDD in the year that brings it closest to the value date: the last days of December and the first of January."""
    found = []
    for year in (value.year - 1, value.year, value.year + 1):
        try:
            found.append(dt.date(year, int(text[:2]), int(text[2:])))
        except ValueError:
            continue
    if not found:
        raise _at(at, "statement.date", _("“%(value)s” is not a day of the year") % {"value": text})
    return min(found, key=lambda day: abs(day - value))


# --- pages to statements ----------------------------------------------------------------------------------------------


def _joined(pages: list[_Page]) -> list[Statement]:
    statements: list[Statement] = []
    open_pages: list[_Page] = []
    for page in pages:
        before = open_pages[-1] if open_pages else None
        if before is None:
            if not page.first:
                raise _chain(page, _("it continues a page that is not in the file"))
        elif page.first or (page.account, page.number, page.currency) != (
            before.account, before.number, before.currency,
        ):  # fmt: skip
            raise _chain(before, _("its last page is missing"))
        elif page.page != before.page + 1 or page.opening != before.closing:
            raise _chain(page, _("it does not continue the page before"))
        open_pages.append(page)
        if page.last:
            statements.append(_statement(open_pages).prove())
            open_pages = []
    if open_pages:
        raise _chain(open_pages[-1], _("its last page is missing"))
    return statements


def _chain(page: _Page, reason: str) -> StatementError:
    return StatementError(
        "statement.pages",
        _("Statement %(number)s, page %(page)s: %(reason)s. Load all pages as one file.")
        % {"number": page.number, "page": page.page, "reason": reason},
        {"number": page.number, "page": page.page},
    )


def _statement(pages: list[_Page]) -> Statement:
    entries = [entry for page in pages for entry in page.entries]
    return Statement(
        account=pages[0].account,
        number=pages[0].number,
        date=pages[-1].date,
        currency=pages[0].currency,
        opening=pages[0].opening,
        closing=pages[-1].closing,
        entries=entries,
        booked=[entry.amount for entry in entries],
    )
