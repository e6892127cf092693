"""Corrections of wrong vouchers: the list, the guided form from the voucher to the proposal, and the page of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import django_filters
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from payops.accounts.choices import CorrectionKind, DocumentState, Event, OwnerKind, Side
from payops.accounts.corrections import (
    CorrectionPlan,
    PlannedLine,
    RightLine,
    chain_of,
    correction_propose,
    kind_one_sided,
    links_of,
    plan_one_sided,
    plan_whole,
    reds_of,
    reversed_vouchers,
    voucher_get,
)
from payops.accounts.models import (
    Account,
    CorrectedEntry,
    Correction,
    CorrectionVoucher,
    Entry,
    ManualVoucher,
    PostingKey,
    Voucher,
)
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import choice_filter, exact_filter
from payops.console.line_rows import LineRow, amount_of, rows_drawn, rows_sent
from payops.console.lists import Button, list_page
from payops.console.shell import action, page, view
from payops.console.sources import source_cell
from payops.console.views.transactions import transactions_named
from payops.console.vouchers import account_cell, entries_of, subject_name, voucher_table, vouchers_by_id
from payops.core.errors import PayopsError
from payops.core.ids import day_of
from payops.core.money import exponent
from payops.discrepancies.models import CaseAction
from payops.merchants.models import Merchant
from payops.orders.models import Transaction
from payops.settlement.holds import row_is_cleared
from payops.settlement.models import Payout

FOUND_SHOWN = 50

# --- the list ---------------------------------------------------------------------------------------------------------


class CorrectionFilter(django_filters.FilterSet):
    """Corrections."""

    state = choice_filter("state", gettext_lazy("State"), DocumentState.choices)
    kind = choice_filter("kind", gettext_lazy("Kind"), CorrectionKind.choices)
    number = exact_filter("number", gettext_lazy("Number"))
    voucher = django_filters.NumberFilter(field_name="voucher_id", label=gettext_lazy("Wrong voucher"))

    class Meta:
        model = Correction
        fields: list[str] = []


@view("ledger.view")
def correction_list(request: HttpRequest) -> HttpResponseBase:
    """Corrections, the latest first."""
    buttons = []
    if request.user.may("ledger.correct"):
        buttons.append(Button(_("Correct a voucher"), link("correction_new"), primary=True))
    rows = Correction.objects.select_related("proposed_by", "approval__checker")
    columns = [
        Column(_("Correction")),
        Column(_("Kind")),
        Column(_("State")),
        Column(_("Wrong voucher")),
        Column(_("Amount"), "c-amount"),
        Column(_("Currency")),
        Column(_("Maker")),
        Column(_("Checker")),
        Column(_("Made")),
        Column(_("Booked")),
    ]
    return list_page(
        request,
        title=_("Corrections"),
        filters=CorrectionFilter(request.GET, queryset=rows, request=request),
        columns=columns,
        row=_row,
        buttons=buttons,
        export_name="corrections",
        empty=_("No voucher has been corrected."),
    )


def _row(item: Correction) -> list[Cell]:
    request_row = item.approval
    checker = request_row.checker if request_row else None
    return [
        cells.number(item.number, link("correction", item.pk)),
        cells.text(item.get_kind_display()),
        cells.state(item),
        cells.number(item.voucher_id, link("voucher", item.voucher_id)),
        cells.money(request_row.amount if request_row else None, (request_row and request_row.currency) or "CNY"),
        cells.text((request_row and request_row.currency) or "–"),
        cells.text(item.proposed_by.username),
        cells.text(checker.username if checker else "–"),
        cells.moment(item.created_at),
        cells.moment(item.booked_at),
    ]


# --- one correction ---------------------------------------------------------------------------------------------------


@view("ledger.view")
def correction(request: HttpRequest, correction_id: int) -> HttpResponseBase:
    """One correction: what was wrong, why, and what was booked."""
    found = Correction.objects.select_related("proposed_by", "approval__checker").filter(pk=correction_id).first()
    if found is None:
        raise Http404
    request_row = found.approval
    checker = request_row.checker if request_row else None
    facts = [
        (_("Wrong voucher"), cells.number(found.voucher_id, link("voucher", found.voucher_id))),
        (_("Reason"), Cell(found.reason, css="c-wrap")),
        (_("Maker"), cells.text(found.proposed_by.display_name, note=found.proposed_by.username)),
        (_("Made"), cells.moment(found.created_at)),
        (
            _("Request"),
            cells.text(f"#{request_row.pk}", link("approval", request_row.pk)) if request_row else cells.text("–"),
        ),
        (_("Checker"), cells.text(checker.display_name if checker else "–")),
        (_("Booked"), cells.moment(found.booked_at)),
    ]
    made = vouchers_by_id(found.vouchers.values_list("voucher_id", flat=True))
    wrong = {row.reverses for row in found.vouchers.all() if row.reverses} or {found.voucher_id}
    tables = [voucher_table(vouchers_by_id(wrong), title=_("The wrong voucher") if len(wrong) == 1 else _("The chain"))]
    if made:
        tables.append(voucher_table(made, title=_("Booked by this correction")))
    elif found.state == DocumentState.PROPOSED and request_row is not None:
        tables.append(_frozen_table(request_row.payload["vouchers"], request_row.currency))
    context = {
        "parent_title": _("Corrections"),
        "parent_url": link("correction_list"),
        "badges": [cells.badge("", found.get_kind_display(), tone="base"), cells.state(found)],
        "facts": facts,
        "tables": tables,
    }
    return page(request, "console/detail.html", context, title=found.number)


def _frozen_table(vouchers: list[dict[str, Any]], currency: str) -> Table:
    lines = [
        PlannedLine(line["account"], line["side"], line["amount"], int(line["takes_back"] or 0) or None)
        for voucher in vouchers
        for line in voucher["lines"]
    ]
    accounts = _accounts_of(lines)
    names = _merchant_names(accounts.values())
    rows = [_plan_cells(line, accounts, names, currency or "CNY") for line in lines]
    return Table(_plan_columns(), rows, title=_("What will be booked once it is approved"))


def _plan_columns() -> list[Column]:
    return [
        Column(_("Account")),
        Column(_("Debit"), "c-amount"),
        Column(_("Credit"), "c-amount"),
        Column(_("What the line does")),
    ]


def _accounts_of(lines: Iterable[PlannedLine]) -> dict[str, Account]:
    numbers = {line.account_no for line in lines}
    return Account.objects.select_related("subject").in_bulk(numbers, field_name="account_no")


def _merchant_names(accounts: Iterable[Account]) -> dict[str, str]:
    owners = {account.owner_no for account in accounts if account.owner_kind == OwnerKind.MERCHANT}
    return dict(Merchant.objects.filter(merchant_no__in=owners).values_list("merchant_no", "name"))


def _whose(account: Account, names: dict[str, str]) -> str:
    """The subject, and the merchant by name: one digit off is another merchant."""
    subject, name = subject_name(account.subject), names.get(account.owner_no, "")
    return f"{subject} · {name}" if name else subject


def _plan_cells(line: PlannedLine, accounts: dict[str, Account], names: dict[str, str], currency: str) -> list[Cell]:
    account = accounts[line.account_no]
    does = _("takes back line %s") % line.takes_back if line.takes_back else _("books it where it belongs")
    return [
        cells.number(account.account_no, link("account", account.pk), note=_whose(account, names)),
        cells.money(line.amount if line.side == Side.DEBIT else None, currency),
        cells.money(line.amount if line.side == Side.CREDIT else None, currency),
        cells.text(does),
    ]


# --- the guided form --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Draft:
    """What has been filled in so far."""

    whole: bool = False
    entries: list[int] = field(default_factory=list)
    rows: list[LineRow] = field(default_factory=list)
    reason: str = ""


@action("ledger.correct", methods=("GET", "POST"))
def correction_new(request: HttpRequest) -> HttpResponse:
    """Find the voucher, tick what is wrong, say what is right, look at what will be booked, propose it."""
    if request.method == "POST":
        return _sent(request)
    number = request.GET.get("voucher", "").strip()
    if number:
        return _form_page(request, _voucher_or_404(number), Draft())
    wanted = request.GET.get("q", "").strip()[:64]
    found = vouchers_found(wanted) if wanted else []
    if len(found) == 1:
        return redirect(link("correction_new", voucher=found[0].pk))
    table = None
    if wanted:
        table = _found_table(found)
        table.empty = _("Nothing has the number “%s”. Numbers are searched exactly as they are written.") % wanted
    context = {
        "parent_title": _("Corrections"),
        "parent_url": link("correction_list"),
        "wanted": wanted,
        "tables": [table] if table else [],
    }
    return page(request, "console/correction_find.html", context, title=_("Correct a voucher"))


def _voucher_or_404(number: str) -> Voucher:
    try:
        return voucher_get(int(number))
    except (ValueError, PayopsError) as error:
        raise Http404 from error


def vouchers_found(wanted: str) -> list[Voucher]:
    """Vouchers by their own number, or by that of the document they were made from; of payments also by their keys."""
    if wanted.isascii() and wanted.isdigit() and 15 <= len(wanted) <= 18:
        found = vouchers_by_id([int(wanted) // 1000 * 1000])
        if found:
            return found
    sources: list[tuple[str, int]] = []
    sources += [("transaction", row.pk) for row in transactions_named(wanted)]
    sources += [("payout", pk) for pk in Payout.objects.filter(payout_no=wanted).values_list("pk", flat=True)]
    actions = CaseAction.objects.filter(case__case_no=wanted, voucher_id__isnull=False)
    sources += [("case_action", pk) for pk in actions.values_list("pk", flat=True)]
    manual = ManualVoucher.objects.filter(number=wanted).values_list("pk", flat=True)
    sources += [("manual_voucher", pk) for pk in manual]
    made = CorrectionVoucher.objects.filter(correction__number=wanted).values_list("pk", flat=True)
    sources += [("correction_voucher", pk) for pk in made]
    keys = PostingKey.objects.filter(event__in=Event.values, source_id__in={pk for _kind, pk in sources})
    vouchers = vouchers_by_id(keys.values_list("voucher_id", flat=True))
    return [each for each in vouchers if (each.source_kind, each.source_id) in sources][:FOUND_SHOWN]


def _found_table(found: list[Voucher]) -> Table:
    rows = [
        [
            cells.number(each.pk, link("correction_new", voucher=each.pk)),
            cells.date(day_of(each.pk)),
            cells.text(Event(each.event).label),
            cells.date(each.business_date),
            cells.text(_("Correct…"), link("correction_new", voucher=each.pk)),
        ]
        for each in found
    ]
    columns = [
        Column(_("Voucher")),
        Column(_("Accounting day")),
        Column(_("Event")),
        Column(_("Business date")),
        Column(""),
    ]
    return Table(columns, rows, title=_("Vouchers found"))


def _sent(request: HttpRequest) -> HttpResponse:
    voucher = _voucher_or_404(request.POST.get("voucher", ""))
    draft = Draft(
        whole=request.POST.get("scope") == "whole",
        entries=[int(value) for value in request.POST.getlist("entry") if value.isascii() and value.isdigit()],
        rows=rows_sent(request),
        reason=request.POST.get("reason", "").strip()[:500],
    )
    step = request.POST.get("step", "preview")
    if step == "change":
        return _form_page(request, voucher, draft)
    try:
        right = [] if draft.whole else _right_lines(voucher, draft)
        if step == "propose":
            proposed = correction_propose(
                voucher_id=voucher.pk,
                user=request.user,
                reason=draft.reason,
                entry_ids=draft.entries,
                right=right,
                whole=draft.whole,
            )
            messages.success(request, _("Proposed as request #%d; another person decides.") % proposed.approval_id)
            return redirect(link("correction", proposed.pk))
        if not draft.reason:
            raise PayopsError("corrections.reason", _("Say why the voucher is wrong, so that the checker can judge."))
        plan = (
            plan_whole(voucher_id=voucher.pk)
            if draft.whole
            else plan_one_sided(voucher_id=voucher.pk, entry_ids=draft.entries, right=right)
        )
    except PayopsError as error:
        return _form_page(request, voucher, draft, error)
    return _preview_page(request, voucher, draft, plan)


def _right_lines(voucher: Voucher, draft: Draft) -> list[RightLine]:
    currency = _currency(entries_of([voucher]), draft.entries)
    return [RightLine(row.account, amount_of(row, currency)) for row in draft.rows]


def _currency(entries: list[Entry], ticked: list[int]) -> str:
    chosen = [entry for entry in entries if entry.pk in ticked] or entries
    return chosen[0].currency if chosen else "CNY"


def _form_page(request: HttpRequest, voucher: Voucher, draft: Draft, error: PayopsError | None = None) -> HttpResponse:
    entries = entries_of([voucher])
    currency = _currency(entries, draft.entries)
    whole, whole_refused = _whole_offer(voucher)
    context = {
        "parent_title": _("Corrections"),
        "parent_url": link("correction_list"),
        "voucher": voucher,
        "facts": _voucher_facts(voucher),
        "draft": draft,
        "trouble": str(error) if error else "",
        "warning": _cleared_warning(voucher),
        "one_sided_kind": kind_one_sided(voucher.pk).label,
        "one_sided_hint": _HINTS[kind_one_sided(voucher.pk)],
        "one_sided_refused": _one_sided_refusal(voucher, entries),
        "whole_kind": whole.kind.label if whole else _("Reversal"),
        "whole_hint": _HINTS[whole.kind] if whole else "",
        "whole_count": len(whole.vouchers) if whole else 0,
        "whole_refused": whole_refused,
        "chain_table": _found_chain(voucher),
        "lines": _line_choices(voucher, entries, draft),
        "rows": rows_drawn(draft.rows),
        "currency": currency,
        "exponent": exponent(currency),
    }
    title = _("Correct voucher %s") % voucher.pk
    return page(request, "console/correction_form.html", context, title=title, status=400 if error else 200)


_HINTS: dict[str, Any] = {
    CorrectionKind.SAME_DAY_WIPE: gettext_lazy(
        "The accounting day of the voucher is not closed yet: the wrong line is wiped, and merchants see neither it "
        "nor the line that wipes it."
    ),
    CorrectionKind.NEXT_DAY: gettext_lazy(
        "The accounting day of the voucher is closed: the wrong line is taken back in red today, and booked in blue on "
        "the right account."
    ),
    CorrectionKind.PRIOR_YEAR: gettext_lazy(
        "The voucher is of an earlier year: its books are finished, so the amount moves in blue from the wrong account "
        "to the right one."
    ),
    CorrectionKind.SAME_DAY_REVERSAL: gettext_lazy(
        "The accounting day is not closed yet: every voucher of the source document is cancelled and stays on record."
    ),
    CorrectionKind.RED_REVERSAL: gettext_lazy(
        "The accounting day is closed: a red voucher is booked today for every voucher of the source document."
    ),
}


def _cleared_warning(voucher: Voucher) -> str:
    """What to mind when the voucher's transaction is cleared: clearing computes from transactions, not from books."""
    if voucher.source_kind != "transaction":
        return ""
    row = Transaction.objects.filter(pk=voucher.source_id).first()
    if row is None or not row_is_cleared(row):
        return ""
    return _(
        "The transaction is cleared already, and clearing will not move this correction. What belongs to another "
        "merchant belongs on its settlement account (2202.02), not on its pending one."
    )


