"""Rules that say what a bank line is: the list, and trying and proposing a change of one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext, pgettext_lazy

from payops.accounts import selectors as ledger
from payops.approvals.models import ApprovalRequest, RequestStatus
from payops.channels.choices import BankAccountKind
from payops.channels.models import BankAccount, BankLine, ChannelContract
from payops.console import cells
from payops.console.cells import Cell, Column, Table, link
from payops.console.lists import Button
from payops.console.shell import action, page, view
from payops.console.views.proposals import proposal_page
from payops.core.errors import PayopsError
from payops.core.money import format_amount, parse_amount
from payops.core.retelling import retold
from payops.reconciliation.choices import Direction
from payops.reconciliation.funds.own_money import own_money_propose
from payops.reconciliation.funds.rule_approval import ACTION, rule_propose
from payops.reconciliation.funds.rules import KINDS, TRIED_DAYS, Change, Found, rule_check, rule_try
from payops.reconciliation.models import BankRule

CHANGES_SHOWN = 200
TRY, PROPOSE = "try", "propose"
PLAIN_FIELDS = ("name", "priority", "direction", "counterparty", "memo_pattern", "kind")


@view("files.view")
def bank_rule_list(request: HttpRequest) -> HttpResponseBase:
    """The rules of every bank account in the order they are tried, what waits for approval, and former versions."""
    rules = BankRule.objects.select_related("bank_account", "contract").order_by("bank_account__code", "priority", "pk")
    now = [rule for rule in rules if rule.is_current and rule.active]
    may_propose = request.user.may("adjustments.propose")
    buttons = [Button(_("New rule"), link("bank_rule_new"), primary=True)] if may_propose else []
    tables = [
        _rule_table(now, title=_("Rules in force"), may_change=may_propose),
        _proposal_table(),
        _rule_table([rule for rule in rules if rule not in now], title=_("Former versions"), may_change=False),
    ]
    tables[0].note = _(
        "The first rule that holds decides. Then come the channels' receipt patterns and our own numbers."
    )
    return page(request, "console/detail.html", {"buttons": buttons, "tables": tables}, title=_("Bank rules"))


def _rule_table(rules: list[BankRule], *, title: str, may_change: bool) -> Table:
    rows = [
        [
            cells.text(rule.bank_account.code),
            cells.count(rule.priority),
            cells.text(rule.name, link("bank_rule_change", rule.pk) if may_change else ""),
            cells.text(rule.get_direction_display()),
            cells.text(rule.counterparty or "–"),
            Cell(rule.memo_pattern or "–", css="c-wrap"),
            cells.text(_limits(rule)),
            cells.text(rule.get_kind_display()),
            cells.text(rule.contract.code if rule.contract else "–"),
            cells.number(rule.version),
            cells.number(f"#{rule.approval_id}", link("approval", rule.approval_id)),
        ]
        for rule in rules
    ]
    columns = [
        Column(_("Bank account")),
        Column(_("Priority"), "c-amount"),
        Column(_("Rule")),
        Column(_("Direction")),
        Column(_("Counterparty contains")),
        Column(_("Memo pattern")),
        Column(_("Amount")),
        Column(_("Is then")),
        Column(_("Channel")),
        Column(_("Version")),
        Column(_("Request")),
    ]
    return Table(columns, rows, title=title, empty=_("There are none."))


def _limits(rule: BankRule) -> str:
    currency = rule.bank_account.currency
    low, high = (
        format_amount(amount, currency) if amount is not None else "" for amount in (rule.min_amount, rule.max_amount)
    )
    return f"{low} – {high}" if low or high else "–"


def _proposal_table() -> Table:
    pending = ApprovalRequest.objects.filter(action=ACTION, status=RequestStatus.PENDING).select_related("maker")
    return Table(
        [Column(_("Request")), Column(_("What")), Column(_("Maker")), Column(_("Made"))],
        [
            [
                cells.text(f"#{row.pk}", link("approval", row.pk)),
                cells.text(retold(row.title)),
                cells.text(row.maker.username),
                cells.moment(row.made_at),
            ]
            for row in pending.order_by("pk")
        ],
        title=_("Proposals that wait for approval"),
        empty=_("No change is proposed."),
    )


# --- trying and proposing ---------------------------------------------------------------------------------------------


class RuleForm(forms.Form):
    """One rule, and whether to try or to propose it."""

    bank_account = forms.ModelChoiceField(
        label=gettext_lazy("Bank account"), queryset=BankAccount.objects.none(), to_field_name="code", empty_label=None
    )
    name = forms.CharField(label=gettext_lazy("Rule"), max_length=60)
    priority = forms.IntegerField(
        label=gettext_lazy("Priority"),
        min_value=1,
        max_value=9999,
        help_text=gettext_lazy("The lowest is tried first."),
    )
    direction = forms.ChoiceField(label=gettext_lazy("Direction"), choices=Direction.choices)
    counterparty = forms.CharField(label=gettext_lazy("Counterparty contains"), max_length=120, required=False)
    memo_pattern = forms.CharField(
        label=gettext_lazy("Memo pattern"),
        max_length=200,
        required=False,
        help_text=gettext_lazy(
            "Regular expression, anywhere in the memo. Settlements need (?P<date>…) as YYYYMMDD, payouts and returns "
            "(?P<number>…)."
        ),
    )
    min_amount = forms.CharField(label=gettext_lazy("Smallest amount"), max_length=24, required=False)
    max_amount = forms.CharField(label=gettext_lazy("Largest amount"), max_length=24, required=False)
    kind = forms.ChoiceField(label=gettext_lazy("Is then"), choices=[(kind.value, kind.label) for kind in KINDS])
    contract = forms.ModelChoiceField(
        label=gettext_lazy("Channel"), queryset=ChannelContract.objects.none(), to_field_name="code", required=False
    )
    active = forms.TypedChoiceField(
        label=pgettext_lazy("bank rule", "State"),
        coerce=lambda value: value == "active",
        choices=[
            ("active", pgettext_lazy("bank rule", "In force")),
            ("ended", pgettext_lazy("bank rule", "Ended")),
        ],
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)
    step = forms.ChoiceField(
        label=gettext_lazy("What to do"),
        choices=[(TRY, gettext_lazy("Try it on past lines")), (PROPOSE, gettext_lazy("Propose it"))],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["bank_account"].queryset = BankAccount.objects.filter(kind=BankAccountKind.RESERVE)
        self.fields["contract"].queryset = ChannelContract.objects.filter(active=True)

    def clean(self) -> dict[str, Any]:
        """Amounts become minor units; a rule that could never hold is refused here, before it is tried."""
        cleaned = super().clean() or self.cleaned_data
        account = cleaned.get("bank_account")
        if account is None:
            return cleaned
        for name in ("min_amount", "max_amount"):
            try:
                cleaned[name] = parse_amount(cleaned[name], account.currency) if cleaned.get(name) else None
            except PayopsError as error:
                self.add_error(name, str(error))
        if not self.errors:
            try:
                rule_check(self.rule())
            except PayopsError as error:
                self.add_error(None, str(error))
        return cleaned

    def rule(self) -> BankRule:
        """The rule as it is filled in, unsaved."""
        fields = {name: value for name, value in self.cleaned_data.items() if name not in {"reason", "step"}}
        return BankRule(**fields)


@action("adjustments.propose", methods=("GET", "POST"))
def bank_rule_new(request: HttpRequest) -> HttpResponse:
    """Try or propose a rule that is not there yet."""
    return _rule_page(request, {"priority": 100, "direction": Direction.ANY, "active": "active"}, _("New bank rule"))


@action("adjustments.propose", methods=("GET", "POST"))
def bank_rule_change(request: HttpRequest, bank_rule_id: int) -> HttpResponse:
    """Try or propose another version of a rule, or its end."""
    rule = BankRule.objects.select_related("bank_account", "contract").filter(pk=bank_rule_id).first()
    if rule is None:
        raise Http404
    currency = rule.bank_account.currency
    initial = {
        **{
            name: getattr(rule, name)
            for name in ("name", "priority", "direction", "counterparty", "memo_pattern", "kind")
        },
        "bank_account": rule.bank_account.code,
        "contract": rule.contract.code if rule.contract else None,
        "active": "active" if rule.active else "ended",
    }
    for name in ("min_amount", "max_amount"):
        amount = getattr(rule, name)
        initial[name] = format_amount(amount, currency) if amount is not None else ""
    return _rule_page(request, initial, rule.name)


def _rule_page(request: HttpRequest, initial: dict[str, Any], title: str) -> HttpResponse:
    """The form; trying shows what would change below it, proposing carries the counts of that to the checker."""
    form = RuleForm(request.POST or None, initial=initial)
    context = {
        "form": form,
        "form_button": _("Go on"),
        "lead": _("The rule holds for lines taken after it is approved; what is booked stays booked."),
        "parent_title": _("Bank rules"),
        "parent_url": link("bank_rule_list"),
    }
    if not (form.is_bound and form.is_valid()):
        return page(request, "console/form.html", context, title=title, status=400 if form.errors else 200)
    tried, changes = rule_try(form.rule(), until=ledger.open_day())
    if form.cleaned_data["step"] == TRY:
        tables = [_change_table(tried, changes)]
        return page(request, "console/form.html", {**context, "tables": tables}, title=title)
    return proposal_page(
        request,
        form,
        lambda data: rule_propose(
            rule=form.rule(), tried=tried, changed=len(changes), reason=data["reason"], maker=request.user
        ),
        title=title,
        parent=(context["parent_title"], context["parent_url"]),
        lead=context["lead"],
    )


def _change_table(tried: int, changes: Any) -> Table:
    rows = [_change_row(change) for change in changes[:CHANGES_SHOWN]]
    columns = [
        Column(_("Bank reference")),
        Column(_("Value date")),
        Column(_("Counterparty")),
        Column(_("Memo")),
        Column(_("Amount"), "c-amount"),
        Column(_("Booked as")),
        Column(_("By the rules now")),
        Column(_("With this rule")),
    ]
    title = _("%(changed)d of %(tried)d lines of the last %(days)d days would be taken for something else") % {
        "changed": len(changes),
        "tried": tried,
        "days": TRIED_DAYS,
    }
    return Table(columns, rows, title=title, empty=_("Nothing would change."))


def _change_row(change: Change) -> list[Cell]:
    line = change.line
    return [
        cells.number(line.reference, link("bank_line", line.pk)),
        cells.date(line.value_date),
        cells.text(line.counterparty),
        Cell(line.memo, css="c-wrap"),
        cells.money(line.amount, line.currency, signed=True),
        cells.text(line.get_kind_display()),
        cells.text(_found(change.now)),
        cells.text(_found(change.then)),
    ]


def _found(found: Found | None) -> str:
    if found is None:
        return pgettext("bank rule", "None holds")
    detail = (
        [found.contract.code, str(found.channel_date)] if found.contract else [found.number] if found.number else []
    )
    return " ".join([str(found.kind.label), *detail])


# --- lines that wait for a decision -----------------------------------------------------------------------------------


class OwnMoneyForm(forms.Form):
    """The own-funds account the money went to or is paid from."""

    own_account = forms.ModelChoiceField(
        label=gettext_lazy("Own-funds account"),
        queryset=BankAccount.objects.none(),
        to_field_name="code",
        empty_label=None,
    )
    reason = forms.CharField(label=gettext_lazy("Reason"), widget=forms.Textarea(attrs={"rows": 2}), max_length=2000)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["own_account"].queryset = BankAccount.objects.filter(kind=BankAccountKind.OWN)


@action("adjustments.propose", methods=("GET", "POST"))
def bank_line_own_money(request: HttpRequest, bank_line_id: int) -> HttpResponse:
    """Propose to book a line that moves own money out of the reserve."""
    line = BankLine.objects.filter(pk=bank_line_id).first()
    if line is None:
        raise Http404
    return proposal_page(
        request,
        OwnMoneyForm(request.POST or None),
        lambda data: own_money_propose(bank_line_id=line.pk, maker=request.user, **data),
        title=_("Book own money"),
        parent=(line.reference, link("bank_line", line.pk)),
        lead=_("%(kind)s, %(amount)s: booked when a second person agrees.")
        % {"kind": line.get_kind_display(), "amount": format_amount(line.amount, line.currency)},
    )


urlpatterns = [
    path("bank-rules/", bank_rule_list, name="bank_rule_list"),
    path("bank-rules/new/", bank_rule_new, name="bank_rule_new"),
    path("bank-rules/<int:bank_rule_id>/", bank_rule_change, name="bank_rule_change"),
    path("bank-lines/<int:bank_line_id>/own-money/", bank_line_own_money, name="bank_line_own_money"),
]
