"""The close tells of vouchers by own lines that nobody approved."""

from __future__ import annotations

from typing import Any

import pytest

from payops.accounts import services
from payops.accounts.choices import Event
from payops.accounts.document_checks import CHECK, check_documents
from payops.accounts.lines import LinesPosting, RawLine, post_lines
from payops.accounts.manual import ManualDraft, ManualLine, manual_voucher_propose
from payops.accounts.models import Voucher
from payops.accounts.posting import Posting
from tests.accounts.conftest import MONDAY, OWNERS
from tests.accounts.documents import approve, move

pytestmark = pytest.mark.django_db
CHARGE = [ManualLine("6603.01", "D", 500), ManualLine("1002.02 O1", "C", 500)]


def without_document(event: Event = Event.MANUAL) -> Voucher:
    lines = [RawLine("660301", "D", 500), RawLine("100202-B-O1", "C", 500)]
    return post_lines(LinesPosting(event, "manual_voucher", 77, lines, MONDAY))


@pytest.mark.parametrize("event", [Event.MANUAL, Event.CORRECTION_NEXT_DAY])
def test_a_voucher_without_a_document_is_found(ledger: Any, event: Event) -> None:
    voucher = without_document(event)
    (finding,) = check_documents(MONDAY)
    assert finding.context == {"voucher_id": str(voucher.pk), "event": event}


def test_approved_documents_are_no_finding(ledger: Any, alice: Any, bob: Any) -> None:
    approve(manual_voucher_propose(draft=ManualDraft("Bank charge", MONDAY, CHARGE), user=alice), bob)
    paid = services.post(Posting(Event.PAYMENT, "transaction", 1, {"A": 100}, OWNERS, MONDAY))
    approve(move(paid, "220201-M-A", "220201-M-B", alice), bob)
    assert check_documents(MONDAY) == []


def test_the_close_seals_the_finding_and_is_not_blocked(ledger: Any) -> None:
    services.register_check(CHECK, check_documents)
    without_document()
    services.day_cut_off(MONDAY)
    assert [finding.check for finding in services.close_day(MONDAY).findings] == [CHECK]
