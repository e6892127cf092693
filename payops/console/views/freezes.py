"""The register of freezes and deductions, the slip with its releases, and proposing to place or release one."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db.models import F, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from payops.accounts.choices import Event, OwnerKind
from payops.accounts.freeze_approval import freeze_propose, release_propose
from payops.accounts.freezes import SLIP_SOURCE, SOURCES, source_text
from payops.accounts.models import Account, Deduction, Freeze
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import choice_filter, exact_filter, moment_filter
from payops.console.lists import Button, list_page
from payops.console.shell import action, page, view
from payops.console.views.proposals import proposal_page
from payops.core.errors import PayopsError
from payops.core.money import parse_amount
from payops.core.retelling import retold

IN_FORCE, RELEASED = "in_force", "released"


# --- the register -----------------------------------------------------------------------------------------------------


class FreezeFilter(django_filters.FilterSet):
    """Slips."""

    state = django_filters.ChoiceFilter(
        method="in_state",
        label=gettext_lazy("State"),
        choices=[
            (IN_FORCE, pgettext_lazy("freeze", "In force")),
            (RELEASED, pgettext_lazy("freeze", "Released")),
        ],
        empty_label=gettext_lazy("All"),
    )
    account = exact_filter("account__account_no", gettext_lazy("Account"))
    owner_kind = choice_filter("account__owner_kind", gettext_lazy("Owner"), OwnerKind.choices)
    owner_no = exact_filter("account__owner_no", gettext_lazy("Owner number"))
    source_kind = choice_filter("source_kind", gettext_lazy("Source"), list(SOURCES.items()))
    date = moment_filter("created_at", gettext_lazy("Placed on"))

    class Meta:
        model = Freeze
        fields: list[str] = []

    def in_state(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Slips that still hold something, or those that do not."""
        return queryset.filter(remaining__gt=0) if value == IN_FORCE else queryset.filter(remaining=0)


@view("ledger.view")
def freeze_list(request: HttpRequest) -> HttpResponseBase:
    """The register; slips in force unless asked for others."""
    data = request.GET.copy()
    data.setdefault("state", IN_FORCE)
    return list_page(
        request,
        title=_("Freezes"),
        filters=FreezeFilter(data, queryset=Freeze.objects.select_related("account"), request=request),
        columns=[Column(_("Freeze")), Column(_("Account")), *_slip_columns()],
        row=lambda slip: [
            cells.number(slip.pk, link("freeze", slip.pk)),
            cells.number(slip.account.account_no, link("account", slip.account_id)),
            *_slip_cells(slip),
        ],
        export_name="freezes",
        buttons=[Button(_("Deductions"), link("deduction_list"))],
        empty=_("There are no such freezes."),
    )


def _slip_columns() -> list[Column]:
    return [
        Column(_("Currency")),
        Column(_("Amount"), "c-amount"),
        Column(_("Still frozen"), "c-amount"),
        Column(_("State")),
        Column(_("Source")),
        Column(_("Reason")),
        Column(_("By")),
        Column(_("Since, released")),
    ]


def _slip_cells(slip: Freeze) -> list[Cell]:
    return [
        cells.text(slip.account.currency),
        cells.money(slip.amount, slip.account.currency),
        cells.money(slip.remaining, slip.account.currency),
        _state(slip),
        cells.text(source_text(slip.source_kind, slip.source_id)),
        Cell(slip.reason, css="c-wrap"),
        cells.text(slip.created_by),
        cells.between(slip.created_at, slip.released_at),
    ]


def _state(slip: Freeze) -> Cell:
    if slip.remaining == 0:
        return cells.badge("closed", _("Released"))
    return cells.badge("held", _("Partly released") if slip.remaining < slip.amount else _("In force"))


def slip_table(account: Account) -> Table:
    """The slips in force of an account, oldest first: the order in which money that comes belongs to them."""
    slips = Freeze.objects.filter(account=account, remaining__gt=0).select_related("account").order_by("id")
    rows = [[cells.number(slip.pk, link("freeze", slip.pk)), *_slip_cells(slip)] for slip in slips]
    table = Table([Column(_("Freeze")), *_slip_columns()], rows, title=_("Freezes in force"))
    table.note = _("Money that comes belongs to the oldest slip first.")
    return table


