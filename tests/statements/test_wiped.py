"""What merchants see of corrections: a pair wiped on its own day is not on their statement, red and blue are."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from payops.accounts import services as ledger
from payops.accounts.choices import Event
from payops.accounts.models import Voucher
from payops.accounts.posting import Posting
from payops.settlement.models import SettlementSheet
from payops.statements.selectors import movements_of
from tests.accounts.documents import approve, move, next_day
from tests.orders.conftest import DAY, World

pytestmark = pytest.mark.django_db
A, B = "220202-M-A", "220202-M-B"


@pytest.fixture
def wrong(cleared: World) -> Voucher:
    """100 credited to the settlement account of A, meant for B, on the day that is open."""
    owners = {"merchant": "M-A", "channel": "WECHAT"}
    return ledger.post(Posting(Event.RECOVER_SETTLEMENT, "case_action", 1, {"D": -100}, owners, DAY))


def amounts(sheet: SettlementSheet) -> list[int]:
    return [movement.amount for _sheet, movement in movements_of([sheet])]


def test_a_wiped_pair_is_hidden_and_the_blue_line_is_shown(
    wrong: Voucher, settle_day: Any, alice: Any, bob: Any
) -> None:
    approve(move(wrong, A, B, alice), bob)
    sheets = settle_day()
    assert amounts(sheets["M-A"]) == []
    assert amounts(sheets["M-B"]) == [100]


def test_a_next_day_correction_shows_wrong_and_red_line(wrong: Voucher, settle_day: Any, alice: Any, bob: Any) -> None:
    next_day(DAY + dt.timedelta(days=1))
    approve(move(wrong, A, B, alice), bob)
    sheets = settle_day()
    assert amounts(sheets["M-A"]) == [100, -100]
    assert amounts(sheets["M-B"]) == [100]


def test_lines_on_two_sheets_both_count(wrong: Voucher, settle_day: Any, alice: Any, bob: Any) -> None:
    first = settle_day()
    approve(move(wrong, A, B, alice), bob)
    assert amounts(first["M-A"]) == [100]
