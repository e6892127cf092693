"""The merchant's pages. They only read; what a merchant may not see does not exist for it (404)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final

from django.core.paginator import Paginator
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST
from django.views.i18n import set_language

from payops.core import audit
from payops.core.errors import PayopsError
from payops.core.exports import csv_lines
from payops.core.money import major
from payops.identity.decorators import merchant_required
from payops.identity.services import user_set_language
from payops.orders.choices import Kind, Status
from payops.portal import selectors, states
from payops.portal.forms import PageNumber, TransactionFilter, channel_name
from payops.portal.guards import page
from payops.statements.services import statement_file

ROWS: Final = 50
ITEM_ROWS: Final = 100
SHEETS_AT_HOME: Final = 5
EXPORT_CHUNK: Final = 2_000


@page("portal.view")
def home(request: HttpRequest) -> HttpResponse:
    """Where the money stands, what was settled last, what comes next."""
    merchant = request.merchant
    context = {
        "balances": selectors.balances(merchant),
        "sheets": with_words(selectors.sheets(request.user)[:SHEETS_AT_HOME]),
        "payouts": [(each, selectors.payout_label(each)) for each in selectors.latest_payouts(request.user, 5)],
        "expected": selectors.expected_next(merchant),
        "carried": selectors.carried_to_next(merchant),
        "account": selectors.account_in_use(merchant),
        "statements": selectors.statements(request.user)[:4],
    }
    return render(request, "portal/home.html", context)


def with_words(sheets: Any) -> list[tuple[Any, states.Told]]:
    """Sheets with what a merchant is told of their state."""
    return [(sheet, states.sheet_told(sheet.state)) for sheet in sheets]


# --- transactions -----------------------------------------------------------------------------------------------------


@page("portal.transactions")
def transaction_list(request: HttpRequest) -> HttpResponse:
    """A page of transactions by the filter; the next page begins below the last number of this one."""
    form = _filter(request)
    rows: list[Any] = []
    more = None
    if form.is_valid():
        found = _filtered(request, form.cleaned_data)
        before = form.cleaned_data["before"]
        rows = list((found.filter(pk__lt=before) if before else found)[: ROWS + 1])
        if len(rows) > ROWS:
            rows = rows[:ROWS]
            more = _address(request, before=rows[-1].pk)
    context = {
        "form": form.shown(),
        "errors": form.errors,
        "rows": [_row(each) for each in rows],
        "more": more,
        "newest": _address(request) if request.GET.get("before") else None,
        "export": _address(request),
    }
    status = 200 if form.is_valid() else 400
    return render(request, "portal/transactions.html", context, status=status)


@page("portal.transactions")
def transaction_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything a merchant may know of one transaction: its fee, not our cost."""
    row = selectors.transaction_of(request.user, pk)
    if row is None:
        raise Http404
    context = {
        **_row(row),
        "original": selectors.original_of(request.user, row),
        "refunds": [_row(each) for each in selectors.refunds_shown(row)] if row.kind == Kind.PAYMENT else [],
    }
    return render(request, "portal/transaction.html", context)


@page("portal.transactions")
def transaction_export(request: HttpRequest) -> HttpResponse:
    """The filtered transactions as CSV, streamed."""
    form = _filter(request)
    if not form.is_valid():
        return render(request, "portal/transactions.html", {"form": form, "errors": form.errors}, status=400)
    data = form.cleaned_data
    audit.record(
        username=request.user.get_username(),
        action="transactions.exported",
        object_kind="merchant",
        object_id=request.merchant.merchant_no,
        detail={name: str(data[name]) for name in ("first", "last", "kind", "status", "channel", "number")},
        ip=request.META.get("REMOTE_ADDR"),
    )
    # Words are looked up now: while the file streams, the request and its language are gone.
    lines = csv_lines(_export_header(), _export_rows(_filtered(request, data)))
    response = StreamingHttpResponse((line.encode() for line in lines), content_type="text/csv; charset=utf-8")
    name = f"transactions_{request.merchant.pk}_{data['first']:%Y%m%d}_{data['last']:%Y%m%d}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _filter(request: HttpRequest) -> TransactionFilter:
    return TransactionFilter(request.GET, channels=selectors.channels(), today=selectors.today())


def _filtered(request: HttpRequest, data: dict[str, Any]) -> Any:
    """The transactions the filter means. A transaction number finds its row whatever the period."""
    found = selectors.transactions(request.user, data["first"], data["last"])
    if data["number"]:
        row = selectors.transaction_by_exact_number(request.user, data["number"])
        if row is not None:
            found = selectors.transactions(request.user, row.own_date, row.own_date).filter(pk=row.pk)
        else:
            found = found.filter(merchant_order_no=data["number"])
    if data["kind"] is not None:
        found = found.filter(kind=data["kind"])
    if data["status"]:
        found = found.filter(status=data["status"])
    if data["channel"]:
        found = found.filter(contract__channel__code=data["channel"])
    return found


def _row(row: Any) -> dict[str, Any]:
    """A transaction with what a page shows of it: signed amount, fee, what is left for the merchant."""
    amount = row.sign * row.amount
    counts = row.effective_at is not None
    return {
        "row": row,
        "amount": amount,
        "fee": row.fee if counts else None,
        "net": amount - row.fee if counts else None,
        "channel": channel_name(row.contract.channel),
        "tone": states.TRANSACTIONS.get(row.status, ""),
    }


