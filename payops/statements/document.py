"""How a settlement statement looks: the head, the totals, the sections, written once into both formats.

The transactions are read once: the XLSX writer pulls them, and on the way each goes into the CSV file.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import IO, Any, Final

from payops.core.exports import cell_text, write_xlsx
from payops.core.money import major
from payops.settlement.selectors import sheet_total
from payops.statements import labels
from payops.statements.selectors import SheetContent, StatementRow

CURRENCY: Final = "CNY"
ROWS_PER_WORKSHEET: Final = 1_000_000
"""A worksheet holds 1,048,576 rows; longer sections go on in another one."""

Cells = Sequence[Any]


def yuan(minor: int) -> Decimal:
    """Minor units as the number a spreadsheet can add up."""
    return major(minor, CURRENCY)


def snapshot_of(content: SheetContent) -> dict[str, Any]:
    """What is said of the merchant, its account and the channels on the day the statement is made."""
    sheet, account = content.sheet, content.sheet.settlement_account
    contracts = {item.contract for item in (*content.items, *content.withheld)}
    return {
        "layout": str(labels.LAYOUT),
        "channels": {str(each.pk): _both(each.channel.name_zh, each.channel.name) for each in contracts},
        "sheet_no": sheet.sheet_no,
        "merchant_no": sheet.merchant.merchant_no,
        "merchant_name": sheet.merchant.name,
        "pay_date": sheet.pay_date.isoformat(),
        "own_date": sheet.session.own_date.isoformat(),
        "account": f"{account.bank_name} {account.number_masked}" if account else "",
        "holder": account.holder if account else "",
        "currency": CURRENCY,
    }


def figures_of(content: SheetContent) -> dict[str, int]:
    """The figures of the totals, in the order they are printed; they add up to the payout."""
    sheet, rows = content.sheet, content.rows.values()
    forward, reverse = sum(r.forward_amount for r in rows), sum(r.reverse_amount for r in rows)
    return {
        "forward_count": sum(r.forward_count for r in rows),
        "forward_amount": forward,
        "reverse_count": sum(r.reverse_count for r in rows),
        "reverse_amount": reverse,
        "withheld_gross": sheet.amount - forward - reverse,
        "fee": sheet.fee,
        "discount": sum(item.discount for item in (*content.items, *content.withheld)),
        "settlement_amount": sheet.settlement_amount,
        "adjustment_amount": sheet.adjustment_amount,
        "carried_in": sheet.carried_in,
        "withheld_amount": sheet.withheld_amount,
        "payout_amount": sheet.payout_amount,
        "carried_forward": sheet_total(sheet) - sheet.payout_amount,
    }


class CsvFile:
    """A CSV file in sections: UTF-8 with byte order mark, CRLF, no formulas."""

    def __init__(self, stream: IO[str]) -> None:
        stream.write("\ufeff")
        self._writer = csv.writer(stream, lineterminator="\r\n")

    def row(self, cells: Cells) -> None:
        """One line."""
        self._writer.writerow([cell_text(cell) for cell in cells])

    def section(self, title: str, header: Cells, rows: Iterable[Cells] = ()) -> None:
        """A blank line, the title, the column names and the rows there are already."""
        self.row([])
        self.row([title])
        self.row(header)
        for cells in rows:
            self.row(cells)


def write_document(
    content: SheetContent,
    rows: Iterator[StatementRow],
    *,
    snapshot: dict[str, Any],
    csv_path: Path,
    xlsx_path: Path,
) -> int:
    """Write both files; returns the number of transactions. `rows` come forward ones first."""
    figures = figures_of(content)
    counter = itertools.count()
    with csv_path.open("w", encoding="utf-8", newline="") as stream:
        out = CsvFile(stream)
        out.row([labels.TITLE])
        for cells in _head(snapshot):
            out.row(cells)
        out.section(labels.TOTALS, (labels.ITEM, labels.VALUE), _figures(figures))
        write_xlsx(str(xlsx_path), _worksheets(content, rows, snapshot, figures, out, counter))
    return next(counter)


def _worksheets(
    content: SheetContent,
    rows: Iterator[StatementRow],
    snapshot: dict[str, Any],
    figures: dict[str, int],
    out: CsvFile,
    counter: Iterator[int],
) -> Iterator[tuple[str, Cells, Iterable[Cells]]]:
    """The worksheets in their order; each section goes into the CSV file as it is pulled."""
    yield labels.TITLE, (labels.ITEM, labels.VALUE), [*_head(snapshot), *_figures(figures)]
    stream = _Sections(rows)

    def name_of(contract_id: int) -> str:
        return snapshot["channels"].get(str(contract_id), "")

    for reverse in (False, True):
        title = labels.REVERSE if reverse else labels.FORWARD
        out.section(title, labels.ROW_HEADER)
        section = (_cells(row, name_of) for row in stream.take(reverse=reverse))
        yield from _in_worksheets(title, section, out, counter)
    for title, header, lines in _small_sections(content, name_of):
        if lines:
            out.section(title, header, lines)
            yield title, header, lines


class _Sections:
    """The rows in two parts without reading ahead further than one row."""

    def __init__(self, rows: Iterator[StatementRow]) -> None:
        self._rows, self._next = rows, next(rows, None)

    def take(self, *, reverse: bool) -> Iterator[StatementRow]:
        while self._next is not None and self._next.reverse == reverse:
            yield self._next
            self._next = next(self._rows, None)


def _in_worksheets(
    title: str, section: Iterator[Cells], out: CsvFile, counter: Iterator[int]
) -> Iterator[tuple[str, Cells, Iterable[Cells]]]:
    """One worksheet, or as many as the rows need, every row also going to the CSV file."""

    def passing(rows: Iterable[Cells]) -> Iterator[Cells]:
        for cells in rows:
            out.row(cells)
            next(counter)
            yield cells

    for number in itertools.count(1):
        first = next(section, None)
        if first is None and number > 1:
            return
        part = itertools.islice(section, ROWS_PER_WORKSHEET - 1)
        rows = passing(itertools.chain([first], part)) if first is not None else ()
        yield title if number == 1 else f"{title[:26]} {number}", labels.ROW_HEADER, rows
        if first is None:
            return


def _head(snapshot: dict[str, Any]) -> list[Cells]:
    return [(label, snapshot[name]) for name, label in labels.HEAD.items()]


def _figures(figures: dict[str, int]) -> list[Cells]:
    """Counts as numbers, amounts in yuan; a figure that only exists with something withheld is left out otherwise."""
    return [
        (label, figures[name] if name in labels.COUNTS else yuan(figures[name]))
        for name, label in labels.FIGURES.items()
        if name != "withheld_gross" or figures["withheld_gross"] or figures["withheld_amount"]
    ]


def _cells(row: StatementRow, name_of: Callable[[int], str]) -> Cells:
    return (
        row.own_date,
        row.created_at,
        row.transaction_no,
        row.merchant_order_no,
        labels.KINDS.get(row.kind, str(row.kind)),
        name_of(row.contract_id),
        yuan(row.amount),
        yuan(row.fee),
        yuan(row.net),
    )


def _small_sections(content: SheetContent, name_of: Callable[[int], str]) -> Iterator[tuple[str, Cells, list[Cells]]]:
    items = (*content.items, *content.withheld)
    discounts = [(item.own_date, name_of(item.contract_id), yuan(item.discount)) for item in items if item.discount]
    yield labels.DISCOUNTS, labels.DISCOUNT_HEADER, discounts
    yield labels.ADJUSTMENTS, labels.ADJUSTMENT_HEADER, adjustment_lines(content)
    carried = [(sheet.pay_date, sheet.sheet_no, yuan(sheet.carry_out)) for sheet in content.carried]
    yield labels.CARRIED, labels.CARRIED_HEADER, carried
    withheld = [(item.own_date, name_of(item.contract_id), yuan(item.net)) for item in content.withheld]
    yield labels.WITHHELD, labels.WITHHELD_HEADER, withheld


def adjustment_lines(content: SheetContent) -> list[Cells]:
    """The parts of the adjustment amount: refunds added back, each direct booking, and what is left."""
    added_back = sum(item.refunded_from_settlement for item in (*content.items, *content.withheld))
    lines: list[Cells] = [("", labels.ADDED_BACK, "", yuan(added_back))] if added_back else []
    for each in content.movements:
        label = labels.EVENTS.get(each.event, labels.OTHER_EVENT)
        lines.append((each.posted_at, label, each.reference, yuan(each.amount)))
    rest = content.sheet.adjustment_amount - added_back - sum(each.amount for each in content.movements)
    if rest:
        lines.append(("", labels.PENDING_EFFECT, "", yuan(rest)))
    return lines


def _both(chinese: str, english: str) -> str:
    """Both names, once where they are the same."""
    return " ".join(dict.fromkeys(part for part in (chinese, english) if part))
