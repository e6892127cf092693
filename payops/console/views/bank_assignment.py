"""Bank lines nobody has explained: one list of them all, and saying what one is."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Count, F, Q, QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.channels.choices import BankAccountKind, BankLineState
from payops.channels.models import BankAccount, BankLine, ChannelContract
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.filters import BankLineFilter, latest_day
from payops.console.lists import list_page
from payops.console.shell import action, view
from payops.console.views.proposals import proposal_page
from payops.core.errors import PayopsError
from payops.core.money import format_amount, parse_amount
from payops.discrepancies.models import Discrepancy
from payops.reconciliation.bank.assignment import DIRECTIONS, Assignment, assignment_propose
from payops.reconciliation.bank.choices import AssignPurpose
from payops.reconciliation.bank.selectors import unexplained_lines
from payops.reconciliation.models import ChannelReceipt

DAYS_OFFERED = 40


@view("files.view")
def unexplained_list(request: HttpRequest) -> HttpResponseBase:
    """Every line of a reserve account whose money nobody has explained, with its age, case and pending proposal."""
    today = latest_day()
    cases: dict[int, Discrepancy] = {}
    pending: dict[str, int] = {}

    def prepare(lines: list[BankLine]) -> None:
        ids = [line.pk for line in lines]
        cases.update({case.bank_line_id: case for case in Discrepancy.objects.filter(bank_line_id__in=ids)})
        waiting = ApprovalRequest.objects.filter(
            target_kind="channels.bankline", target_id__in=map(str, ids), status=RequestStatus.PENDING
        )
        pending.update(waiting.values_list("target_id", "pk"))

    def row(line: BankLine) -> list[Cell]:
        case, proposal = cases.get(line.pk), pending.get(str(line.pk))
        return [
            cells.number(line.reference, link("bank_line", line.pk)),
            cells.text(line.bank_account.code),
            cells.date(line.value_date),
            cells.count(max((today - line.value_date).days, 0)),
            cells.text(line.counterparty),
            Cell(line.memo, css="c-wrap" if line.memo else ""),
            cells.money(line.amount, line.currency, signed=True),
            cells.state(line),
            cells.number(case.case_no, link("case_detail", case.pk)) if case else cells.text("–"),
            cells.number(f"#{proposal}", link("approval", proposal)) if proposal else _next_step(request, line),
        ]

    columns = [
        Column(_("Bank reference")),
        Column(_("Bank account")),
        Column(_("Value date")),
        Column(_("Days"), "c-amount"),
        Column(_("Counterparty")),
        Column(_("Memo")),
        Column(_("Amount"), "c-amount"),
        Column(_("State")),
        Column(_("Case")),
        Column(_("Proposal")),
    ]
    filters = BankLineFilter(request.GET, queryset=unexplained_lines(), request=request)
    return list_page(
        request,
        title=_("Unexplained bank lines"),
        filters=filters,
        columns=columns,
        row=row,
        prepare=prepare,
        summary=_summary(filters.qs if filters.form.is_valid() else BankLine.objects.none()),
        export_name="unexplained_bank_lines",
        empty=_("Every line of the bank is explained."),
    )


def _next_step(request: HttpRequest, line: BankLine) -> Cell:
    if not request.user.may("adjustments.propose"):
        return cells.text("–")
    if line.state == BankLineState.WAITING:
        return cells.text(_("Book own money"), link("bank_line_own_money", line.pk))
    return cells.text(_("Say what it is"), link("bank_line_assign", line.pk))


def _summary(lines: QuerySet[BankLine]) -> list[tuple[Any, Cell]]:
    """How much came in and how much left without an explanation, per currency."""
    figures: list[tuple[Any, Cell]] = []
    for sums in (
        lines.order_by("currency")
        .values("currency")
        .annotate(
            n=Count("id"),
            came=Sum("amount", filter=Q(amount__gt=0), default=0),
            left=Sum("amount", filter=Q(amount__lt=0), default=0),
        )
    ):
        figures += [
            (_("Lines"), cells.count(sums["n"])),
            (_("Received"), cells.money(sums["came"], sums["currency"])),
            (_("Paid"), cells.money(sums["left"], sums["currency"])),
        ]
    return figures


# --- saying what it is ------------------------------------------------------------------------------------------------


class _AssignForm(forms.Form):
    """What every purpose asks: why. Subclasses add what the money is for."""

    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)

    def __init__(self, line: BankLine, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.line = line

    def assignment(self, purpose: AssignPurpose) -> Assignment:
        """What the form says the line is."""
        return Assignment(purpose, str(self.cleaned_data.get("target", "")))


class _NumberForm(_AssignForm):
    """A payout or a return: our number."""

    field_order = ("target", "reason")
    target = forms.CharField(label=gettext_lazy("Payout number"), max_length=32)


class _MerchantForm(_AssignForm):
    """An offline receipt: whose."""

    field_order = ("target", "reason")
    target = forms.CharField(label=gettext_lazy("Merchant number"), max_length=40)


class _OwnAccountForm(_AssignForm):
    """A charge: which own funds bear it."""

    field_order = ("target", "reason")
    target = forms.ModelChoiceField(
        label=gettext_lazy("Own-funds account"),
        queryset=BankAccount.objects.none(),
        to_field_name="code",
        empty_label=None,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["target"].queryset = BankAccount.objects.filter(
            kind=BankAccountKind.OWN, currency=self.line.currency
        )


class _DaysForm(_AssignForm):
    """A channel's settlement: an amount for each date it may pay."""

    def __init__(self, contract: ChannelContract, line: BankLine, *args: Any, **kwargs: Any) -> None:
        super().__init__(line, *args, **kwargs)
        self.contract = contract
        self.days = list(
            ChannelReceipt.objects.filter(contract=contract)
            .exclude(due=F("received"))
            .order_by("-channel_date")[:DAYS_OFFERED]
        )
        for receipt in self.days:
            waits = receipt.due - receipt.received
            self.fields[f"day_{receipt.pk}"] = forms.CharField(
                label=receipt.channel_date.isoformat(),
                required=False,
                max_length=24,
                initial=format_amount(waits, line.currency) if waits == line.amount else "",
                help_text=_("Due %(due)s, still waiting for %(waits)s")
                % {"due": format_amount(receipt.due, line.currency), "waits": format_amount(waits, line.currency)},
            )
        self.order_fields([f"day_{receipt.pk}" for receipt in self.days])

    def assignment(self, purpose: AssignPurpose) -> Assignment:
        """The shares in minor units; a date left empty has none."""
        shares = {}
        for receipt in self.days:
            text = (self.cleaned_data.get(f"day_{receipt.pk}") or "").strip()
            if text:
                shares[receipt.pk] = parse_amount(text, self.line.currency)
        return Assignment(purpose, self.contract.code, {pk: amount for pk, amount in shares.items() if amount})