def _voucher_facts(voucher: Voucher) -> list[tuple[Any, Cell]]:
    day = day_of(voucher.pk)
    return [
        (_("Voucher"), cells.number(voucher.pk, link("voucher", voucher.pk))),
        (_("Accounting day"), cells.date(day, link("day", day))),
        (_("Event"), cells.text(Event(voucher.event).label)),
        (_("Source"), source_cell(voucher.source_kind, voucher.source_id)),
        (_("Memo"), cells.text(voucher.memo or "–")),
    ]


def _whole_offer(voucher: Voucher) -> tuple[CorrectionPlan | None, str]:
    """The plan of a reversal, or why there is none."""
    try:
        return plan_whole(voucher_id=voucher.pk), ""
    except PayopsError as error:
        return None, str(error)


def _one_sided_refusal(voucher: Voucher, entries: list[Entry]) -> str:
    if reversed_vouchers([voucher.pk]):
        return _("The voucher was reversed as a whole.")
    links, reds = links_of([voucher.pk]), reds_of(voucher.pk)
    if all(_why_not(entry, links, reds) for entry in entries):
        return _("No line of the voucher can be corrected any more.")
    return ""


def _why_not(entry: Entry, links: dict[int, CorrectedEntry], reds: dict[int, CorrectedEntry]) -> str:
    if entry.pk in links:
        return _("corrected by %s") % links[entry.pk].correction.number
    if entry.pk in reds:
        return _("takes back line %s") % reds[entry.pk].entry_id
    return _("red") if entry.amount < 0 else ""


