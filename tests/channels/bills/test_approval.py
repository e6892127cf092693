"""A held bill file is decided by two people (DOMAIN 6)."""

from __future__ import annotations

import io

import pytest

from payops.approvals.services import request_approve, request_submit
from payops.channels.bills.approvals import ACTION, TARGET_KIND
from payops.channels.bills.selectors import accepted_file
from payops.channels.bills.services import bill_load
from payops.core.errors import PayopsError
from tests.channels.bills.conftest import DAY, SAMPLES


@pytest.fixture
def held(unionpay):
    data = (SAMPLES / "bad/unionpay_zm_bad_amount").read_bytes()
    return bill_load(contract=unionpay, channel_date=DAY, stream=io.BytesIO(data), name="INN26111888ZM_777290058999901")


@pytest.fixture
def proposal(held, alice):
    return request_submit(
        action=ACTION, target_kind=TARGET_KIND, target_id=held.pk, payload={}, amount=None, currency="CNY",
        title="Accept without line 3", reason="The channel confirmed it by telephone.", maker=alice,
    )  # fmt: skip


def test_the_checker_accepts_what_the_maker_proposed(unionpay, held, proposal, bob):
    request = request_approve(request_id=proposal.pk, checker=bob)
    assert request.status == "executed"
    assert accepted_file(unionpay, DAY).pk == held.pk


def test_the_maker_cannot_decide(unionpay, proposal, alice):
    with pytest.raises(PayopsError):
        request_approve(request_id=proposal.pk, checker=alice)
    assert accepted_file(unionpay, DAY) is None


def test_after_a_corrected_file_the_proposal_is_void(unionpay, proposal, bob):
    bill_load(contract=unionpay, channel_date=DAY, stream=SAMPLES / "unionpay/INN26111888ZM_777290058999901")
    with pytest.raises(PayopsError) as caught:
        request_approve(request_id=proposal.pk, checker=bob)
    assert caught.value.code == "bill.newer_accepted"


def test_the_decision_page_shows_the_unreadable_lines(proposal):
    from payops.approvals.registry import action_get

    shown = action_get(ACTION).describe(proposal)
    assert any("3" in str(label) for label, _value in shown.rows)