# --- one slip ---------------------------------------------------------------------------------------------------------


def _slip_or_404(freeze_id: int) -> Freeze:
    found = Freeze.objects.select_related("account").filter(pk=freeze_id).first()
    if found is None:
        raise Http404
    return found


@view("ledger.view")
def freeze(request: HttpRequest, freeze_id: int) -> HttpResponseBase:
    """One slip: where it comes from, and every release with who and why."""
    slip = _slip_or_404(freeze_id)
    currency = slip.account.currency
    deduction = Deduction.objects.filter(freeze=slip).first()
    releasable = slip.remaining > 0 and deduction is None and request.user.may("adjustments.propose")
    facts = [
        (_("Account"), cells.number(slip.account.account_no, link("account", slip.account_id))),
        (_("Owner number"), cells.text(slip.account.owner_no or "–")),
        (_("Amount"), cells.money(slip.amount, currency)),
        (_("Still frozen"), cells.money(slip.remaining, currency)),
        (_("Currency"), cells.text(currency)),
        (_("Source"), cells.text(source_text(slip.source_kind, slip.source_id))),
        (_("Reason"), cells.text(slip.reason or "–")),
        (_("By"), cells.text(slip.created_by)),
        (_("Since"), cells.moment(slip.created_at)),
        (_("Released at"), cells.moment(slip.released_at)),
    ]
    rows = [
        [
            cells.moment(release.released_at),
            cells.money(release.amount, currency),
            Cell(retold(release.reason) or "–", css="c-wrap"),
            cells.text(release.released_by),
        ]
        for release in slip.releases.order_by("-id")
    ]
    columns = [Column(_("Time")), Column(_("Amount"), "c-amount"), Column(_("Reason")), Column(_("By"))]
    tables = [Table(columns, rows, title=_("Releases"), empty=_("Nothing has been released yet."))]
    if deduction is not None:
        tables.append(_part_table(deduction, currency))
    context = {
        "parent_title": _("Freezes"),
        "parent_url": link("freeze_list"),
        "badges": [_state(slip)],
        "buttons": [Button(_("Release"), link("freeze_release", slip.pk), primary=True)] if releasable else [],
        "facts": facts,
        "tables": tables,
    }
    return page(request, "console/detail.html", context, title=_("Freeze %d") % slip.pk)


# --- placing and releasing --------------------------------------------------------------------------------------------