def _line_choices(voucher: Voucher, entries: list[Entry], draft: Draft) -> list[dict[str, Any]]:
    links, reds = links_of([voucher.pk]), reds_of(voucher.pk)
    return [
        {
            "pk": str(entry.pk),
            "side": entry.side,
            "amount": entry.amount,
            "account": account_cell(entry),
            "number": entry.account.account_no,
            "debit": cells.money(entry.amount if entry.side == Side.DEBIT else None, entry.currency),
            "credit": cells.money(entry.amount if entry.side == Side.CREDIT else None, entry.currency),
            "currency": entry.currency,
            "ticked": entry.pk in draft.entries,
            "refused": _why_not(entry, links, reds),
        }
        for entry in entries
    ]


def _found_chain(voucher: Voucher) -> Table | None:
    chain = chain_of(voucher)
    return voucher_table(chain, title=_("All vouchers of the source document")) if len(chain) > 1 else None


def _preview_page(request: HttpRequest, voucher: Voucher, draft: Draft, plan: CorrectionPlan) -> HttpResponse:
    tables = []
    for planned in plan.vouchers:
        title = _("Booked on accounting day %s") % planned.day
        if planned.reverses:
            title = _("Cancels voucher %(voucher)s, booked on accounting day %(day)s") % {
                "voucher": planned.reverses,
                "day": planned.day,
            }
        accounts = _accounts_of(planned.lines)
        names = _merchant_names(accounts.values())
        rows = [_plan_cells(line, accounts, names, plan.currency or "CNY") for line in planned.lines]
        tables.append(Table(_plan_columns(), rows, title=title))
    tables.append(_balance_table(plan))
    context = {
        "parent_title": _("Corrections"),
        "parent_url": link("correction_list"),
        "badges": [cells.badge("", plan.kind.label, tone="info")],
        "voucher": voucher,
        "facts": [
            *_voucher_facts(voucher),
            (_("Amount"), cells.money(plan.amount, plan.currency or "CNY")),
            (_("Reason"), Cell(draft.reason, css="c-wrap")),
        ],
        "warning": _cleared_warning(voucher),
        "draft": draft,
        "tables": tables,
    }
    return page(request, "console/correction_preview.html", context, title=_("Look before you propose"))


