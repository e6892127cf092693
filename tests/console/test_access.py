"""Every page of the console for everybody: staff by their role, merchants, strangers; and only by its own method.

The list of pages comes from the URL patterns themselves, so a new page is under test from the day it is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.urls import get_resolver, reverse

from payops.accounts.models import Account, ClassificationCode, Correction, Freeze, ManualVoucher, PostingRule, Voucher
from payops.approvals.models import ApprovalRequest
from payops.channels.fetch.models import FileSource
from payops.channels.models import BankLine, BillFile, BillLine, ChannelContract, FormatMapping
from payops.core.ids import id_range
from payops.core.jobs import run_now
from payops.core.models import JobRun
from payops.discrepancies.models import Discrepancy
from payops.identity.roles import permissions_of
from payops.merchants.models import CustomerFreeze, Merchant
from payops.orders.models import Intake, Transaction
from payops.reconciliation.exports import export_request as result_export_request
from payops.reconciliation.exports import exports as result_exports
from payops.reconciliation.models import BankReconciliation, BankRule, ChannelReceipt, MatchGroup, OpenItem, ReconRun
from payops.settlement.models import BalanceCheck, ClearingItem, ClearingSheet, Payout, PayoutBatch, SettlementSheet
from payops.statements.exports import export_request, exports
from payops.statements.models import Statement
from tests.console import configuration, documents, fetching
from tests.console.conftest import CAST, MON, TUE, Books, read_out

LO, HI = id_range(MON, TUE)
PATTERNS = [pattern for pattern in get_resolver("payops.console.urls").url_patterns if pattern.name]
NAMES = [pattern.name for pattern in PATTERNS]


def _first(model: Any) -> Callable[[], Any]:
    return lambda: model.objects.order_by("pk").values_list("pk", flat=True).first()


def _first_of_days(model: Any) -> Callable[[], Any]:
    return lambda: model.objects.in_range(LO, HI).order_by("pk").values_list("pk", flat=True).first()


def _an_export() -> int:
    """An export that is there to be downloaded."""
    job = exports().filter(state="succeeded").first()
    return job.pk if job else run_now(_asked_for().pk).pk


def _a_result_export() -> int:
    """An export of a run's results that is there to be downloaded."""
    job = result_exports().filter(state="succeeded").first()
    values = {"run": ReconRun.objects.filter(is_current=True).order_by("pk").first().pk}
    return (
        job.pk
        if job
        else run_now(result_export_request(what="results", form="csv", values=values, username="alice").pk).pk
    )


def _asked_for() -> JobRun:
    return export_request(report="trial_balance", form="csv", values={"day": MON.isoformat()}, username="alice")


ARGUMENTS: dict[str, Callable[[], Any]] = {
    "approval_id": _first(ApprovalRequest),
    "bank_line_id": _first(BankLine),
    "bank_rule_id": lambda: (BankRule.objects.first() or configuration.bank_rule()).pk,
    "source_id": lambda: (FileSource.objects.first() or fetching.file_source()).pk,
    "source_kind": lambda: "folder",
    "bill_file_id": _first(BillFile),
    "case_id": _first(Discrepancy),
    "intake_id": _first(Intake),
    "job_id": _first(JobRun),
    "line_id": _first_of_days(BillLine),
    "match_group_id": lambda: (MatchGroup.objects.first() or configuration.match_group()).pk,
    "channel_code": lambda: ChannelContract.objects.order_by("code").first().code,
    "open_item_id": lambda: OpenItem.objects.filter(state="definite").exclude(side="pair").first().pk,
    "merchant_no": lambda: Merchant.objects.order_by("pk").first().merchant_no,
    "receipt_id": _first(ChannelReceipt),
    "reconciliation_id": _first(BankReconciliation),
    "run_id": _first(ReconRun),
    "transaction_id": _first_of_days(Transaction),
    "account_id": _first(Account),
    "batch_id": _first(PayoutBatch),
    "check_id": _first(BalanceCheck),
    "clearing_id": _first(ClearingSheet),
    "item_id": _first(ClearingItem),
    "payout_id": _first(Payout),
    "rule_id": _first(PostingRule),
    "settlement_line_id": lambda: BankLine.objects.filter(kind="settlement").order_by("pk").first().pk,
    "sheet_id": _first(SettlementSheet),
    "statement_id": _first(Statement),
    "voucher_id": _first_of_days(Voucher),
    "code": lambda: ClassificationCode.objects.first().code,
    "export_id": _an_export,
    "result_export_id": _a_result_export,
    "report": lambda: "trial_balance",
    "form": lambda: "csv",
    "day": lambda: MON.isoformat(),
    "file_format": lambda: "csv",
    "owner_kind": lambda: "merchant",
    "owner_no": lambda: Merchant.objects.order_by("pk").first().merchant_no,
    "freeze_id": lambda: (Freeze.objects.first() or configuration.freeze()).pk,
    "customer_freeze_id": lambda: (CustomerFreeze.objects.first() or configuration.customer_frozen()).pk,
    "event": lambda: 101,
    "correction_id": lambda: (Correction.objects.first() or documents.correction()).pk,
    "mapping_id": lambda: (FormatMapping.objects.first() or configuration.mapping()).pk,
    "manual_voucher_id": lambda: (ManualVoucher.objects.first() or documents.manual_voucher()).pk,
    "batch_no": lambda: (ManualVoucher.objects.exclude(batch_no="").first() or documents.batch()).batch_no,
}


