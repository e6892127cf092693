"""The rows of reconciliation's exports, as streams: every piece is a few look-ups by key, never one per row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from django.utils.translation import gettext as _

from payops.channels.bills.selectors import line_range
from payops.channels.choices import LineKind
from payops.channels.models import BillLine
from payops.core.ids import DAY_STEP
from payops.core.money import major
from payops.discrepancies.models import Discrepancy
from payops.identity.models import User
from payops.orders.choices import Kind
from payops.orders.models import Transaction
from payops.orders.selectors import own_strays, own_window
from payops.reconciliation.choices import ItemState, ResultKind
from payops.reconciliation.comparison import Change, rows_streamed, run_compare
from payops.reconciliation.models import OpenItem, ReconResult, ReconRun
from payops.reconciliation.workbench import Difference, differences, with_both_sides

Rows: TypeAlias = Iterator[Sequence[Any]]
PIECE: Final = 2_000
LIVE: Final = (ItemState.IN_DOUBT, ItemState.DEFINITE)
OPEN_ITEM_FILTERS: Final[Mapping[str, str]] = {
    "state": "",
    "result": "result",
    "contract": "contract__code",
    "first_date": "first_date",
    "cleared_date": "cleared_date",
    "match_key": "match_key",
}
"""What open items are filtered by, and the look-up of each; a state may also be one of the two words below."""
ALL_LIVE: Final = "live"
EVERY_STATE: Final = "all"


def result_header() -> list[str]:
    """Both sides, what they differ by, and where it stands."""
    return [
        _("Result"),
        _("Matching key"),
        _("Transaction number"),
        _("Kind"),
        _("Status"),
        _("Merchant"),
        _("Own amount"),
        _("Expected fee"),
        _("Created"),
        _("Line"),
        _("Channel trade number"),
        _("Channel status"),
        _("Channel amount"),
        _("Channel fee"),
        _("Occurred"),
        _("Difference"),
        _("Currency"),
        _("Now"),
        _("Case"),
        _("Owner"),
    ]


def result_rows(run: ReconRun, *, kind: str, hands: str, username: str) -> tuple[Rows, int]:
    """Differences of a run as the workbench filters them, and how many there are."""
    user = User.objects.filter(username=username).first()
    found = differences(run, kind=kind, hands=hands, user=user)
    return _result_stream(found, run.contract.currency), found.count()


def _result_stream(found: Any, currency: str) -> Rows:
    last = 0
    while piece := list(found.filter(pk__gt=last).order_by("pk")[:PIECE]):
        last = piece[-1].pk
        for row in with_both_sides(piece):
            yield _result_row(row, currency)


def _result_row(row: Difference, currency: str) -> Sequence[Any]:
    result, case = row.result, row.result.case
    return [
        str(result.get_kind_display()),
        result.match_key,
        *_own_cells(row.own, result, currency),
        *_line_cells(row.line, result, currency),
        major(result.d, currency),
        currency,
        str(result.item.get_state_display()) if result.item else "",
        case.case_no if case else "",
        case.owner.username if case and case.owner else "",
    ]


def _own_cells(own: Transaction | None, result: ReconResult | None, currency: str) -> Sequence[Any]:
    if own is None:
        return [""] * 7
    amount = result.own_amount if result is not None else own.sign * own.amount
    fee = result.own_fee if result is not None else own.expected_cost
    return [
        own.transaction_no,
        str(own.get_kind_display()),
        str(own.get_status_display()),
        own.merchant.merchant_no,
        major(amount, currency),
        major(fee, currency),
        own.created_at,
    ]


def _line_cells(line: BillLine | None, result: ReconResult | None, currency: str) -> Sequence[Any]:
    if line is None:
        return [""] * 6
    fee = result.channel_fee if result is not None else line.fee
    amount = major(result.channel_amount, currency) if result is not None else major(line.amount, currency)
    return [str(line.pk % DAY_STEP % 10**8), line.trade_no, line.status, amount, major(fee, currency), line.occurred_at]


def matched_rows(run: ReconRun) -> Rows:
    """What simply matched: lines of the run's file that are in no result, each beside our row of its key.

    Our rows are looked up by key for one piece of the file at a time; nothing of the day is held in memory but the
    record numbers of its differences.
    """
    low, high = line_range(run.file)
    differing = set(run.result_rows.exclude(bill_line_id=None).values_list("bill_line_id", flat=True))
    label, currency = str(ResultKind.MATCHED.label), run.contract.currency
    last = low - 1
    while piece := list(BillLine.objects.in_range(last + 1, high).order_by("pk")[:PIECE]):
        last = piece[-1].pk
        own = _own_by_key(run, [line.match_key for line in piece])
        for line in piece:
            row = own.get((line.match_key, _own_kind(line.kind)))
            if line.pk in differing or row is None or row.amount != line.amount:
                continue
            yield [
                label,
                line.match_key,
                *_own_cells(row, None, currency),
                *_line_cells(line, None, currency),
                Decimal(0),
                currency,
                "",
                "",
                "",
            ]


def _own_kind(kind: int) -> int:
    """A reversal in the bill answers our void."""
    return int(Kind.VOID) if kind == LineKind.REVERSAL else kind


def _own_by_key(run: ReconRun, keys: list[str]) -> dict[tuple[str, int], Transaction]:
    """Our rows of the run's day; of several with one key the first is the one that matched."""
    low, high = own_window(run.channel_date)
    mine = {"contract": run.contract_id, "own_date": run.channel_date, "match_key__in": keys}
    rows = list(Transaction.objects.in_range(low, high).filter(**mine).select_related("merchant").order_by("-pk"))
    strays = own_strays(run.channel_date, run.contract_id)
    if strays:
        rows += Transaction.objects.filter(pk__in=strays, **mine).select_related("merchant")
    return {(row.match_key, row.kind): row for row in rows}