def _balance_table(plan: CorrectionPlan) -> Table:
    """Balances now and after: a merchant that has spent what was never its own goes below zero here, visibly."""
    numbers = {line.account_no for planned in plan.vouchers for line in planned.lines}
    accounts = Account.objects.filter(account_no__in=numbers).select_related("subject").order_by("account_no")
    names = _merchant_names(accounts)
    rows = []
    for account in accounts:
        lines = [line for planned in plan.vouchers for line in planned.lines if line.account_no == account.account_no]
        moved = sum(line.amount if line.side == account.subject.normal_side else -line.amount for line in lines)
        rows.append(
            [
                cells.number(account.account_no, link("account", account.pk), note=_whose(account, names)),
                cells.money(account.balance, account.currency),
                cells.money(moved, account.currency, signed=True),
                cells.money(account.balance + moved, account.currency),
            ]
        )
    columns = [
        Column(_("Account")),
        Column(_("Balance now"), "c-amount"),
        Column(pgettext("balance", "Change"), "c-amount"),
        Column(_("Balance after"), "c-amount"),
    ]
    return Table(columns, rows, title=_("What it does to the accounts"))


urlpatterns = [
    path("ledger/corrections/", correction_list, name="correction_list"),
    path("ledger/corrections/new/", correction_new, name="correction_new"),
    path("ledger/corrections/<int:correction_id>/", correction, name="correction"),
]