def url_of(name: str) -> str:
    """The page's address for the first object there is."""
    pattern = next(pattern for pattern in PATTERNS if pattern.name == name)
    arguments = {argument: ARGUMENTS[argument]() for argument in pattern.pattern.converters}
    return reverse(f"console:{name}", kwargs=arguments)


def code_of(name: str) -> str:
    """The permission the view asks for."""
    return next(pattern for pattern in PATTERNS if pattern.name == name).callback.permission_code


def reads(name: str) -> bool:
    """Whether it answers GET."""
    return "GET" in methods(name)


def methods(name: str) -> tuple[str, ...]:
    return next(pattern for pattern in PATTERNS if pattern.name == name).callback.methods


PAGES = [name for name in NAMES if reads(name)]
DETAILS = [pattern.name for pattern in PATTERNS if pattern.name in PAGES and pattern.pattern.converters]
ACTIONS = [name for name in NAMES if "POST" in methods(name)]


@pytest.mark.parametrize("name", PAGES)
def test_staff_see_a_page_by_their_role(books: Books, name: str, settings: Any) -> None:
    # The one kind of bank with which every page of payouts has something to give.
    settings.PAYOPS_BANK_CLIENT = "payops.settlement.bank.FileBank"
    url, code = url_of(name), code_of(name)
    for username in CAST:
        allowed = code in permissions_of(books.user(username).role)
        assert read_out(books.client(username).get(url)).status_code == (200 if allowed else 403), username


@pytest.mark.parametrize("name", NAMES)
def test_a_merchant_does_not_learn_that_a_page_exists(books: Books, name: str) -> None:
    client = books.client("mei")
    assert client.get(url_of(name)).status_code == 404
    assert client.post(url_of(name)).status_code == 404


@pytest.mark.parametrize("name", NAMES)
def test_a_stranger_is_asked_to_log_in(books: Books, name: str) -> None:
    response = books.client(None).get(url_of(name))
    assert response.status_code == 302
    assert response.url.startswith("/accounts/login/")


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_method_is_refused(books: Books, name: str) -> None:
    code = code_of(name)
    who = next(username for username in CAST if code in permissions_of(books.user(username).role))
    client = books.client(who)
    refused = [method for method in ("get", "post", "put", "delete") if method.upper() not in methods(name)]
    assert [getattr(client, method)(url_of(name)).status_code for method in refused] == [405] * len(refused)


@pytest.mark.parametrize("name", ACTIONS)
def test_the_auditor_changes_nothing(books: Books, name: str) -> None:
    url, before = url_of(name), _fingerprint()
    assert books.client("carol").post(url, {"note": "I only look."}).status_code == 403
    assert _fingerprint() == before


def _fingerprint() -> list[Any]:
    """Everything an action could have moved."""
    return [
        list(ApprovalRequest.objects.order_by("pk").values_list("pk", "status")),
        list(Discrepancy.objects.order_by("pk").values_list("pk", "state", "owner_id")),
        list(Payout.objects.order_by("pk").values_list("pk", "state")),
        list(BillFile.objects.order_by("pk").values_list("pk", "state")),
        list(JobRun.objects.order_by("pk").values_list("pk", "state")),
        list(Account.objects.order_by("pk").values_list("pk", "balance")),
    ]


@pytest.mark.parametrize("name", DETAILS)
def test_what_does_not_exist_is_not_found(books: Books, name: str) -> None:
    pattern = next(pattern for pattern in PATTERNS if pattern.name == name)
    missing = {
        argument: {"merchant_no": "NOBODY", "day": "2031-01-01", "batch_no": "MB0"}.get(argument, 999_999_999)
        for argument in pattern.pattern.converters
    }
    code = code_of(name)
    who = next(username for username in CAST if code in permissions_of(books.user(username).role))
    assert books.client(who).get(reverse(f"console:{name}", kwargs=missing)).status_code == 404
