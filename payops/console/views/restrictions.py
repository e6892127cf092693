"""Freezing a customer with everything it has, and lifting the freeze: proposed here, decided by another person."""

from __future__ import annotations

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.shell import action
from payops.console.views.proposals import proposal_page
from payops.merchants.models import Customer, CustomerFreeze, CustomerFreezeState, Merchant
from payops.merchants.restrictions import customer_freeze_lift_propose, customer_freeze_propose
from payops.merchants.selectors import merchants_for_user


class FreezeForm(forms.Form):
    """An order over a customer."""

    status = forms.ChoiceField(
        label=gettext_lazy("Status of the accounts"),
        choices=CustomerFreeze._meta.get_field("status").choices,
        initial="judicial",
    )
    document = forms.CharField(label=gettext_lazy("Order or letter"), max_length=80)
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=200)


class LiftForm(forms.Form):
    """Why a freeze ends."""

    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=200)


@action("adjustments.propose", methods=("GET", "POST"))
def customer_freeze_new(request: HttpRequest, merchant_no: str) -> HttpResponse:
    """Propose to freeze the customer a merchant belongs to."""
    merchant = merchants_for_user(request.user).select_related("customer").filter(merchant_no=merchant_no).first()
    if merchant is None:
        raise Http404
    return proposal_page(
        request,
        FreezeForm(request.POST or None),
        lambda data: customer_freeze_propose(customer=merchant.customer, maker=request.user, **data),
        title=_("Freeze the customer"),
        parent=(str(merchant), link("merchant", merchant.merchant_no)),
        lead=_("All accounts of all merchants of %(customer)s get the status, and their users give no instructions.")
        % {"customer": merchant.customer.name},
        tables=[_merchant_table(merchant.customer)],
    )


@action("adjustments.propose", methods=("GET", "POST"))
def customer_freeze_lift(request: HttpRequest, customer_freeze_id: int) -> HttpResponse:
    """Propose to lift a freeze."""
    freeze = CustomerFreeze.objects.select_related("customer").filter(pk=customer_freeze_id).first()
    if freeze is None:
        raise Http404
    first = Merchant.objects.filter(customer=freeze.customer).order_by("pk").first()
    parent = link("merchant", first.merchant_no) if first else link("merchant_list")
    return proposal_page(
        request,
        LiftForm(request.POST or None),
        lambda data: customer_freeze_lift_propose(freeze=freeze, maker=request.user, **data),
        title=_("Lift the freeze"),
        parent=(freeze.customer.name, parent),
        lead=_("Every account gets the status it had before, unless it was changed since or another freeze holds it."),
        tables=[_merchant_table(freeze.customer)],
    )


def _merchant_table(customer: Customer) -> Table:
    rows = [
        [
            cells.number(row.merchant_no, link("merchant", row.merchant_no)),
            cells.text(row.name),
            cells.state(row, "status"),
        ]
        for row in Merchant.objects.filter(customer=customer).order_by("merchant_no")
    ]
    columns = [Column(_("Merchant number")), Column(_("Name")), Column(_("Status"))]
    return Table(columns, rows, title=_("Merchants of the customer"))


def customer_freeze_table(customer: Customer, *, may_propose: bool) -> Table:
    """The freezes of a customer, the latest first."""
    rows = [
        [
            cells.number(freeze.pk),
            cells.badge(
                "held" if freeze.state == CustomerFreezeState.IN_FORCE else "closed", freeze.get_state_display()
            ),
            cells.badge(freeze.status, freeze.get_status_display()),
            cells.text(freeze.document),
            Cell(freeze.reason, css="c-wrap", note=freeze.lift_reason),
            cells.text(freeze.placed_by, note=freeze.lifted_by),
            cells.between(freeze.placed_at, freeze.lifted_at),
            cells.text(_("Lift"), link("customer_freeze_lift", freeze.pk))
            if may_propose and freeze.state == CustomerFreezeState.IN_FORCE
            else cells.text(""),
        ]
        for freeze in customer.freezes.order_by("-id")
    ]
    columns = [
        Column(_("Freeze")),
        Column(_("State")),
        Column(_("Status of the accounts")),
        Column(_("Order or letter")),
        Column(_("Reason")),
        Column(_("By")),
        Column(_("Placed, lifted")),
        Column(""),
    ]
    return Table(columns, rows, title=_("Freezes of the customer"))


urlpatterns = [
    path("merchants/<str:merchant_no>/freeze/", customer_freeze_new, name="customer_freeze_new"),
    path("merchants/freezes/<int:customer_freeze_id>/lift/", customer_freeze_lift, name="customer_freeze_lift"),
]
