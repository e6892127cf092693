"""Filters of the lists. Numbers are searched exactly; the big tables always have a day (see `day_filtered`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from payops.accounts.choices import DayState, Event, OwnerKind
from payops.accounts.models import AccountingDay, Subject
from payops.approvals.models import RequestStatus
from payops.approvals.registry import actions
from payops.channels.choices import BankLineKind, BankLineState, BillType, FileState, LineKind
from payops.channels.models import BankAccount, ChannelContract
from payops.console.words import word
from payops.core.choices import JobState
from payops.core.ids import day_code
from payops.discrepancies.choices import OPEN_STATES, CaseKind, CaseState
from payops.merchants.models import Merchant, MerchantStatus
from payops.orders.choices import Kind, Status
from payops.orders.models import IntakeState, TransactionKey
from payops.reconciliation.choices import GroupKind, ItemState, ReceiptState, ResultKind, RunState
from payops.settlement.choices import BatchState, PayoutState, SessionKind, SheetState


class MomentFilter(django_filters.DateFilter):
    """Instants of one day, as a range: a list that goes back for years finds them by the index on the instant."""

    def filter(self, qs: QuerySet[Any], value: dt.date | None) -> QuerySet[Any]:
        """From midnight to midnight, local time."""
        if value is None:
            return qs
        start = timezone.make_aware(dt.datetime.combine(value, dt.time()))
        return qs.filter(**{f"{self.field_name}__gte": start, f"{self.field_name}__lt": start + dt.timedelta(days=1)})


def _picker() -> forms.DateInput:
    return forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


def date_filter(field_name: str, label: Any) -> django_filters.DateFilter:
    """A day, with the browser's own picker."""
    return django_filters.DateFilter(field_name=field_name, label=label, widget=_picker())


def moment_filter(field_name: str, label: Any) -> MomentFilter:
    """The day of an instant."""
    return MomentFilter(field_name=field_name, label=label, widget=_picker())


def choice_filter(field_name: str, label: Any, choices: Any, **options: Any) -> django_filters.ChoiceFilter:
    """One of a fixed set."""
    return django_filters.ChoiceFilter(
        field_name=field_name, label=label, choices=choices, empty_label=_("All"), **options
    )


class _RowChoices(django_filters.fields.ModelChoiceIterator):
    """Options read by one query; Django reads them by a cursor of the server, three round trips for a dozen rows."""

    def __iter__(self) -> Iterator[Any]:
        if self.field.empty_label is not None:
            yield "", self.field.empty_label
        yield from map(self.choice, self.queryset)


class _RowField(django_filters.fields.ModelChoiceField):
    iterator = _RowChoices


class RowFilter(django_filters.ModelChoiceFilter):
    """One of the few rows of a table of set-up."""

    field_class = _RowField


def contract_filter(field_name: str = "contract") -> RowFilter:
    """A channel contract."""
    return RowFilter(
        field_name=field_name,
        label=_("Channel"),
        queryset=ChannelContract.objects.order_by("code"),
        to_field_name="code",
        empty_label=_("All"),
    )


def exact_filter(field_name: str, label: Any, **options: Any) -> django_filters.CharFilter:
    """A number, exactly as written."""
    return django_filters.CharFilter(field_name=field_name, label=label, lookup_expr="exact", **options)


def latest_day() -> dt.date:
    """The day a list opens with: the open accounting day."""
    day = AccountingDay.objects.filter(state=DayState.OPEN).values_list("day", flat=True).first()
    return day or AccountingDay.objects.values_list("day", flat=True).first() or dt.date.today()  # noqa: DTZ011


def day_query(request: HttpRequest, default: Callable[[], dt.date]) -> tuple[QueryDict, dt.date | None]:
    """The query with its day filled in, and that day; None when it is no day ids can carry.

    `default` is only asked where the query names no day.
    """
    data = request.GET.copy()
    if "day" not in data:
        data["day"] = default().isoformat()
    try:
        day = parse_date(data["day"])
        if day is not None:
            day_code(day)
    except Exception:
        day = None
    return data, day


class DayFilterSet(django_filters.FilterSet):
    """A list with a mandatory day; the queryset given is bounded to it already."""

    day = django_filters.DateFilter(method="bounded", label=_("Accounting date"), widget=_picker())

    def bounded(self, queryset: QuerySet[Any], name: str, value: Any) -> QuerySet[Any]:
        """The bound is in the queryset; here is nothing more to do."""
        return queryset


