"""Reads of cases: lists, counts, ageing, what is in suspense, and whether our own row is cleared."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Case, Count, Q, QuerySet, Sum, Value, When
from django.utils.translation import gettext as _

from payops.accounts.choices import DayState
from payops.accounts.models import AccountingDay
from payops.channels.models import ChannelContract
from payops.core.errors import PayopsError
from payops.core.institution import own_day
from payops.discrepancies import handlers
from payops.discrepancies.choices import AGE_BUCKETS, OPEN_STATES, CaseState
from payops.discrepancies.models import CaseEvent, Discrepancy
from payops.identity.models import User
from payops.merchants.models import Merchant
from payops.orders.models import ClearingWatermark, Transaction


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """What is to be done: open cases by state, escalated ones, and both suspense sums (minor units, positive)."""

    total: int
    by_state: dict[str, int]
    by_kind: dict[str, int]
    escalated: int
    surplus: int
    shortage: int


@dataclass(frozen=True, slots=True)
class AgeBucket:
    """One line of the ageing report: open cases `first` to `last` days old, sums in minor units, both positive."""

    first: int
    last: int | None
    count: int = 0
    surplus: int = 0
    shortage: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """0–1, 2–3, … >30."""
        return f">{self.first - 1}" if self.last is None else f"{self.first}–{self.last}"


def cases_for(user: User) -> QuerySet[Discrepancy]:
    """The cases a user may see: staff with `cases.view` all, merchants none."""
    cases = Discrepancy.objects.select_related("contract", "merchant", "owner", "bank_account")
    return cases if user.is_authenticated and user.may("cases.view") else cases.none()


def case_get(user: User, case_id: int) -> Discrepancy:
    """One case the user may see; PayopsError 'discrepancies.not_found' otherwise, which a view answers with 404."""
    case = cases_for(user).filter(pk=case_id).first()
    if case is None:
        raise PayopsError(
            "discrepancies.not_found",
            _("There is no case with the number %(id)s.") % {"id": case_id},
            {"case": case_id},
        )
    return case


def open_cases(user: User) -> QuerySet[Discrepancy]:
    """Cases somebody still has to do something about, the oldest first."""
    return cases_for(user).filter(state__in=OPEN_STATES).order_by("business_date", "id")


def cases_filtered(
    user: User,
    *,
    states: Iterable[str] = (),
    kinds: Iterable[str] = (),
    contract_code: str = "",
    merchant_no: str = "",
    first_date: dt.date | None = None,
    last_date: dt.date | None = None,
    bucket: int | None = None,
    escalated: bool | None = None,
    surplus: bool | None = None,
    owner_id: int | None = None,
    today: dt.date | None = None,
) -> QuerySet[Discrepancy]:
    """Cases by the conditions given, all of which must hold; `bucket` is a position in AGE_BUCKETS."""
    conditions = Q()
    if states:
        conditions &= Q(state__in=list(states))
    if kinds:
        conditions &= Q(kind__in=list(kinds))
    if contract_code:
        conditions &= Q(contract__code=contract_code)
    if merchant_no:
        conditions &= Q(merchant__merchant_no=merchant_no)
    if first_date:
        conditions &= Q(business_date__gte=first_date)
    if last_date:
        conditions &= Q(business_date__lte=last_date)
    if bucket is not None:
        conditions &= _bucket_condition(bucket, today or reference_day())
    if escalated is not None:
        conditions &= Q(escalated_at__isnull=not escalated)
    if surplus is not None:
        conditions &= Q(suspense__gt=0) if surplus else Q(suspense__lt=0)
    if owner_id is not None:
        conditions &= Q(owner=owner_id)
    return cases_for(user).filter(conditions)


def history_of(case: Discrepancy) -> QuerySet[CaseEvent]:
    """The case's history, the oldest line first."""
    return CaseEvent.objects.filter(case=case).order_by("id")


def open_counts(*, contract: ChannelContract | None = None) -> OpenCounts:
    """Counts and sums of the open cases, of one contract or of all."""
    cases = Discrepancy.objects.filter(state__in=OPEN_STATES)
    if contract is not None:
        cases = cases.filter(contract=contract)
    rows = (
        cases.order_by()
        .values("state", "kind")
        .annotate(
            number=Count("id"),
            late=Count("id", filter=Q(escalated_at__isnull=False)),
            surplus=Sum("suspense", filter=Q(suspense__gt=0), default=0),
            shortage=Sum("suspense", filter=Q(suspense__lt=0), default=0),
        )
    )
    by_state: dict[str, int] = {}
    by_kind: dict[str, int] = {}
    for row in rows:
        by_state[row["state"]] = by_state.get(row["state"], 0) + row["number"]
        by_kind[row["kind"]] = by_kind.get(row["kind"], 0) + row["number"]
    return OpenCounts(
        total=sum(by_state.values()),
        by_state=by_state,
        by_kind=by_kind,
        escalated=sum(row["late"] for row in rows),
        surplus=sum(row["surplus"] for row in rows),
        shortage=-sum(row["shortage"] for row in rows),
    )


