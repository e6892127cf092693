"""A channel's own delimited, fixed-width or XLSX file, read as its mapping says (DOMAIN 6, FORMATS 5).

The mapping (`generic_spec`) names the columns; `generic_rows` cuts lines into cells; here cells become lines with
kinds, amounts and times, and the figures the file states are compared with what was read. Direction always comes from
the kind: an amount whose sign says otherwise holds its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils.translation import gettext as _

from payops.channels.formats.base import (
    KIND_CODES,
    REFUND,
    Batch,
    BillType,
    Expectation,
    FormatError,
    Reader,
)
from payops.channels.formats.columns import (
    BEIJING,
    DAMAGED_NUMBER,
    IrregularError,
    mask_cards_in_text,
    require_keys,
    require_rates,
)
from payops.channels.formats.container import Limits, Source, unwrap
from payops.channels.formats.generic_cells import masked_payers, minor_units, refuse_formula
from payops.channels.formats.generic_rows import GenericRows, Raw
from payops.channels.formats.generic_spec import (
    BY_KIND,
    COLUMN,
    DIRECTIONS,
    FIGURES,
    GROSS,
    IGNORE,
    SIDES,
    UNSIGNED,
    WE_GET,
    Spec,
    StatedTotal,
)
from payops.channels.formats.refusals import damaged_number, wrong_day
from payops.core.errors import PayopsError
from payops.core.money import exponent

PREFIX: Final = "generic:"
_KEYS: Final = ("trade_no", "order_no", "request_no", "original_trade_no")
_LONGEST_PAYER: Final = 64
_FIGURE: Final = re.compile(r"[-+]?[0-9][0-9.,' ]*[0-9]|[-+]?[0-9]")
_COUNTS: Final = ("count", "rows")


class GenericFormat:
    """One version of one mapping as a format. Its code names both, so that a file remembers how it was read."""

    bill_type = BillType.TRADE

    def __init__(self, code: str, label: str, spec: Spec) -> None:
        self.code = code
        self.label = label
        self.family = code.partition("@")[0]
        self.spec = spec

    def sniff(self, head: bytes, name: str) -> bool:
        """Never: what a mapped file is, only its contract can say."""
        return False

    def open(self, source: Source, expect: Expectation) -> GenericReader:
        """A reader over the one file in `source`."""
        return GenericReader(_only_member(source), expect, self.spec)

    def raw_line(self, source: Source, expect: Expectation, line_no: int) -> str:
        """Masked text of one line, unchecked."""
        return self.open(source, expect).raw_text(line_no)


def _only_member(source: Source) -> Source:
    members = unwrap(source, Limits())
    if len(members) != 1:
        raise FormatError(
            "bill.too_many_members",
            _("“%(name)s” holds %(count)s files; a mapped bill is one file. Load each by itself.")
            % {"name": source.name, "count": len(members)},
            {"name": source.name, "count": len(members)},
        )
    return members[0]


class GenericReader(Reader):
    """One pass over one mapped file."""

    def __init__(self, source: Source, expect: Expectation, spec: Spec) -> None:
        super().__init__(expect)
        self.source = source
        self.spec = spec
        self._exponent = exponent(expect.currency)
        self._payment_key = expect.key_column("payment_key", "order_no")
        self._refund_key = expect.key_column("refund_key", "request_no")
        self._ignored = 0
        self._printed: dict[str, dict[str, int]] = {}
        """What the figures of the file are compared with, by kind: columns added up as they are printed."""
        self._times: dict[str, bytes] = {}
        self._rows = GenericRows(source, spec)
        try:
            self._rows.find_header()
        except BaseException:
            self._rows.close()
            raise
        self.header_lines = self._rows.header_lines
        self._at = self._positions()

    def reopen(self) -> GenericReader:
        """A fresh reader over the same bill."""
        return GenericReader(self.source, self.expect, self.spec)

    def _positions(self) -> dict[str, int]:
        if self.spec.header:
            return {name: self._rows.names.index(name) for name in self.spec.columns}
        if self.spec.layout == "fixed":
            return {name: index for index, name in enumerate(self.spec.columns)}
        return {name: int(name) - 1 for name in self.spec.columns}

    # -- rows ---------------------------------------------------------------------------------------------------

    def batches(self) -> Iterator[Batch]:
        """All rows; then the figures of header and footer."""
        try:
            for piece in self._rows.pieces():
                good = self._with_cells(piece)
                if good:
                    # One column that holds the lines: a halved piece then needs no second cutting.
                    yield from self.convert_all([raw.number - self.header_lines for raw in good], [good])  # type: ignore[list-item]
        finally:
            self._rows.close()
        self._finish()

    def _with_cells(self, piece: list[Raw]) -> list[Raw]:
        good = []
        width = max(self._at.values(), default=-1) + 1
        for raw in piece:
            trouble = raw.trouble
            if trouble is None and self._rows.names and self.spec.layout == "delimited":
                trouble = self._wrong_width(raw)
            if trouble is None:
                raw.cells.extend([""] * (width - len(raw.cells)))
                if self._kind_of(raw) == IGNORE:
                    self._ignored += 1
                else:
                    good.append(raw)
            else:
                self.add_bad_line(raw.number - self.header_lines, self._masked(raw.text), trouble)
        return good

    def _wrong_width(self, raw: Raw) -> IrregularError | None:
        found, named = len(raw.cells), len(self._rows.names)
        # A delimiter behind the last cell is common and says nothing.
        if (
            found == named
            or (found == named + 1 and not raw.cells[-1])
            or (found == named - 1 and not self._rows.names[-1])
        ):
            return None
        return IrregularError(
            "line.cells",
            _("The line has %(found)s cells instead of %(width)s: a delimiter inside a text, or a cut line.")
            % {"found": found, "width": named},
        )

    def show_cells(self, cells: Sequence[Any]) -> str:
        """The line as the file has it, card numbers masked."""
        return self._masked(cells[0].text)

    def _masked(self, text: str) -> str:
        return mask_cards_in_text(text, self.expect.account)

    def raw_text(self, line_no: int) -> str:
        """The line with this number, masked; empty when there is none."""
        wanted = line_no + self.header_lines
        rows = GenericRows(self.source, self.spec)
        try:
            for raw in rows.lines():
                if raw.number == wanted:
                    return self._masked(raw.text)
        finally:
            rows.close()
        return ""

    def convert(self, numbers: Sequence[int], columns: Sequence[Sequence[Any]]) -> Batch:
        """Lines to a batch; IrregularError when one of them cannot be read."""
        rows: Sequence[Raw] = columns[0]
        cells = {name: self._texts(name, rows) for name in self.spec.places}
        kinds = [self._known_kind(raw) for raw in rows]
        keys = {name: self._numbers(name, numbers, cells.get(name), len(rows)) for name in _KEYS}
        self._check_account(numbers, cells.get("account"))
        signed = self._amounts(cells, kinds)
        charged = self._column("fee", cells["fee"], optional=True) if "fee" in cells else [0] * len(rows)
        fees = self._fees(charged, kinds)
        settled = self._settled(cells, kinds, signed, fees)
        currency = self._coded("currency", cells, len(rows), self.expect.currency)
        self._check_currency(currency)
        batch = Batch(
            numbers,
            bytearray(KIND_CODES[kind] for kind in kinds),
            self._match_keys(kinds, keys),
            keys["trade_no"],
            keys["order_no"],
            keys["request_no"],
            keys["original_trade_no"],
            self._coded("status", cells, len(rows), "SUCCESS"),
            [abs(value) for value in signed],
            settled,
            fees,
            self._rates(cells, len(rows)),
            currency,
            self._moments(numbers, cells["occurred_at"]),
            self._payers(cells, len(rows)),
            [
                b"|".join((trade, kind.encode(), request)) if request or kind != "payment" else trade
                for trade, kind, request in zip(keys["trade_no"], kinds, keys["request_no"], strict=True)
            ],
            lambda index: self._extra(rows[index]),
        )
        self._count(kinds, signed, charged, settled)
        return batch

    def _count(self, kinds: list[str], signed: list[int], charged: list[int], settled: list[int]) -> None:
        unsigned = self.spec.sign == UNSIGNED
        turned = self.spec.settled == COLUMN and self.spec.settled_sign == UNSIGNED
        for kind, amount, fee, net in zip(kinds, signed, charged, settled, strict=True):
            sums = self._printed.setdefault(kind, dict.fromkeys(FIGURES, 0))
            sums["count"] += 1
            sums["amount"] += abs(amount) if unsigned else amount
            sums["fee"] += fee
            sums["settled"] += net * DIRECTIONS.get(kind, 1) if turned else net
            sums["credit" if amount > 0 else "debit"] += abs(amount)

    def _texts(self, name: str, rows: Sequence[Raw]) -> list[str]:
        """The text of a field in each row; a formula or an error of a spreadsheet is nobody's value."""
        place = self.spec.places[name]
        if place.constant is not None:
            return [place.constant] * len(rows)
        columns = [self._at[column] for column in place.columns]
        if len(columns) == 1:
            at = columns[0]
            texts = [raw.cells[at] for raw in rows]
        else:
            texts = [" ".join(filter(None, [raw.cells[at] for at in columns])) for raw in rows]
        for text in set(texts):
            refuse_formula(text, self._name(name), numeric=name in ("amount", "credit", "debit", "fee", "settled"))
        return texts

    def _name(self, field: str) -> str:
        """The field's column as the channel calls it."""
        place = self.spec.places.get(field)
        return " + ".join(place.columns) if place and place.columns else field

    def _numbers(self, name: str, numbers: Sequence[int], texts: list[str] | None, rows: int) -> list[bytes]:
        if texts is None:
            return [b""] * rows
        found = [text.encode() for text in texts]
        for number, cell in zip(numbers, found, strict=True):
            if DAMAGED_NUMBER.fullmatch(cell):
                raise damaged_number(number, number + self.header_lines, cell)
        require_keys(found, self._name(name), optional=name != "trade_no")
        return found

    def _match_keys(self, kinds: list[str], keys: dict[str, list[bytes]]) -> list[bytes]:
        paid, returned = keys[self._payment_key], keys[self._refund_key]
        found = []
        for index, kind in enumerate(kinds):
            key = returned[index] if kind == REFUND else paid[index]
            key = key or keys["order_no"][index] or keys["trade_no"][index]
            found.append(key)
        return found

    # -- kinds and words ----------------------------------------------------------------------------------------

    def _kind_of(self, raw: Raw) -> str | None:
        """The kind of the first rule that holds; None when none does, or when the sign it asks for cannot be read."""
        for rule in self.spec.kinds:
            if rule.column:
                if raw.cells[self._at[rule.column]] == rule.value:
                    return rule.kind
            elif rule.negative is None:
                return rule.kind
            else:
                try:
                    value = self._signed_amount(raw)
                except IrregularError:
                    return rule.kind if rule.kind != IGNORE else None
                if (value < 0) == rule.negative and value:
                    return rule.kind
        return None

    def _known_kind(self, raw: Raw) -> str:
        kind = self._kind_of(raw)
        if kind is None:
            words = [raw.cells[self._at[rule.column]] for rule in self.spec.kinds if rule.column]
            raise IrregularError(
                "line.kind",
                _("No rule of the mapping says what this row is (%(words)s). Propose one for it.")
                % {"words": "、".join(dict.fromkeys(filter(None, words)))[:80] or "–"},
            )
        return kind

    def _coded(self, name: str, cells: dict[str, list[str]], rows: int, otherwise: str) -> list[bytes]:
        texts = cells.get(name)
        if texts is None:
            return [otherwise.encode()] * rows
        words = self.spec.words.get(name)
        longest = 16 if name == "status" else 3
        table = {}
        for text in set(texts):
            meaning = words.get(text) if words and self.spec.places[name].constant is None else text
            if meaning is None or not meaning or not meaning.isprintable() or len(meaning) > longest:
                raise IrregularError(
                    f"line.{name}",
                    _("“%(value)s” in column %(name)s is not known to the mapping.")
                    % {"value": text[:60], "name": self._name(name)},
                )
            table[text] = meaning.encode()
        return [table[text] for text in texts]

    def _check_currency(self, cells: list[bytes]) -> None:
        for cell in set(cells):
            code = cell.decode()
            try:
                known = exponent(code) == self._exponent
            except PayopsError:
                known = False
            if not known:
                raise IrregularError(
                    "line.currency",
                    _("“%(value)s” in column %(name)s is no currency this bill can be in.")
                    % {"value": code, "name": self._name("currency")},
                )

    def _check_account(self, numbers: Sequence[int], texts: list[str] | None) -> None:
        if texts is not None and set(texts) != {self.expect.account}:
            self.refuse_other(
                numbers, [text.encode() for text in texts], self.expect.account.encode(), "bill.wrong_account"
            )

    # -- amounts ------------------------------------------------------------------------------------------------

    def _minor(self, text: str, name: str) -> int:
        return minor_units(text, name, self.spec, self._exponent)

    def _column(self, name: str, texts: list[str], *, optional: bool = False) -> list[int]:
        table = {}
        for text in set(texts):
            table[text] = 0 if optional and not text else self._minor(text, self._name(name))
        return [table[text] for text in texts]

    def _cell(self, name: str, raw: Raw) -> str:
        return " ".join(raw.cells[self._at[column]] for column in self.spec.places[name].columns)

    def _signed_amount(self, raw: Raw) -> int:
        if self.spec.sign != SIDES:
            return self._minor(self._cell("amount", raw), self._name("amount"))
        credit, debit = (self._column(side, [self._cell(side, raw)], optional=True)[0] for side in ("credit", "debit"))
        return credit - debit

    def _amounts(self, cells: dict[str, list[str]], kinds: list[str]) -> list[int]:
        """Amounts with the sign of their direction; without one, where neither kind nor file tells it."""
        if self.spec.sign == SIDES:
            credits, debits = (self._column(side, cells[side], optional=True) for side in ("credit", "debit"))
            if any((credit and debit) or min(credit, debit) < 0 for credit, debit in zip(credits, debits, strict=True)):
                raise IrregularError(
                    "line.amount_sides",
                    _("A row has an amount in %(credit)s or in %(debit)s, not in both, and none below zero.")
                    % {"credit": self._name("credit"), "debit": self._name("debit")},
                )
            values = [credit - debit for credit, debit in zip(credits, debits, strict=True)]
        else:
            values = self._column("amount", cells["amount"])
        if self.spec.sign == UNSIGNED:
            if min(values) < 0:
                raise IrregularError(
                    "line.amount_sign",
                    _("Column %(name)s holds an amount below zero, but the mapping says that amounts have no sign.")
                    % {"name": self._name("amount")},
                )
            return [value * DIRECTIONS.get(kind, 1) for value, kind in zip(values, kinds, strict=True)]
        for value, kind in zip(values, kinds, strict=True):
            if value * DIRECTIONS.get(kind, 0) < 0:
                raise IrregularError(
                    "line.amount_sign",
                    _("The sign of the amount says the opposite of what the row is (%(kind)s).") % {"kind": kind},
                )
        return values

    def _fees(self, values: list[int], kinds: list[str]) -> list[int]:
        """Fees as we pay them."""
        if self.spec.fee_sign == WE_GET:
            return [-value for value in values]
        if self.spec.fee_sign == BY_KIND:
            return [value * DIRECTIONS.get(kind, 1) for value, kind in zip(values, kinds, strict=True)]
        return values

    def _settled(self, cells: dict[str, list[str]], kinds: list[str], signed: list[int], fees: list[int]) -> list[int]:
        if self.spec.settled == GROSS:
            return signed
        if self.spec.settled != COLUMN:
            return [amount - fee for amount, fee in zip(signed, fees, strict=True)]
        values = self._column("settled", cells["settled"])
        if self.spec.settled_sign != UNSIGNED:
            return values
        if min(values) < 0:
            raise IrregularError(
                "line.amount_sign",
                _("Column %(name)s holds an amount below zero, but the mapping says that amounts have no sign.")
                % {"name": self._name("settled")},
            )
        return [value * DIRECTIONS.get(kind, 1) for value, kind in zip(values, kinds, strict=True)]

    # -- times and texts ----------------------------------------------------------------------------------------

    def _moments(self, numbers: Sequence[int], texts: list[str]) -> list[bytes]:
        day = self.expect.channel_date
        first = day - timedelta(days=self.spec.row_days)
        found = []
        for number, text in zip(numbers, texts, strict=True):
            moment = self._times.get(text)
            if moment is None:
                at = self._moment(text)
                if not first <= at.date() <= day:
                    raise wrong_day(number, number + self.header_lines, text.encode(), self.expect)
                if len(self._times) > 100_000:
                    self._times.clear()
                moment = self._times[text] = at.strftime("%Y-%m-%d %H:%M:%S").encode() + BEIJING
            found.append(moment)
        return found

    def _moment(self, text: str) -> datetime:
        match = self.spec.time.fullmatch(text)
        try:
            if match is not None:
                return datetime(**{name: int(value) for name, value in match.groupdict().items()})  # noqa: DTZ001
        except ValueError:
            pass
        raise IrregularError(
            "line.time",
            _("“%(value)s” in column %(name)s is not a time as the mapping writes it.")
            % {"value": text[:60], "name": self._name("occurred_at")},
        )

    def _rates(self, cells: dict[str, list[str]], rows: int) -> list[bytes]:
        if "rate" not in cells:
            return [b""] * rows
        found = [text.encode() for text in cells["rate"]]
        require_rates(found, self._name("rate"))
        return found

    def _payers(self, cells: dict[str, list[str]], rows: int) -> list[bytes]:
        texts = cells.get("payer")
        if texts is None:
            return [b""] * rows
        for text in set(texts):
            if len(text) > _LONGEST_PAYER or not text.replace("\u3000", "").isprintable():
                raise IrregularError(
                    "line.text",
                    _(
                        "“%(value)s” in column %(name)s is longer than %(limit)d characters or holds a control "
                        "character."
                    )
                    % {"value": text[:60], "name": self._name("payer"), "limit": _LONGEST_PAYER},
                )
        return masked_payers(texts)

    def _extra(self, raw: Raw) -> dict[str, str] | None:
        used = set(self._at.values())
        return {
            name: raw.cells[at]
            for at, name in enumerate(self._rows.names)
            if name and at not in used and at < len(raw.cells) and raw.cells[at]
        } or None

    # -- figures ------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        for number, total in enumerate(self.spec.totals):
            stated = self._stated(total)
            unit = "count" if total.figure.endswith(_COUNTS) else "amount"
            name = total.figure if total.figure not in self.totals.items else f"{total.figure} ({number + 1})"
            self.totals.add(name, stated, self._computed(total.figure), unit=unit)
        if self._ignored:
            self.totals.add("ignored.count", None, self._ignored, unit="count")
        if not self.spec.totals:
            for kind, sums in self.sums_by_kind.items():
                self.totals.add(f"{kind}.count", None, sums.count, unit="count")
                self.totals.add(f"{kind}.amount", None, sums.amount)
        if not self.line_count and not self.totals.proven:
            self._refuse_empty()
        if self.totals.differing:
            self._prove_or_hold()

    def _prove_or_hold(self) -> None:
        """As `prove`; a file that states sums without a count is held when lines were set aside."""
        figures = [total.figure for total in self.spec.totals]
        whole = [name for name in _COUNTS if name in figures]
        counts = whole[:1] or [name for name in self.totals.items if name in figures and name.endswith(_COUNTS)]
        if counts or not self.bad_lines:
            self.prove(counts or [self.totals.differing[0].name])

    def _refuse_empty(self) -> None:
        if self.bad_lines:
            raise FormatError(
                "bill.not_a_bill",
                _("No row of “%(name)s” can be read; the first: %(reason)s Check what was uploaded.")
                % {"name": self.source.name, "reason": self.bad_lines[0].message},
                {"name": self.source.name},
            )
        raise FormatError(
            "bill.no_rows",
            _(
                "“%(name)s” has no rows, and no total of its own says that there are none. Ask the channel; an empty "
                "day is declared by a person."
            )
            % {"name": self.source.name},
            {"name": self.source.name},
        )

    def _stated(self, total: StatedTotal) -> int:
        lines = self._rows.footer if total.place == "footer" else self._rows.before
        cell = ""
        if total.line <= len(lines):
            cells = self._rows.footer_cells(lines[total.line - 1])
            cell = cells[total.cell - 1] if total.cell <= len(cells) else ""
        found = _FIGURE.findall(cell)
        try:
            if len(found) != 1 or cell.startswith("\x00"):
                raise IrregularError("line.amount", _("“%(value)s” holds no figure.") % {"value": cell[:60]})
            if total.figure.endswith(_COUNTS):
                text = found[0].strip().replace(self.spec.thousands or ",", "")
                if not text.isdigit():
                    raise IrregularError("line.amount", _("“%(value)s” holds no figure.") % {"value": cell[:60]})
                return int(text)
            return self._minor(found[0], total.figure)
        except IrregularError as error:
            where = _("footer") if total.place == "footer" else _("header")
            raise FormatError(
                "bill.footer_unreadable",
                _("The %(figure)s in the %(place)s, line %(line)d, cell %(cell)d: %(reason)s Check file and mapping.")
                % {
                    "figure": total.figure,
                    "place": where,
                    "line": total.line,
                    "cell": total.cell,
                    "reason": error.message,
                },
                {"figure": total.figure},
            ) from error

    def _computed(self, figure: str) -> int:
        kind, _dot, what = figure.rpartition(".")
        parts = [sums for name, sums in self._printed.items() if not kind or name == kind]
        if what == "rows":
            return sum(sums["count"] for sums in parts) + self._ignored
        return sum(sums[what] for sums in parts)
