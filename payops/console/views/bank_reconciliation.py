"""The bank's statement beside our journal: one balance adjustment statement per reserve account and day."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from payops.channels.choices import BankAccountKind
from payops.channels.models import BankAccount
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import RowFilter, date_filter, latest_day
from payops.console.forms import DATE
from payops.console.lists import Button, keyset, list_page, without
from payops.console.report_parts import file_buttons
from payops.console.shell import action, page, view
from payops.console.sources import source_cells
from payops.core.formatting import money
from payops.core.ids import day_of
from payops.discrepancies.choices import AGE_BUCKETS
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.bank.choices import BalanceSource, OpenKind
from payops.reconciliation.bank.models import BankOpenItem, BankReconciliation
from payops.reconciliation.bank.selectors import age_of, ageing
from payops.reconciliation.bank.services import bank_reconcile

VOUCHER_STEP = 1000


class BankReconciliationFilter(django_filters.FilterSet):
    """Statements of an account or day; those in force unless asked for all."""

    date = date_filter("day", gettext_lazy("Day"))
    account = RowFilter(
        field_name="bank_account",
        label=gettext_lazy("Bank account"),
        queryset=BankAccount.objects.filter(kind=BankAccountKind.RESERVE).order_by("code"),
        to_field_name="code",
        empty_label=gettext_lazy("All"),
    )

    class Meta:
        model = BankReconciliation
        fields: list[str] = []


class ReconcileForm(forms.Form):
    """Which account, which day."""

    account = forms.ModelChoiceField(
        label=gettext_lazy("Bank account"), queryset=BankAccount.objects.none(), to_field_name="code", empty_label=None
    )
    day = forms.DateField(label=gettext_lazy("Day"), widget=DATE)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["account"].queryset = BankAccount.objects.filter(kind=BankAccountKind.RESERVE).order_by("code")


@view("runs.view")
def bank_reconciliation_list(request: HttpRequest) -> HttpResponseBase:
    """Balance adjustment statements, the latest first."""
    columns = [
        Column(_("Bank account")),
        Column(_("Day")),
        Column(_("State")),
        Column(_("Open items"), "c-amount"),
        Column(pgettext("bank reconciliation", "Journal"), "c-amount"),
        Column(_("Bank"), "c-amount"),
        Column(_("Adjusted journal"), "c-amount"),
        Column(_("Adjusted bank"), "c-amount"),
        Column(_("Bank balance from")),
    ]

    def row(made: BankReconciliation) -> list[Cell]:
        currency, url = made.bank_account.currency, link("bank_reconciliation", made.pk)
        return [
            cells.text(made.bank_account.code, url),
            cells.date(made.day, url),
            _verdict(made),
            cells.count(made.open_count, url),
            cells.money(made.journal_balance, currency),
            cells.money(made.bank_balance, currency),
            cells.money(made.adjusted_journal, currency),
            cells.money(made.adjusted_bank, currency),
            cells.text(made.get_source_display()),
        ]

    rows = BankReconciliation.objects.filter(is_current=True).select_related("bank_account")
    buttons = []
    if request.user.may("runs.start"):
        buttons.append(Button(_("Compare a day"), link("bank_reconcile"), primary=True))
    return list_page(
        request,
        title=_("Bank reconciliation"),
        filters=BankReconciliationFilter(
            request.GET, queryset=rows.annotate(open_count=Count("items")), request=request
        ),
        columns=columns,
        row=row,
        buttons=buttons,
        export_name="bank_reconciliations",
        empty=_("No day has been compared with the bank yet."),
    )


def _verdict(made: BankReconciliation) -> Cell:
    if made.difference:
        return cells.badge("different", _("Differs by %s") % money(made.difference, made.bank_account.currency))
    return cells.badge("agreed", _("Agrees"))


@view("runs.view")
def bank_reconciliation(request: HttpRequest, reconciliation_id: int) -> HttpResponseBase:
    """One balance adjustment statement: both balances with what adjusts them, and every open item behind it."""
    found = BankReconciliation.objects.select_related("bank_account").filter(pk=reconciliation_id).first()
    if found is None:
        raise Http404
    account, day = found.bank_account, found.day
    kind = request.GET.get("kind", "")
    items = found.items.select_related("bank_line")
    pages = keyset(request, items.filter(kind=kind) if kind in OpenKind.values else items, descending=False)
    buttons = file_buttons(request, "bank_reconciliation", account=account.code, day=day)
    if request.user.may("runs.start"):
        buttons.insert(
            0,
            Button(
                _("Compare again"),
                link("bank_reconcile"),
                post=True,
                fields={"account": account.code, "day": day.isoformat()},
            ),
        )
    lines = link("bank_line_list", account=account.code, date=day)
    facts = [
        (_("Bank account"), cells.text(account.code, note=account.bank_name)),
        (_("Day"), cells.date(day)),
        (_("Bank balance from"), cells.text(found.get_source_display(), lines)),
        (_("Entries compared"), cells.count(found.entry_count)),
        (_("Bank lines compared"), cells.count(found.line_count, lines)),
        (_("Made at"), Cell(cells.moment(found.made_at).text, css="c-date", note=found.made_by)),
    ]
    badges = [_verdict(found)]
    if not found.is_current:
        badges.append(cells.badge("replaced", _("Replaced by a later one")))
    if found.source == BalanceSource.COMPUTED:
        badges.append(cells.badge("waiting", _("No balance of the bank for this day")))
    context = {
        "parent_title": _("Bank reconciliation"),
        "parent_url": link("bank_reconciliation_list"),
        "badges": badges,
        "buttons": buttons,
        "facts": facts,
        "tiles": _tiles(request, found, kind),
        "sides": [_side(found, ours=True), _side(found, ours=False)],
        "ageing_table": _ageing_table(found),
        "items_table": _items_table(pages.rows, found),
        "versions_table": _versions_table(found),
        "pages": pages,
    }
    return page(request, "console/bank_reconciliation.html", context, title=f"{account.code} {day}")


def _tiles(request: HttpRequest, found: BankReconciliation, chosen: str) -> list[dict[str, Any]]:
    """One tile per kind of open items; choosing one filters the items, choosing it again shows all."""
    counts = dict(found.items.order_by().values_list("kind").annotate(Count("id")))
    tiles = []
    for kind in OpenKind:
        count = counts.get(kind.value, 0)
        here = without(request, "kind") if chosen == kind else f"{without(request, 'kind')}&kind={kind.value}"
        tiles.append(
            {
                "value": money(getattr(found, kind.value), found.bank_account.currency),
                "label": kind.label,
                "note": _("%d items") % count,
                "tone": "warning" if count else "base",
                "url": f"{here}#items" if count else "",
                "chosen": chosen == kind,
            }
        )
    return tiles


def _side(found: BankReconciliation, *, ours: bool) -> Table:
    """One half of the statement: a balance, what is added, what is taken off, and what it comes to."""
    currency = found.bank_account.currency
    if ours:
        title, first, balance = _("Our journal"), _("Balance of the journal"), found.journal_balance
        kinds, adjusted = (OpenKind.BANK_RECEIVED, OpenKind.BANK_PAID), found.adjusted_journal
        url = link("account_list", subject="100201", owner_no=found.bank_account.code, day=found.day)
    else:
        title, first, balance = _("The bank"), _("Balance at the bank"), found.bank_balance
        kinds, adjusted = (OpenKind.WE_RECEIVED, OpenKind.WE_PAID), found.adjusted_bank
        url = link("bank_line_list", account=found.bank_account.code, date=found.day)
    rows = [[cells.text(""), cells.text(first), cells.money(balance, currency, url)]]
    for sign, kind in zip(("+", "−"), kinds, strict=True):
        amount = getattr(found, kind.value)
        here = link("bank_reconciliation", found.pk, kind=kind.value)
        rows.append([cells.text(sign), cells.text(kind.label, here), cells.money(amount, currency, here)])
    foot = [cells.text("="), cells.text(_("Adjusted balance")), cells.money(adjusted, currency)]
    return Table([Column(""), Column(_("Term")), Column(_("Amount"), "c-amount")], rows, title=title, foot=foot)


def _ageing_table(found: BankReconciliation) -> Table:
    currency = found.bank_account.currency
    rows = [
        [cells.text(kind.label), *(cells.money(amount, currency) for amount in amounts)]
        for kind, amounts in ageing(found).items()
        if any(amounts)
    ]
    heads = [f"{first}–{last}" if last is not None else f">{first - 1}" for first, last in AGE_BUCKETS]
    columns = [Column(_("Open items")), *(Column(_("%s days") % head, "c-amount") for head in heads)]
    return Table(columns, rows, title=_("Age"))


def _items_table(items: list[BankOpenItem], found: BankReconciliation) -> Table:
    currency = found.bank_account.currency
    documents = source_cells((item.source_kind, item.source_id) for item in items if item.source_id)
    line_ids = [item.bank_line_id for item in items if item.bank_line_id]
    cases = {case.bank_line_id: case for case in Discrepancy.objects.filter(bank_line_id__in=line_ids)}
    rows = []
    for item in items:
        case = cases.get(item.bank_line_id) if item.bank_line_id else None
        rows.append(
            [
                cells.text(OpenKind(item.kind).label),
                cells.date(item.since),
                cells.count(age_of(item, found.day)),
                _document(item, documents),
                _booking(item),
                Cell(item.memo, css="c-wrap" if item.memo else ""),
                cells.money(item.amount, currency),
                cells.state(item.bank_line) if item.bank_line else cells.text("–"),
                cells.number(case.case_no, link("case_detail", case.pk)) if case else cells.text("–"),
            ]
        )
    columns = [
        Column(_("Kind")),
        Column(_("Open since")),
        Column(_("Days"), "c-amount"),
        Column(_("Document")),
        Column(_("Voucher")),
        Column(_("Memo")),
        Column(_("Amount"), "c-amount"),
        Column(_("State now")),
        Column(_("Case")),
    ]
    return Table(columns, rows, title=_("Open items"), empty=_("Nothing is open between journal and bank."))


def _document(item: BankOpenItem, documents: dict[tuple[str, int], Cell]) -> Cell:
    if item.bank_line:
        return cells.number(item.bank_line.reference, link("bank_line", item.bank_line_id))
    return documents.get((item.source_kind, item.source_id or 0), cells.text("–"))


def _booking(item: BankOpenItem) -> Cell:
    if not item.entry_id:
        return cells.text("–")
    voucher = item.entry_id - item.entry_id % VOUCHER_STEP
    return cells.number(voucher, link("voucher", voucher), note=day_of(item.entry_id).isoformat())


def _versions_table(found: BankReconciliation) -> Table:
    """Every statement of the day, where there was more than one."""
    others = BankReconciliation.objects.filter(bank_account=found.bank_account, day=found.day).order_by("-number")
    currency = found.bank_account.currency
    rows = [
        [
            cells.text(f"#{other.number}", link("bank_reconciliation", other.pk) if other.pk != found.pk else ""),
            cells.money(other.journal_balance, currency),
            cells.money(other.bank_balance, currency),
            cells.money(other.difference, currency, signed=True),
            cells.moment(other.made_at),
            cells.text(other.made_by),
        ]
        for other in others
    ]
    columns = [
        Column(_("Number")),
        Column(pgettext("bank reconciliation", "Journal"), "c-amount"),
        Column(_("Bank"), "c-amount"),
        Column(_("Difference"), "c-amount"),
        Column(_("Made at")),
        Column(_("By")),
    ]
    return Table(columns, rows if len(rows) > 1 else [], title=_("All statements of this day"))


@action("runs.start", methods=("GET", "POST"))
def bank_reconcile_view(request: HttpRequest) -> HttpResponse:
    """Make the statement of an account and day; where nothing changed it is the one there is."""
    form = ReconcileForm(request.POST or None, initial={"day": latest_day()})
    if request.method == "POST" and form.is_valid():
        made = bank_reconcile(
            account=form.cleaned_data["account"], day=form.cleaned_data["day"], by=request.user.get_username()
        )[-1]
        messages.success(request, _("Compared. The statement counts from now on."))
        return redirect(link("bank_reconciliation", made.pk))
    context = {
        "parent_title": _("Bank reconciliation"),
        "parent_url": link("bank_reconciliation_list"),
        "form": form,
        "form_button": _("Compare"),
        "lead": _("Earlier days that a late line has changed are compared again on the way."),
    }
    status = 400 if form.is_bound else 200
    return page(request, "console/form.html", context, title=_("Compare a day with the bank"), status=status)


urlpatterns = [
    path("bank-reconciliation/", bank_reconciliation_list, name="bank_reconciliation_list"),
    path("bank-reconciliation/compare/", bank_reconcile_view, name="bank_reconcile"),
    path("bank-reconciliation/<int:reconciliation_id>/", bank_reconciliation, name="bank_reconciliation"),
]