class AmountForm(forms.Form):
    """An amount as people write it, in the currency of the account, and a reason."""

    amount = forms.CharField(
        label=gettext_lazy("Amount"), max_length=24, widget=forms.TextInput(attrs={"inputmode": "decimal"})
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=200)

    def __init__(self, *args: Any, currency: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.currency = currency

    def clean_amount(self) -> int | None:
        """Minor units."""
        text = self.cleaned_data["amount"]
        if not text and not self.fields["amount"].required:
            return None
        try:
            return parse_amount(text, self.currency)
        except PayopsError as error:
            raise forms.ValidationError(str(error)) from error


class PlaceForm(AmountForm):
    """A slip to place."""

    source_kind = forms.ChoiceField(
        label=gettext_lazy("Source"), choices=[(kind, label) for kind, label in SOURCES.items() if kind != SLIP_SOURCE]
    )
    source_id = forms.CharField(label=gettext_lazy("Number of the order or letter"), max_length=64)
    field_order = ["amount", "source_kind", "source_id", "reason"]


class ReleaseForm(AmountForm):
    """A release, of everything unless an amount is written."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount"].required = False
        self.fields["amount"].help_text = _("Leave it blank to release all that is left.")


@action("adjustments.propose", methods=("GET", "POST"))
def freeze_new(request: HttpRequest, account_id: int) -> HttpResponse:
    """Propose a slip on an account."""
    found = Account.objects.filter(pk=account_id).first()
    if found is None:
        raise Http404
    return proposal_page(
        request,
        PlaceForm(request.POST or None, currency=found.currency),
        lambda data: freeze_propose(account=found, maker=request.user, **data),
        title=_("Place a freeze"),
        parent=(found.account_no, link("account", found.pk)),
        lead=_("The amount may exceed the balance: what comes later is frozen too."),
        tables=[slip_table(found)],
    )


@action("adjustments.propose", methods=("GET", "POST"))
def freeze_release(request: HttpRequest, freeze_id: int) -> HttpResponse:
    """Propose to release a slip, whole or in part."""
    slip = _slip_or_404(freeze_id)
    left = cells.money(slip.remaining, slip.account.currency).text
    return proposal_page(
        request,
        ReleaseForm(request.POST or None, currency=slip.account.currency),
        lambda data: release_propose(freeze=slip, maker=request.user, **data),
        title=_("Release a freeze"),
        parent=(_("Freeze %d") % slip.pk, link("freeze", slip.pk)),
        lead=_("Still frozen on %(account)s: %(left)s %(currency)s.")
        % {"account": slip.account.account_no, "left": left, "currency": slip.account.currency},
    )


# --- deductions -------------------------------------------------------------------------------------------------------


class DeductionFilter(django_filters.FilterSet):
    """Deductions."""

    state = django_filters.ChoiceFilter(
        method="in_state",
        label=gettext_lazy("State"),
        choices=[("short", gettext_lazy("Short")), ("collected", gettext_lazy("Collected"))],
        empty_label=gettext_lazy("All"),
    )
    account = exact_filter("account__account_no", gettext_lazy("Account"))
    owner_no = exact_filter("account__owner_no", gettext_lazy("Owner number"))

    class Meta:
        model = Deduction
        fields: list[str] = []

    def in_state(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Still short, or collected whole."""
        short = queryset.filter(collected__lt=F("amount"))
        return short if value == "short" else queryset.exclude(pk__in=short.values("pk"))


@view("ledger.view")
def deduction_list(request: HttpRequest) -> HttpResponseBase:
    """Deductions with what is still to come."""
    columns = [
        Column(_("Deduction")),
        Column(_("Account")),
        Column(_("Event")),
        Column(_("Source")),
        Column(_("Amount"), "c-amount"),
        Column(_("Collected"), "c-amount"),
        Column(_("Still owed"), "c-amount"),
        Column(_("Currency")),
        Column(_("Freeze")),
        Column(_("Reason")),
        Column(_("Since")),
    ]

    def row(item: Deduction) -> list[Cell]:
        currency = item.account.currency
        return [
            cells.number(item.pk),
            cells.number(item.account.account_no, link("account", item.account_id)),
            cells.text(Event(item.event).label),
            cells.text(f"{item.source_kind} {item.source_id}"),
            cells.money(item.amount, currency),
            cells.money(item.collected, currency),
            cells.money(item.amount - item.collected, currency),
            cells.text(currency),
            cells.number(item.freeze_id or "–", link("freeze", item.freeze_id) if item.freeze_id else ""),
            Cell(item.reason, css="c-wrap"),
            cells.moment(item.created_at),
        ]

    return list_page(
        request,
        title=_("Deductions"),
        filters=DeductionFilter(request.GET, queryset=Deduction.objects.select_related("account"), request=request),
        columns=columns,
        row=row,
        export_name="deductions",
        extra={"parent_title": _("Freezes"), "parent_url": link("freeze_list")},
        empty=_("There are no such deductions."),
    )


def _part_table(deduction: Deduction, currency: str) -> Table:
    rows = [
        [
            cells.moment(part.made_at),
            cells.money(part.amount, currency),
            cells.number(part.voucher_id, link("voucher", part.voucher_id)),
        ]
        for part in deduction.parts.order_by("-id")
    ]
    return Table(
        [Column(_("Time")), Column(_("Amount"), "c-amount"), Column(_("Voucher"))],
        rows,
        title=_("Collected of this deduction"),
        empty=_("Nothing has been collected yet."),
    )


urlpatterns = [
    path("ledger/freezes/", freeze_list, name="freeze_list"),
    path("ledger/freezes/<int:freeze_id>/", freeze, name="freeze"),
    path("ledger/freezes/<int:freeze_id>/release/", freeze_release, name="freeze_release"),
    path("ledger/deductions/", deduction_list, name="deduction_list"),
    path("ledger/accounts/<int:account_id>/freeze/", freeze_new, name="freeze_new"),
]