class TransactionFilter(DayFilterSet):
    """Transactions of one accounting date."""

    contract = contract_filter()
    status = choice_filter("status", _("Status"), Status.choices)
    kind = choice_filter("kind", _("Kind"), Kind.choices)
    merchant = django_filters.CharFilter(method="of_merchant", label=_("Merchant number"))
    number = django_filters.CharFilter(method="by_number", label=_("Number"))

    def of_merchant(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """By the merchant's id, which the index of the partitions begins with."""
        return queryset.filter(
            merchant_id__in=list(Merchant.objects.filter(merchant_no=value).values_list("pk", flat=True))
        )

    def by_number(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Any of the numbers a transaction has, exactly, each by its index."""
        own = TransactionKey.objects.filter(transaction_no=value).values_list("transaction_id", flat=True)
        return queryset.filter(
            Q(id__in=list(own))
            | Q(match_key=value)
            | Q(channel_trade_no=value) & ~Q(channel_trade_no="")
            | Q(merchant_order_no=value)
        )


class VoucherFilter(DayFilterSet):
    """Vouchers of one accounting day."""

    event = choice_filter("event", _("Event"), Event.choices)
    source_kind = exact_filter("source_kind", _("Source"))
    source_id = django_filters.NumberFilter(field_name="source_id", label=_("Source number"))


class BillLineFilter(django_filters.FilterSet):
    """Lines of one bill file."""

    match_key = exact_filter("match_key", _("Matching key"))
    trade_no = exact_filter("trade_no", _("Channel trade number"))
    kind = choice_filter("kind", _("Kind"), LineKind.choices)


class BillFileFilter(django_filters.FilterSet):
    """Bill files."""

    date = date_filter("channel_date", _("Channel date"))
    contract = contract_filter()
    bill_type = choice_filter("bill_type", _("Type"), BillType.choices)
    state = choice_filter("state", _("State"), FileState.choices)


class IntakeFilter(django_filters.FilterSet):
    """Intake files."""

    date = moment_filter("received_at", _("Received on"))
    state = choice_filter("state", _("State"), IntakeState.choices)


class RunFilter(django_filters.FilterSet):
    """Runs; current ones unless asked for all."""

    date = date_filter("channel_date", _("Channel date"))
    contract = contract_filter()
    state = choice_filter("state", _("State"), RunState.choices)
    current = django_filters.ChoiceFilter(
        method="only", label=_("Runs"), choices=[("1", _("Current")), ("0", _("Replaced"))], empty_label=_("All")
    )

    def only(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Current runs or those a later one replaced."""
        return queryset.filter(is_current=value == "1")


class OpenItemFilter(django_filters.FilterSet):
    """Open items; the live ones are those a next run tries again."""

    state = django_filters.ChoiceFilter(
        method="in_state", label=_("State"), choices=[("live", _("All open")), *ItemState.choices], empty_label=_("All")
    )
    result = choice_filter("result", _("Result"), ResultKind.choices)
    contract = contract_filter()
    first_date = date_filter("first_date", _("First seen"))
    cleared_date = date_filter("cleared_date", _("Cleared on"))
    match_key = exact_filter("match_key", _("Matching key"))

    def in_state(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """One state, or both in which the other half is still looked for."""
        live = [ItemState.IN_DOUBT, ItemState.DEFINITE]
        return queryset.filter(state__in=live if value == "live" else [value])


class SuggestionFilter(django_filters.FilterSet):
    """Open items of ours for which another half is looked for."""

    contract = contract_filter()
    match_key = exact_filter("match_key", _("Matching key"))


class MatchGroupFilter(django_filters.FilterSet):
    """Match groups; those that count unless asked for others."""

    kind = choice_filter("kind", _("Kind"), GroupKind.choices)
    contract = contract_filter()
    ended = django_filters.ChoiceFilter(
        method="has_ended", label=_("State"), choices=[("0", _("Counts")), ("1", _("Ended"))], empty_label=_("All")
    )

    def has_ended(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Ended ones, or those that count."""
        return queryset.filter(end__isnull=value == "0")


class ResultFilter(django_filters.FilterSet):
    """Results of one run."""

    kind = choice_filter("kind", _("Result"), ResultKind.choices)
    match_key = exact_filter("match_key", _("Matching key"))


class CaseFilter(django_filters.FilterSet):
    """Cases; the view turns age and escalation into conditions."""

    state = django_filters.ChoiceFilter(
        method="in_state",
        label=_("State"),
        choices=[("open_states", _("All open")), *CaseState.choices],
        empty_label=_("All"),
    )
    kind = choice_filter("kind", _("Kind"), CaseKind.choices)
    contract = contract_filter()
    age = django_filters.ChoiceFilter(method="of_age", label=_("Age in days"), choices=[], empty_label=_("All"))
    escalated = django_filters.ChoiceFilter(
        method="is_escalated", label=_("Escalated"), choices=[("1", _("Yes")), ("0", _("No"))], empty_label=_("All")
    )
    owner = django_filters.ChoiceFilter(
        method="of_owner",
        label=pgettext_lazy("case", "Owner"),
        choices=[("me", _("Mine")), ("none", _("Nobody"))],
        empty_label=_("All"),
    )
    date = date_filter("business_date", _("Channel date"))
    case_no = exact_filter("case_no", _("Case number"))

    def in_state(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """One state, or all in which there is something to do."""
        return queryset.filter(state__in=OPEN_STATES if value == "open_states" else [value])

    def of_age(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """The view has narrowed the queryset to the age."""
        return queryset

    def is_escalated(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Handed to a person after T+n."""
        return queryset.filter(escalated_at__isnull=value == "0")

    def of_owner(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """My cases, or those nobody took."""
        return queryset.filter(owner=self.request.user if value == "me" else None)


class ApprovalFilter(django_filters.FilterSet):
    """Approval requests."""

    action = django_filters.ChoiceFilter(field_name="action", label=_("Action"), choices=[], empty_label=_("All"))
    status = choice_filter("status", _("Status"), RequestStatus.choices)
    date = moment_filter("made_at", _("Made on"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.form.fields["action"].choices = [("", _("All")), *((item.name, word(item.name)) for item in actions())]


class ClearingFilter(django_filters.FilterSet):
    """Clearing sheets."""

    date = date_filter("session__own_date", _("Accounting date"))
    kind = choice_filter("session__kind", _("Session"), SessionKind.choices)
    merchant = exact_filter("merchant__merchant_no", _("Merchant number"))


class ClearingItemFilter(django_filters.FilterSet):
    """Clearing items."""

    date = date_filter("own_date", _("Accounting date"))
    contract = contract_filter()
    merchant = exact_filter("merchant__merchant_no", _("Merchant number"))


class SheetFilter(django_filters.FilterSet):
    """Settlement sheets."""

    date = date_filter("pay_date", _("Pay date"))
    state = choice_filter("state", _("State"), SheetState.choices)
    merchant = exact_filter("merchant__merchant_no", _("Merchant number"))
    sheet_no = exact_filter("sheet_no", _("Sheet number"))


class BalanceCheckFilter(django_filters.FilterSet):
    """Balance checks."""

    date = date_filter("own_date", _("Accounting date"))
    contract = contract_filter()
    passed = django_filters.ChoiceFilter(
        method="did_pass",
        label=_("Result"),
        choices=[("1", _("Passed")), ("0", pgettext_lazy("balance check", "Failed"))],
        empty_label=_("All"),
    )

    def did_pass(self, queryset: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Passed or failed."""
        return queryset.filter(passed=value == "1")


class PayoutBatchFilter(django_filters.FilterSet):
    """Payout batches."""

    date = date_filter("pay_date", _("Pay date"))
    state = choice_filter("state", _("State"), BatchState.choices)
    batch_no = exact_filter("batch_no", _("Batch number"))


class PayoutFilter(django_filters.FilterSet):
    """Payouts."""

    date = date_filter("batch__pay_date", _("Pay date"))
    state = choice_filter("state", _("State"), PayoutState.choices)
    merchant = exact_filter("merchant__merchant_no", _("Merchant number"))
    payout_no = exact_filter("payout_no", _("Payout number"))


class AccountFilter(django_filters.FilterSet):
    """Ledger accounts."""

    subject = RowFilter(
        label=_("Subject"), queryset=Subject.objects.filter(is_leaf=True), to_field_name="code", empty_label=_("All")
    )
    owner_kind = choice_filter("owner_kind", _("Owner"), OwnerKind.choices)
    owner_no = exact_filter("owner_no", _("Owner number"))
    account_no = exact_filter("account_no", _("Account number"))


class BankLineFilter(django_filters.FilterSet):
    """Bank lines."""

    date = date_filter("value_date", _("Value date"))
    account = RowFilter(
        field_name="bank_account",
        label=_("Bank account"),
        queryset=BankAccount.objects.order_by("code"),
        to_field_name="code",
        empty_label=_("All"),
    )
    kind = choice_filter("kind", _("Kind"), BankLineKind.choices)
    state = choice_filter("state", _("State"), BankLineState.choices)
    reference = exact_filter("reference", _("Bank reference"))
    statement = exact_filter("statement__number", _("Bank statement"))
    file = exact_filter("file_name", _("File"))


class ReceiptFilter(django_filters.FilterSet):
    """Channel receipts."""

    date = date_filter("channel_date", _("Channel date"))
    contract = contract_filter()
    state = choice_filter("state", _("State"), ReceiptState.choices)


class JobFilter(django_filters.FilterSet):
    """Jobs; the parts of a job are shown on its own page."""

    state = choice_filter("state", _("State"), JobState.choices)
    date = date_filter("business_date", _("Business date"))
    kind = exact_filter("kind", _("Kind"))


class MerchantFilter(django_filters.FilterSet):
    """Merchants."""

    merchant_no = exact_filter("merchant_no", _("Merchant number"))
    name = django_filters.CharFilter(field_name="name", lookup_expr="istartswith", label=_("Name begins with"))
    status = choice_filter("status", _("Status"), MerchantStatus.choices)


class AuditFilter(django_filters.FilterSet):
    """The audit log."""

    date = moment_filter("at", _("Date"))
    username = exact_filter("username", _("User"))
    action = exact_filter("action", _("Action"))
    object_kind = exact_filter("object_kind", _("Kind of object"))
    object_id = exact_filter("object_id", _("Object"))
