"""Facts for closed merchant accounts: the ledger booked them to suspense, here each becomes a case (DOMAIN 4.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from payops.accounts.choices import OwnerKind
from payops.accounts.diverting import Diversion
from payops.channels.models import BankAccount, ChannelContract
from payops.discrepancies.choices import CaseKind
from payops.discrepancies.services.cases import cases_open_many
from payops.merchants.models import Merchant

TRANSACTION = "transaction"


def open_cases(diversions: Sequence[Diversion]) -> None:
    """One case per diverted line, of the suspense's owner; called in the transaction of the posting.

    The case carries what was booked to suspense, so surplus − shortage = Σ open cases goes on holding.
    """
    contracts = _by_number(ChannelContract.objects.all(), "code", diversions, OwnerKind.CHANNEL)
    banks = _by_number(BankAccount.objects.all(), "code", diversions, OwnerKind.BANK)
    merchants = {
        merchant.merchant_no: merchant
        for merchant in Merchant.objects.filter(merchant_no__in={d.account.owner_no for d in diversions})
    }
    cases_open_many([_finding(diversion, contracts, banks, merchants) for diversion in diversions])


def _by_number(rows: Any, field: str, diversions: Sequence[Diversion], kind: OwnerKind) -> dict[str, Any]:
    numbers = {d.suspense.owner_no for d in diversions if d.suspense.owner_kind == kind}
    return {getattr(row, field): row for row in rows.filter(**{f"{field}__in": numbers})} if numbers else {}


def _finding(
    diversion: Diversion,
    contracts: dict[str, ChannelContract],
    banks: dict[str, BankAccount],
    merchants: dict[str, Merchant],
) -> dict[str, Any]:
    voucher, suspense = diversion.voucher, diversion.suspense
    finding = {
        "dedupe_key": f"closed_account:{diversion.diverted.entry_id}",
        "kind": CaseKind.CLOSED_ACCOUNT,
        "amount": diversion.signed,
        "suspense": diversion.signed,
        "currency": suspense.currency,
        "business_date": voucher.business_date,
        "contract": contracts.get(suspense.owner_no) if suspense.owner_kind == OwnerKind.CHANNEL else None,
        "bank_account": banks.get(suspense.owner_no) if suspense.owner_kind == OwnerKind.BANK else None,
        "merchant": merchants.get(diversion.account.owner_no),
        "transaction_id": voucher.source_id if voucher.source_kind == TRANSACTION else None,
        "evidence": {
            "closed": {
                "account_no": diversion.account.account_no,
                "event": int(diversion.diverted.event),
                "voucher": str(voucher.pk),
            }
        },
    }
    return {name: value for name, value in finding.items() if value is not None}
