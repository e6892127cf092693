"""Merchants, jobs and the audit log in the console."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from payops.accounts.models import Account
from payops.core import audit
from payops.core.models import JobRun
from payops.merchants.models import Merchant
from tests.console.conftest import Books, address, text_of

Read = Callable[..., str]


@pytest.fixture
def failed_job(books: Books) -> JobRun:
    """A job that has used up its attempts."""
    from django.utils import timezone

    return JobRun.objects.create(
        kind="channels.parse",
        state="failed",
        attempt=3,
        error_code="x",
        error_message="The disk was full.",
        finished_at=timezone.now(),
    )


def test_a_merchant_shows_where_its_money_stands(books: Books, read: Read) -> None:
    account = Account.objects.filter(owner_kind="merchant", balance__gt=0).order_by("id").first()
    text = read("carol", "merchant", account.owner_no)
    assert f"{account.balance / 100:,.2f}" in text
    assert address("account", account.pk) in text


def test_a_merchants_account_number_is_masked(books: Books, read: Read) -> None:
    for merchant in Merchant.objects.all():
        for account in merchant.settlement_accounts.all():
            assert account.number not in read("carol", "merchant", merchant.merchant_no)


def test_merchants_are_found_by_the_beginning_of_their_name(books: Books, read: Read) -> None:
    merchant = Merchant.objects.order_by("-pk").first()
    text = read("alice", "merchant_list", name=merchant.name[:6])
    assert address("merchant", merchant.merchant_no) in text


def test_a_failed_job_says_why_and_is_tried_again(books: Books, failed_job: JobRun, read: Read) -> None:
    assert "The disk was full." in read("alice", "job", failed_job.pk)
    books.client("alice").post(address("job_retry", failed_job.pk))
    failed_job.refresh_from_db()
    assert failed_job.state == "queued"


def test_a_job_that_did_not_fail_is_not_tried_again(books: Books) -> None:
    job = JobRun.objects.filter(state="succeeded").first()
    response = books.client("alice").post(address("job_retry", job.pk), follow=True)
    assert "neither failed nor been cancelled" in text_of(response)


def test_a_queued_job_is_cancelled(books: Books, failed_job: JobRun) -> None:
    client = books.client("alice")
    client.post(address("job_retry", failed_job.pk))
    client.post(address("job_cancel", failed_job.pk))
    failed_job.refresh_from_db()
    assert failed_job.state == "cancelled"


def test_a_job_under_way_reloads_its_page(books: Books, failed_job: JobRun, read: Read) -> None:
    assert "data-reload" not in read("alice", "job", failed_job.pk)
    books.client("alice").post(address("job_retry", failed_job.pk))
    assert "data-reload" in read("alice", "job", failed_job.pk)


def test_finance_retries_no_jobs(books: Books, failed_job: JobRun, read: Read) -> None:
    assert address("job_retry", failed_job.pk) not in read("bob", "job", failed_job.pk)
    assert books.client("bob").post(address("job_retry", failed_job.pk)).status_code == 403


def test_the_audit_log_is_searched_by_person_and_object(books: Books, read: Read) -> None:
    audit.record(username="alice", action="console.tried", object_kind="thing", object_id="4711", detail={"why": "so"})
    assert "4711" in read("carol", "audit_list", username="alice", object_id="4711")
    assert "4711" not in read("carol", "audit_list", username="bob", object_id="471")


@pytest.mark.parametrize(("name", "most"), [("merchant_list", 14), ("job_list", 13), ("audit_list", 13)])
def test_lists_need_the_same_few_queries_however_long_they_are(
    books: Books, name: str, most: int, django_assert_max_num_queries: Callable[..., object]
) -> None:
    client = books.client("alice")
    with django_assert_max_num_queries(most):
        client.get(address(name))