_FORMS: dict[AssignPurpose, type[_AssignForm]] = {
    AssignPurpose.PAYOUT: _NumberForm,
    AssignPurpose.RETURN: _NumberForm,
    AssignPurpose.OFFLINE: _MerchantForm,
    AssignPurpose.INTEREST: _AssignForm,
    AssignPurpose.CHARGE: _OwnAccountForm,
}


@action("adjustments.propose", methods=("GET", "POST"))
def bank_line_assign(request: HttpRequest, bank_line_id: int) -> HttpResponse:
    """Choose what a line is, then give what that needs; proposed to a second person."""
    line = BankLine.objects.select_related("bank_account").filter(pk=bank_line_id).first()
    if line is None:
        raise Http404
    contracts = list(ChannelContract.objects.filter(reserve_account=line.bank_account, active=True).order_by("code"))
    purpose, contract = _chosen(request, line, contracts)
    if purpose == AssignPurpose.SETTLEMENT and contract is not None:
        form: _AssignForm = _DaysForm(contract, line, request.POST or None)
    else:
        form = _FORMS[purpose](line, request.POST or None)

    def propose(data: dict[str, Any]) -> ApprovalRequest:
        return assignment_propose(
            bank_line_id=line.pk, assignment=form.assignment(purpose), reason=data["reason"], maker=request.user
        )

    choices = _choices_table(line, contracts, purpose, contract)
    said = contract.code if contract else ""
    return proposal_page(
        request,
        form,
        propose,
        title=_("Say what it is"),
        parent=(line.reference, link("bank_line", line.pk)),
        lead=_("%(amount)s of %(day)s, “%(memo)s”. Taken for: %(purpose)s %(target)s. Other choices stand below.")
        % {
            "amount": format_amount(line.amount, line.currency),
            "day": line.value_date.isoformat(),
            "memo": f"{line.counterparty} {line.memo}".strip(),
            "purpose": purpose.label,
            "target": said,
        },
        tables=[choices],
    )


def _fits(line: BankLine, purpose: AssignPurpose) -> bool:
    direction = DIRECTIONS.get(purpose)
    return direction is None or (line.amount > 0) == (direction > 0)


def _chosen(
    request: HttpRequest, line: BankLine, contracts: list[ChannelContract]
) -> tuple[AssignPurpose, ChannelContract | None]:
    """The purpose of the address, by default the first that fits; a settlement with its channel."""
    code = request.GET.get("channel", "")
    contract = next((each for each in contracts if code in ("", each.code)), None)
    purposes = [each for each in AssignPurpose if _fits(line, each) and (each != AssignPurpose.SETTLEMENT or contracts)]
    wanted = request.GET.get("purpose") or purposes[0].value
    if wanted not in purposes or (wanted == AssignPurpose.SETTLEMENT and contract is None):
        raise PayopsError("bank.wrong_purpose", _("A bank line cannot be “%s”.") % wanted, {"purpose": wanted})
    purpose = AssignPurpose(wanted)
    return purpose, contract if purpose == AssignPurpose.SETTLEMENT else None


def _choices_table(
    line: BankLine, contracts: list[ChannelContract], purpose: AssignPurpose, contract: ChannelContract | None
) -> Table:
    rows = []
    for each in AssignPurpose:
        if not _fits(line, each):
            continue
        targets: list[ChannelContract | None] = [*contracts] if each == AssignPurpose.SETTLEMENT else [None]
        for target in targets:
            code = target.code if target else ""
            chosen = each == purpose and target == contract
            url = link("bank_line_assign", line.pk, purpose=each.value, channel=code)
            rows.append(
                [
                    cells.text(each.label, "" if chosen else url),
                    cells.text(code or "–", "" if chosen or not code else url),
                    cells.badge("active", _("Chosen")) if chosen else cells.text(""),
                ]
            )
    return Table([Column(_("It is")), Column(_("Channel")), Column("")], rows, title=_("What else it may be"))


urlpatterns = [
    path("bank-lines/unexplained/", unexplained_list, name="bank_unexplained"),
    path("bank-lines/<int:bank_line_id>/assign/", bank_line_assign, name="bank_line_assign"),
]