def _address(request: HttpRequest, **changes: Any) -> str:
    query = request.GET.copy()
    query.pop("before", None)
    for name, value in changes.items():
        query[name] = str(value)
    return f"?{query.urlencode()}"


def _export_header() -> list[str]:
    return [
        _("Accounting date"),
        _("Time"),
        _("Transaction number"),
        _("Order number"),
        _("Kind"),
        _("Status"),
        _("Channel"),
        _("Amount"),
        _("Fee"),
        _("Net"),
        _("Currency"),
    ]


def _export_rows(found: Any) -> Iterator[list[Any]]:
    kinds = {value: str(label) for value, label in Kind.choices}
    words = {value: str(label) for value, label in Status.choices}
    names = {channel.pk: channel_name(channel) for channel in selectors.channels()}

    def rows() -> Iterator[list[Any]]:
        for row in found.iterator(chunk_size=EXPORT_CHUNK):
            amount, counts = row.sign * row.amount, row.effective_at is not None
            yield [
                row.own_date,
                row.created_at,
                row.transaction_no,
                row.merchant_order_no,
                kinds[row.kind],
                words[row.status],
                names[row.contract.channel_id],
                major(amount, row.currency),
                major(row.fee, row.currency) if counts else None,
                major(amount - row.fee, row.currency) if counts else None,
                row.currency,
            ]

    return rows()


# --- settlements ------------------------------------------------------------------------------------------------------


@page("portal.statements")
def sheet_list(request: HttpRequest) -> HttpResponse:
    """All settlements, newest first."""
    found = _page_of(request, selectors.sheets(request.user))
    context = {"page": found, "sheets": with_words(found.object_list)}
    return render(request, "portal/sheets.html", context)


@page("portal.statements")
def sheet_detail(request: HttpRequest, sheet_no: str) -> HttpResponse:
    """One settlement with every term of it, each leading to what it is made of."""
    sheet = get_object_or_404(selectors.sheets(request.user), sheet_no=sheet_no)
    items = list(sheet.items.select_related("contract__channel").order_by("own_date", "contract__code", "id"))
    context = {
        "sheet": sheet,
        "told": states.sheet_told(sheet.state),
        "items": [(item, channel_name(item.contract.channel)) for item in items],
        "discount": sum(item.discount for item in items),
        "carried_from": list(sheet.carried_from.all()),
        "carried_to": sheet.carried_to,
        "payouts": [(each, selectors.payout_label(each)) for each in sheet.seen_payouts],
        "statements": selectors.statements(request.user).filter(sheet=sheet),
    }
    return render(request, "portal/sheet.html", context)


@page("portal.statements")
def sheet_item(request: HttpRequest, sheet_no: str, item_id: int) -> HttpResponse:
    """The transactions one line of a settlement is the sum of."""
    sheet = get_object_or_404(selectors.sheets(request.user), sheet_no=sheet_no)
    item = selectors.item_of(sheet, item_id)
    number = _page_number(request)
    if item is None:
        raise Http404
    rows, more = selectors.item_page(item, (number - 1) * ITEM_ROWS, ITEM_ROWS)
    context = {
        "sheet": sheet,
        "item": item,
        "channel": channel_name(item.contract.channel),
        "rows": [(row, Kind(row.kind).label) for row in rows],
        "previous": number - 1 or None,
        "next": number + 1 if more else None,
    }
    return render(request, "portal/item.html", context)


# --- statements -------------------------------------------------------------------------------------------------------


@page("portal.statements")
def statement_list(request: HttpRequest) -> HttpResponse:
    """Statements to download, with their digests."""
    return render(request, "portal/statements.html", {"page": _page_of(request, selectors.statements(request.user))})


@page("portal.statements")
def statement_download(request: HttpRequest, pk: int) -> HttpResponse | FileResponse:
    """The bytes of a statement, always the same ones; who took them is in the audit log."""
    statement = get_object_or_404(selectors.statements(request.user), pk=pk)
    try:
        path = statement_file(statement)
    except PayopsError as error:
        return render(request, "portal/refused.html", {"message": str(error)}, status=409)
    audit.record(
        username=request.user.get_username(),
        action="statement.downloaded",
        object_kind="statement",
        object_id=statement.pk,
        detail={"file": statement.file_name, "sha256": statement.sha256},
        ip=request.META.get("REMOTE_ADDR"),
    )
    response = FileResponse(path.open("rb"), as_attachment=True, filename=statement.file_name)
    response["Repr-Digest"] = f"sha-256=:{b64encode(bytes.fromhex(statement.sha256)).decode()}:"
    return response


# --- the rest ---------------------------------------------------------------------------------------------------------


@require_POST
@merchant_required
def language(request: HttpRequest) -> HttpResponse:
    """Switch the language now, and remember it for the next login."""
    user_set_language(user=request.user, language=request.POST.get("language", ""))
    return set_language(request)


def _page_number(request: HttpRequest) -> int:
    form = PageNumber(request.GET)
    if not form.is_valid():
        raise Http404
    return form.cleaned_data["page"] or 1


def _page_of(request: HttpRequest, found: Any) -> Any:
    paginator = Paginator(found, ROWS)
    number = _page_number(request)
    if number > paginator.num_pages:
        raise Http404
    return paginator.page(number)
