"""Accounts by owner: what a kind of owner gets, what one lacks, closing all of one; and the status of an account."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.accounts.chart import dotted
from payops.accounts.choices import AccountStatus, OwnerKind
from payops.accounts.models import Account, AccountStatusChange, Subject
from payops.accounts.owners import OPENING_RULES, owner_missing, owner_open_missing, owners_lacking
from payops.accounts.statuses import (
    INSTITUTION_IN_ADDRESSES,
    account_status_propose,
    accounts_of_owner,
    closing_obstacles,
    owner_close_propose,
)
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.lists import Button
from payops.console.shell import action, page, view
from payops.console.views.proposals import proposal_page
from payops.console.vouchers import subject_name
from payops.merchants.restrictions import freezes_cover

OWNERS_LISTED = 100
CHANGES_LISTED = 50


# --- owners -----------------------------------------------------------------------------------------------------------


@view("ledger.view")
def owner_list(request: HttpRequest) -> HttpResponseBase:
    """The opening rules by kind of owner, and the owners that lack an account of theirs."""
    names = {subject.code: subject for subject in Subject.objects.all()}
    rules = [
        [
            cells.text(str(rule.title)),
            cells.number(dotted(code), link("account_list", subject=code, owner_kind=rule.owner_kind)),
            cells.text(subject_name(names[code]) if code in names else "–"),
        ]
        for rule in OPENING_RULES
        for code in rule.subjects
    ]
    gaps = [gap for rule in OPENING_RULES for gap in owners_lacking(rule.subjects, rule, OWNERS_LISTED)]
    lacking = [
        [
            cells.text(OwnerKind(gap.owner_kind).label),
            cells.number(gap.owner_no or "–", owner_url(gap.owner_kind, gap.owner_no)),
            cells.text(gap.currency),
            Cell(", ".join(dotted(code) for code in gap.missing), css="c-wrap"),
        ]
        for gap in gaps[:OWNERS_LISTED]
    ]
    owner_columns = [Column(_("Owner")), Column(_("Owner number")), Column(_("Currency")), Column(_("Missing"))]
    tables = [
        Table(owner_columns, lacking, title=_("Owners that lack accounts"), empty=_("Every owner has its accounts.")),
        Table(
            [Column(_("Owner")), Column(_("Subject")), Column(_("Name"))],
            rules,
            title=_("Accounts opened when an owner is set up"),
        ),
    ]
    context = {"parent_title": _("Chart"), "parent_url": link("chart"), "tables": tables}
    return page(request, "console/detail.html", context, title=_("Accounts by owner"))


def owner_url(owner_kind: str, owner_no: str) -> str:
    """The page of an owner's accounts."""
    return link("owner", owner_kind, owner_no or INSTITUTION_IN_ADDRESSES)


def _owner_or_404(owner_kind: str, owner_no: str) -> str:
    """The owner's number, once it is known to have accounts."""
    number = "" if owner_no == INSTITUTION_IN_ADDRESSES else owner_no
    if not Account.objects.filter(owner_kind=owner_kind, owner_no=number).exists():
        raise Http404
    return number


@view("ledger.view")
def owner(request: HttpRequest, owner_kind: str, owner_no: str) -> HttpResponseBase:
    """All accounts of one owner, what it lacks, and what stands in the way of closing them."""
    number = _owner_or_404(owner_kind, owner_no)
    accounts = Account.objects.filter(owner_kind=owner_kind, owner_no=number).select_related("subject")
    gaps = owner_missing(owner_kind, number)
    may_propose = request.user.may("adjustments.propose")
    open_ones = accounts_of_owner(owner_kind, number)
    buttons = []
    if may_propose and gaps and open_ones:
        buttons.append(
            Button(_("Open what is missing"), link("owner_open", owner_kind, owner_no), post=True, primary=True)
        )
    if may_propose and open_ones:
        buttons.append(Button(_("Close all accounts"), link("owner_close", owner_kind, owner_no)))
    tables = [_owner_accounts(list(accounts.order_by("subject__code", "currency")))]
    if gaps:
        rows = [[cells.text(gap.currency), cells.number(dotted(code))] for gap in gaps for code in gap.missing]
        tables.append(Table([Column(_("Currency")), Column(_("Subject"))], rows, title=_("Missing")))
    context = {
        "parent_title": _("Accounts by owner"),
        "parent_url": link("owner_list"),
        "buttons": buttons,
        "tables": tables,
    }
    kind = OwnerKind(owner_kind).label
    return page(request, "console/detail.html", context, title=f"{kind} {number}".strip())


def _owner_accounts(accounts: list[Account]) -> Table:
    rows = [
        [
            cells.number(row.account_no, link("account", row.pk)),
            cells.text(f"{dotted(row.subject.code)} {subject_name(row.subject)}"),
            cells.text(row.currency),
            cells.state(row, "status"),
            cells.money(row.balance, row.currency),
            cells.money(row.frozen or None, row.currency),
        ]
        for row in accounts
    ]
    columns = [
        Column(_("Account")),
        Column(_("Subject")),
        Column(_("Currency")),
        Column(_("Status")),
        Column(_("Balance"), "c-amount"),
        Column(_("Frozen"), "c-amount"),
    ]
    return Table(columns, rows, title=_("Accounts"))


