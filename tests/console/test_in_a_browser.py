"""A day in a real browser: operations propose, finance approve, the case closes, the merchant downloads a statement."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import get_resolver, reverse

from payops.accounts.models import CorrectedEntry, Correction
from payops.core.formatting import money
from payops.dayend.sample.generator import generate
from payops.discrepancies.choices import CaseState
from payops.discrepancies.models import CaseAction, Discrepancy
from payops.discrepancies.rules import allowed_actions
from payops.orders.models import Transaction
from payops.statements.models import Statement
from tests.console import documents
from tests.dayend.days import MON, SMALL, SampleDays, bank_at

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PAGES = [
    reverse(f"console:{pattern.name}")
    for pattern in get_resolver("payops.console.urls").url_patterns
    if not pattern.pattern.converters and pattern.callback.permission_code.endswith(".view")
]
"""Every page that needs no number, open to the auditor."""


@pytest.fixture
def days(transactional_db: None, tmp_path: Path, settings: Any) -> Iterator[SampleDays]:
    """Monday walked to its end, committed so that the site's own threads see it."""
    generate(tmp_path / "days", SMALL)
    with bank_at(tmp_path, MON) as bank:
        settings.BANK_SIMULATOR_URL = bank.url
        made = SampleDays(tmp_path / "days", bank)
        made.all_of(MON)
        made.finish(MON)
        yield made


@pytest.fixture
def complaints(page: Any) -> list[str]:
    """What the browser complained about: blocked scripts, errors of scripts."""
    found: list[str] = []

    def listen(message: Any) -> None:
        if message.type == "error":
            found.append(f"{message.text} {message.location}")

    page.on("console", listen)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@pytest.fixture
def log_in(page: Any, live_server: Any) -> Callable[[str], None]:
    """``log_in("alice")`` by the form, after whoever was there has logged out."""

    def enter(username: str) -> None:
        page.context.clear_cookies()
        page.goto(f"{live_server.url}/accounts/login/")
        page.get_by_label("Username").fill(username)
        page.get_by_label("Password").fill(f"demo-{username}-2026")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(lambda url: "/accounts/login/" not in url)

    return enter


def an_open_loss() -> Discrepancy:
    """A shortage of a channel that may be accepted as loss."""
    return next(case for case in Discrepancy.objects.filter(state=CaseState.OPEN) if "loss" in allowed_actions(case))


def test_operations_propose_finance_approve_and_the_merchant_downloads(
    days: SampleDays, live_server: Any, page: Any, log_in: Callable[[str], None], complaints: list[str]
) -> None:
    case = an_open_loss()
    page.on("dialog", lambda dialog: dialog.accept())

    log_in("alice")
    page.get_by_role("link", name="Cases", exact=True).click()
    page.get_by_role("link", name=case.case_no).click()
    page.get_by_label("Action").select_option("loss")
    page.get_by_label("Reason").fill("The channel confirmed that the payment never arrived.")
    page.get_by_role("button", name="Propose").click()
    page.get_by_text("another person decides").wait_for()

    log_in("bob")
    page.get_by_role("link", name="Approvals", exact=False).first.click()
    page.get_by_role("link", name=case.case_no).first.click()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("is approved and done").wait_for()
    action = CaseAction.objects.get(case=case)
    page.get_by_role("link", name=str(action.voucher_id)).first.click()
    page.get_by_text("Losses accepted").first.wait_for()

    case.refresh_from_db()
    assert (case.state, case.suspense) == (CaseState.CLOSED, 0)

    log_in("mei")
    page.get_by_role("link", name="Statements").first.click()
    statement = Statement.objects.filter(merchant__merchant_no="M00001", format="csv").first()
    with page.expect_download() as downloading:
        page.locator(f'a[href$="/statements/{statement.pk}/"]').first.click()
    content = Path(downloading.value.path()).read_bytes()
    assert hashlib.sha256(content).hexdigest() == statement.sha256
    assert complaints == []


