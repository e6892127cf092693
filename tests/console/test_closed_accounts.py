"""The case of a fact that a closed account could not take."""

from __future__ import annotations

from collections.abc import Callable

from payops.accounts import selectors, services
from payops.accounts.choices import AccountStatus, Event
from payops.accounts.models import Account
from payops.accounts.posting import Posting
from payops.discrepancies.choices import CaseKind
from payops.discrepancies.models import Discrepancy
from payops.merchants.models import Merchant
from tests.console.conftest import Books, address


def test_the_case_leads_to_the_voucher_and_names_the_closed_account(books: Books, read: Callable[..., str]) -> None:
    used = Account.objects.filter(subject__code="220201").exclude(balance=0).values_list("owner_no", flat=True)
    merchant = Merchant.objects.exclude(merchant_no__in=list(used)).first()
    account = selectors.account_get("2202.01", "merchant", merchant.merchant_no)
    services.account_status_set(account=account, status=AccountStatus.CLOSED)
    channel = Account.objects.filter(subject__code="300101").order_by("account_no").first().owner_no
    owners = {"merchant": merchant.merchant_no, "channel": channel}
    day = selectors.open_day()
    voucher = services.post(Posting(Event.PAYMENT, "test", 10**9, {"A": 12_345}, owners, day))
    case = Discrepancy.objects.get(kind=CaseKind.CLOSED_ACCOUNT)
    page = read("alice", "case_detail", case.pk)
    assert account.account_no in page
    assert "123.45" in page
    assert address("voucher", voucher.pk) in page
