"""The invariant of DOMAIN 4.5: what stands on channel pending clearing is explained, row by row."""

from dataclasses import dataclass
from datetime import date, timedelta

from django.db.models import Case, F, IntegerField, Q, Sum, Value, When
from django.utils.translation import gettext as _

from payops.accounts.checks import Finding
from payops.accounts.choices import FindingLevel, OwnerKind
from payops.accounts.selectors import balance_of
from payops.channels.models import ChannelContract
from payops.core.ids import id_range
from payops.core.money import format_amount
from payops.orders.choices import Kind, Origin
from payops.orders.models import OpenTransaction, Transaction
from payops.reconciliation.choices import ItemState
from payops.reconciliation.models import OpenItem, ReconRun

PENDING_CLEARING = "300101"
UNRUN_DAYS = 60


@dataclass(frozen=True, slots=True)
class ClearingAccount:
    """Balance of channel pending clearing beside what explains it; minor units, debit positive.

    `balance` = Σ own rows of dates not yet run − Σ d in doubt, where all is well.
    """

    balance: int
    not_run: int
    in_doubt: int

    @property
    def unexplained(self) -> int:
        """What nothing explains; 0 where the invariant holds."""
        return self.balance - (self.not_run - self.in_doubt)


def clearing_account(contract: ChannelContract, as_of: date) -> ClearingAccount:
    """The invariant's terms for one contract; rows of up to 60 days before `as_of` are looked at."""
    lo, hi = id_range(as_of - timedelta(days=UNRUN_DAYS), as_of + timedelta(days=2))
    ran = ReconRun.objects.filter(contract=contract, is_current=True).values_list("channel_date", flat=True)
    sign = Case(When(kind__in=(Kind.REFUND, Kind.VOID), then=Value(-1)), default=Value(1), output_field=IntegerField())
    far = OpenTransaction.objects.filter(contract=contract).values_list("transaction_id", flat=True)
    rows = (
        Transaction.objects.filter(Q(id__gte=lo, id__lt=hi) | Q(id__in=list(far)))
        .filter(contract=contract, effective_at__isnull=False)
        .exclude(origin=Origin.SUPPLEMENT)
        .exclude(own_date__in=list(ran))
    )
    not_run = rows.aggregate(total=Sum(sign * F("amount"), default=0))["total"]
    in_doubt = OpenItem.objects.filter(contract=contract, state=ItemState.IN_DOUBT).aggregate(
        total=Sum("d", default=0)
    )["total"]
    balance = balance_of(PENDING_CLEARING, OwnerKind.CHANNEL, contract.code, contract.currency)
    return ClearingAccount(balance, int(not_run), int(in_doubt))


def clearing_accounts_explained(day: date) -> list[Finding]:
    """Day-end check: one finding per contract whose pending clearing is not explained."""
    findings = []
    for contract in ChannelContract.objects.filter(active=True):
        account = clearing_account(contract, day)
        if account.unexplained:
            findings.append(
                Finding(
                    "clearing_accounts_explained",
                    _("%(channel)s: %(amount)s on channel pending clearing is explained by no transaction and no item.")
                    % {
                        "channel": contract.code,
                        "amount": format_amount(account.unexplained, contract.currency),
                    },
                    FindingLevel.ERROR,
                    {"channel": contract.code, "unexplained": account.unexplained},
                )
            )
    return findings