def suspense_total(contract: ChannelContract | None = None, *, currency: str = "CNY") -> int:
    """Σ suspense of open cases in minor units, signed: surplus − shortage of the ledger must equal it.

    Of one contract, or of all; unidentified bank lines stand apart, their suspense belongs to the bank account.
    """
    cases = Discrepancy.objects.filter(contract__isnull=False, state__in=OPEN_STATES, currency=currency)
    if contract is not None:
        cases = cases.filter(contract=contract)
    return cases.aggregate(total=Sum("suspense", default=0))["total"]


def ageing(*, today: dt.date | None = None, contract: ChannelContract | None = None) -> list[AgeBucket]:
    """The ageing report: open cases by days since their channel date, counted to the open accounting day."""
    day = today or reference_day()
    cases = Discrepancy.objects.filter(state__in=OPEN_STATES)
    if contract is not None:
        cases = cases.filter(contract=contract)
    bucket = Case(*[When(_bucket_condition(n, day), then=Value(n)) for n in range(len(AGE_BUCKETS))])
    rows = list(
        cases.order_by()
        .annotate(bucket=bucket)
        .values("bucket", "kind")
        .annotate(
            number=Count("id"),
            surplus=Sum("suspense", filter=Q(suspense__gt=0), default=0),
            shortage=Sum("suspense", filter=Q(suspense__lt=0), default=0),
        )
    )
    return [_age_bucket(n, [row for row in rows if row["bucket"] == n]) for n in range(len(AGE_BUCKETS))]


def _age_bucket(position: int, rows: Sequence[Mapping[str, Any]]) -> AgeBucket:
    first, last = AGE_BUCKETS[position]
    return AgeBucket(
        first=first,
        last=last,
        count=sum(row["number"] for row in rows),
        surplus=sum(row["surplus"] for row in rows),
        shortage=-sum(row["shortage"] for row in rows),
        by_kind={row["kind"]: row["number"] for row in rows},
    )


def age_in_days(case: Discrepancy, *, today: dt.date | None = None) -> int:
    """Days from the case's channel date to the open accounting day; never negative."""
    return max(0, ((today or reference_day()) - case.business_date).days)


def reference_day() -> dt.date:
    """The day ages are counted to: the open accounting day, before the first one today's own date."""
    from django.utils import timezone

    day = AccountingDay.objects.filter(state=DayState.OPEN).values_list("day", flat=True).first()
    return day or own_day(timezone.now())


def fingerprint(case: Discrepancy) -> str:
    """A digest of everything a decision on the case rests on; a page keeps it to notice that it is stale."""
    facts = [
        case.pk,
        case.state,
        case.kind,
        case.amount,
        case.suspense,
        case.currency,
        case.merchant_id,
        case.transaction_id,
        case.bill_line_id,
        case.bank_line_id,
        case.evidence,
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, cls=DjangoJSONEncoder).encode()).hexdigest()


def certain_merchant_of(case: Discrepancy) -> Merchant | None:
    """The merchant our own books name, which nobody may exchange for another: the case's own, or our row's."""
    if case.merchant is not None:
        return case.merchant
    row = own_row(case)
    return row.merchant if row else None


def merchant_of(case: Discrepancy) -> Merchant | None:
    """The merchant to begin with: the certain one, else the number the evidence of either side gives."""
    certain = certain_merchant_of(case)
    if certain is not None:
        return certain
    for side in ("own", "channel"):
        number = (case.evidence.get(side) or {}).get("merchant_no")
        merchant = Merchant.objects.filter(merchant_no=number).first() if number else None
        if merchant is not None:
            return merchant
    return None


def own_row(case: Discrepancy) -> Transaction | None:
    """Our own transaction of the case, if it has one."""
    if case.transaction_id is None:
        return None
    return Transaction.objects.filter(pk=case.transaction_id).first()


def own_row_is_cleared(case: Discrepancy) -> bool:
    """Whether our own row was already cleared to its merchant, so that its money left "pending settlement".

    Settlement knows (it holds own-only rows back); without its word the clearing watermark of merchant and contract
    decides. A case without a row of ours has nothing pending: it counts as cleared.
    """
    row = own_row(case)
    if row is None:
        return True
    answer = handlers.ask_cleared(row)
    if answer is not None:
        return answer
    return ClearingWatermark.objects.filter(
        merchant=row.merchant_id, contract=row.contract_id, cleared_until__gte=row.own_date
    ).exists()


def is_waiting(case: Discrepancy, *, today: dt.date | None = None) -> bool:
    """Whether an approved "keep waiting" still runs: not wrong yet, only waiting."""
    return (
        case.state == CaseState.OPEN and case.wait_until is not None and case.wait_until >= (today or reference_day())
    )


def _bucket_condition(position: int, day: dt.date) -> Q:
    first, last = AGE_BUCKETS[position]
    condition = Q(business_date__lte=day - dt.timedelta(days=first)) if first else Q()
    if last is not None:
        condition &= Q(business_date__gte=day - dt.timedelta(days=last))
    return condition