def test_every_page_fits_a_phone_and_a_desk_in_both_languages_without_a_complaint(
    days: SampleDays, live_server: Any, page: Any, log_in: Callable[[str], None], complaints: list[str]
) -> None:
    log_in("carol")
    for language in ("English", "简体中文"):
        if page.locator("html").get_attribute("lang") == "en" and language != "English":
            page.get_by_role("button", name=language).click()
        for address in PAGES:
            page.set_viewport_size({"width": 390, "height": 900})
            response = page.goto(live_server.url + address)
            assert response.status == 200, address
            for width in (390, 1440):
                page.set_viewport_size({"width": width, "height": 900})
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width, language)
    assert complaints == []


def test_a_slash_puts_the_cursor_into_the_search(
    days: SampleDays, live_server: Any, page: Any, log_in: Callable[[str], None]
) -> None:
    case = Discrepancy.objects.first()
    log_in("carol")
    page.keyboard.press("/")
    page.keyboard.type(case.case_no)
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/console/cases/{case.pk}/")


def test_ticking_cases_wakes_the_bulk_form_and_counts(
    days: SampleDays, live_server: Any, page: Any, log_in: Callable[[str], None]
) -> None:
    log_in("alice")
    page.goto(f"{live_server.url}/console/cases/")
    button = page.get_by_role("button", name="Propose for the ticked cases")
    assert button.is_disabled()
    boxes = page.locator("[data-select]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    assert page.locator("[data-bulk-count]").inner_text() == "2"
    assert button.is_enabled()


def test_a_next_day_correction_from_the_transactions_number_to_the_booked_voucher(
    days: SampleDays, live_server: Any, page: Any, log_in: Callable[[str], None], complaints: list[str]
) -> None:
    wrong = documents.payment(MON)
    credit, right = documents.credit(wrong), documents.other_merchant(wrong)
    page.on("dialog", lambda dialog: dialog.accept())

    log_in("alice")
    page.get_by_role("link", name="Corrections", exact=True).click()
    page.get_by_role("link", name="Correct a voucher").click()
    page.get_by_label("Which voucher is wrong?").fill(Transaction.objects.get(pk=wrong.source_id).transaction_no)
    page.get_by_role("button", name="Find", exact=True).click()
    debit_box, credit_box = page.locator("[data-wrong]").nth(0), page.locator("[data-wrong]").nth(1)
    credit_box.check()
    assert debit_box.is_disabled()
    account = page.locator("[data-account]").first
    account.press_sequentially(f"2202.01 {right.owner_no}")
    page.locator(f'#account-suggestions option[value="{right.account_no}"]').wait_for(state="attached")
    account.fill(right.account_no)
    amount = page.locator("[data-right]").first
    assert amount.input_value() == money(credit.amount, credit.currency)
    amount.fill("0.01")
    assert page.locator('[data-total="difference"]').inner_text() == money(credit.amount - 1, credit.currency)
    page.get_by_role("button", name="Add a line").click()
    assert page.locator("[data-row]").count() == 4
    amount.fill(money(credit.amount, credit.currency))
    assert page.locator('[data-total="difference"]').inner_text() == "0.00"
    page.get_by_label("Why is it wrong?").fill("The other merchant's sale.")
    page.get_by_role("button", name="Show what will be booked").click()
    page.get_by_text("books it where it belongs").wait_for()
    page.get_by_role("button", name="Propose it").click()
    page.get_by_text("another person decides").wait_for()

    log_in("bob")
    page.get_by_role("link", name="Approvals", exact=False).first.click()
    page.get_by_role("link", name="Next-day correction").first.click()
    page.get_by_role("button", name="Approve").click()
    page.get_by_text("is approved and done").wait_for()
    made = Correction.objects.get()
    assert (made.kind, made.state) == ("next_day", "booked")
    assert CorrectedEntry.objects.get().entry_id == credit.pk
    assert complaints == []