def comparison_header() -> list[str]:
    """A difference in both runs."""
    side = [_("Result"), _("Own amount"), _("Channel amount"), _("Difference")]
    before, now = ([time % name for name in side] for time in (_("Before: %s"), _("Now: %s")))
    return [_("Change"), _("Matching key"), *before, *now]


def comparison_rows(now: ReconRun, before: ReconRun, change: str) -> tuple[Rows, int]:
    """Differences of two runs, those of one change or all that are not the same."""
    counted = run_compare(now, before).changes
    wanted = [change] if change else [each for each in Change.values if each != Change.SAME]
    return _comparison_stream(now, before, change), sum(counted[each] for each in wanted)


def _comparison_stream(now: ReconRun, before: ReconRun, change: str) -> Rows:
    currency = now.contract.currency
    for row in rows_streamed(now, before, change=change):
        cells = [str(Change(row.change).label), row.match_key]
        for side in (row.before, row.now):
            if side is None:
                cells += [""] * 4
                continue
            amounts = (side["own_amount"], side["channel_amount"], side["d"])
            cells += [str(ResultKind(side["kind"]).label), *(major(amount, currency) for amount in amounts)]
        yield cells


def open_item_header() -> list[str]:
    """An open item with its age's dates and its case."""
    return [
        _("Channel"),
        _("Result"),
        _("State"),
        _("Matching key"),
        _("Difference"),
        _("Currency"),
        _("First seen"),
        _("Definite since"),
        _("Case"),
        _("Owner"),
        _("Merchant"),
    ]


def open_item_rows(values: Mapping[str, str]) -> tuple[Rows, int]:
    """Open items by the filters of their list; without a state those every run re-tries."""
    state = values.get("state", ALL_LIVE)
    items = OpenItem.objects.all()
    if state != EVERY_STATE:
        items = items.filter(state__in=LIVE if state == ALL_LIVE else [state])
    for name, lookup in OPEN_ITEM_FILTERS.items():
        if lookup and values.get(name):
            items = items.filter(**{lookup: values[name]})
    return _item_stream(items.select_related("contract", "case__owner", "case__merchant")), items.count()


def _item_stream(items: Any) -> Rows:
    last = 0
    while piece := list(items.filter(pk__gt=last).order_by("pk")[:PIECE]):
        last = piece[-1].pk
        for item in piece:
            case: Discrepancy | None = item.case
            yield [
                item.contract.code,
                str(item.get_result_display()),
                str(item.get_state_display()),
                item.match_key,
                major(item.d, item.currency),
                item.currency,
                item.first_date,
                item.definite_date,
                case.case_no if case else "",
                case.owner.username if case and case.owner else "",
                case.merchant.merchant_no if case and case.merchant else "",
            ]
