"""The portal's tests look at the day the statements' tests are made of: M-A is Mei's, M-B is Omar's."""

from __future__ import annotations

from typing import Any

import pytest

from payops.settlement.models import ClearingItem, SettlementSheet
from payops.statements.models import Statement
from payops.statements.services import statements_build
from tests.orders.conftest import DAY, transaction, world
from tests.statements.conftest import cleared, settle_day, settled

__all__ = ["cleared", "settle_day", "settled", "world"]


@pytest.fixture
def made(settled: dict[str, SettlementSheet]) -> list[Statement]:
    """The statements of the day."""
    return statements_build(day=DAY, username="alice")


@pytest.fixture
def pages(made: list[Statement], settled: dict[str, SettlementSheet]) -> dict[str, str]:
    """Every page of M-A by name."""
    item = ClearingItem.objects.filter(settlement_sheet=settled["M-A"]).first()
    assert item is not None
    return {
        "home": "/portal/",
        "transactions": "/portal/transactions/",
        "export": "/portal/transactions/export.csv",
        "transaction": f"/portal/transactions/{transaction('T1').pk}/",
        "sheets": "/portal/settlements/",
        "sheet": f"/portal/settlements/{settled['M-A'].sheet_no}/",
        "item": f"/portal/settlements/{settled['M-A'].sheet_no}/{item.pk}/",
        "statements": "/portal/statements/",
        "statement": f"/portal/statements/{statement_of('M-A').pk}/",
    }


def statement_of(merchant_no: str, form: str = "csv") -> Statement:
    """The merchant's statement of the day."""
    return Statement.objects.get(merchant__merchant_no=merchant_no, format=form)


def body(response: Any) -> str:
    """The text of a plain or streamed response."""
    content = b"".join(response.streaming_content) if response.streaming else response.content
    return content.decode("utf-8-sig")