@action("adjustments.propose")
def owner_open(request: HttpRequest, owner_kind: str, owner_no: str) -> HttpResponse:
    """Open what the owner lacks of its opening rule."""
    number = _owner_or_404(owner_kind, owner_no)
    opened = owner_open_missing(owner_kind=owner_kind, owner_no=number, username=request.user.username)
    if owner_kind == OwnerKind.MERCHANT:
        freezes_cover(merchant_nos=[number])
    messages.success(request, _("%(count)d accounts opened.") % {"count": len(opened)})
    return redirect(link("owner", owner_kind, owner_no))


class ReasonForm(forms.Form):
    """Why, and the letter or order it comes from."""

    source = forms.CharField(label=gettext_lazy("Order or letter"), required=False, max_length=64)
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=200)


@action("adjustments.propose", methods=("GET", "POST"))
def owner_close(request: HttpRequest, owner_kind: str, owner_no: str) -> HttpResponse:
    """Propose to close all accounts of an owner; what stands in the way is listed below the form."""
    number = _owner_or_404(owner_kind, owner_no)
    obstacles = closing_obstacles(accounts_of_owner(owner_kind, number))
    rows = [[cells.number(row.account_no, link("account", row.pk)), cells.text(what)] for row, what in obstacles]
    table = Table(
        [Column(_("Account")), Column(_("In the way"))],
        rows,
        title=_("What stands in the way"),
        empty=_("Nothing: all accounts are at zero."),
    )
    return proposal_page(
        request,
        ReasonForm(request.POST or None),
        lambda data: owner_close_propose(owner_kind=owner_kind, owner_no=number, maker=request.user, **data),
        title=_("Close all accounts"),
        parent=(f"{OwnerKind(owner_kind).label} {number}".strip(), link("owner", owner_kind, owner_no)),
        lead=_("Accounts close only at zero, all of them or none, and for good."),
        tables=[table],
    )


# --- the status of one account ----------------------------------------------------------------------------------------


class StatusForm(ReasonForm):
    """Another status."""

    status = forms.ChoiceField(label=gettext_lazy("Status"), choices=AccountStatus.choices)
    field_order = ["status", "source", "reason"]


@action("adjustments.propose", methods=("GET", "POST"))
def account_status(request: HttpRequest, account_id: int) -> HttpResponse:
    """Propose another status of an account."""
    found = Account.objects.filter(pk=account_id).first()
    if found is None:
        raise Http404
    return proposal_page(
        request,
        StatusForm(request.POST or None, initial={"status": found.status}),
        lambda data: account_status_propose(account=found, maker=request.user, **data),
        title=_("Change the status"),
        parent=(found.account_no, link("account", found.pk)),
        lead=_(
            "A restriction refuses instructions: payouts, transfers, new refunds. "
            "What channels and banks did is booked all the same."
        ),
        tables=[status_table(found)],
    )


def status_table(found: Account) -> Table:
    """The history of an account's status, the latest first."""
    changes = AccountStatusChange.objects.filter(account=found).order_by("-id")[:CHANGES_LISTED]
    rows = [
        [
            cells.moment(change.changed_at),
            cells.badge(change.from_status, change.get_from_status_display()),
            cells.badge(change.to_status, change.get_to_status_display()),
            Cell(change.reason or "–", css="c-wrap"),
            _source(change),
            cells.text(change.changed_by),
        ]
        for change in changes
    ]
    columns = [
        Column(_("Time")),
        Column(_("From")),
        Column(_("To")),
        Column(_("Reason")),
        Column(_("Source")),
        Column(_("By")),
    ]
    return Table(columns, rows, title=_("History of the status"), empty=_("The status was never changed."))


def _source(change: AccountStatusChange) -> Cell:
    labels: dict[str, Any] = {"approval": _("Request"), "customer_freeze": _("Freeze of the customer")}
    if not change.source_kind:
        return cells.text("–")
    url = link("approval", int(change.source_id)) if change.source_kind == "approval" else ""
    return cells.text(f"{labels.get(change.source_kind, change.source_kind)} {change.source_id}", url)


urlpatterns = [
    path("ledger/owners/", owner_list, name="owner_list"),
    path("ledger/owners/<str:owner_kind>/<str:owner_no>/", owner, name="owner"),
    path("ledger/owners/<str:owner_kind>/<str:owner_no>/open/", owner_open, name="owner_open"),
    path("ledger/owners/<str:owner_kind>/<str:owner_no>/close/", owner_close, name="owner_close"),
    path("ledger/accounts/<int:account_id>/status/", account_status, name="account_status"),
]
