"""Keys looked up by their digest: the index serves every look-up, and the text decides."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.db.models import Exists, OuterRef, Q, Value

from payops.channels.models import BillLine
from payops.core.ids import day_floor
from payops.core.partitions import ensure_day

DAY = dt.date(2026, 11, 2)


@pytest.fixture
def keys(db: None) -> list[str]:
    """A day of 2,000 lines with 1,000 keys; every key stands on two of them."""
    ensure_day(DAY, only=[BillLine])
    keys = [f"2026110222001480{number:012d}" for number in range(1_000)]
    BillLine.objects.bulk_create(
        BillLine(
            id=day_floor(DAY) + number,
            contract_id=1 + number % 2,
            kind=1,
            match_key=keys[number % 1_000],
            trade_no=f"T{number}",
            status="SUCCESS",
            amount=100,
            settled_amount=100,
            fee=0,
            currency="CNY",
            occurred_at=dt.datetime(2026, 11, 2, 12, tzinfo=dt.UTC),
            row_hash=number,
        )
        for number in range(2_000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE channels_billline")
    return keys


def lines_of(condition: Q) -> list[int]:
    return [pk - day_floor(DAY) for pk in BillLine.objects.for_days(DAY).filter(condition).values_list("pk", flat=True)]


def test_one_key_several_and_none(keys: list[str]) -> None:
    assert lines_of(Q(match_key=keys[7])) == [7, 1007]
    assert lines_of(Q(match_key__in=[keys[3], keys[7], "nobody's"])) == [3, 7, 1003, 1007]
    assert lines_of(Q(match_key__in=[])) == []
    assert lines_of(Q(match_key="nobody's")) == []


def test_keys_combine_with_other_conditions(keys: list[str]) -> None:
    assert lines_of(Q(match_key=keys[7], trade_no="T7") | Q(match_key=keys[3], trade_no="T1003")) == [7, 1003]
    assert len(lines_of(~Q(match_key=keys[7]))) == 1_998


def test_a_key_compares_with_columns_and_expressions(keys: list[str]) -> None:
    twins = BillLine.objects.for_days(DAY).filter(match_key=OuterRef("match_key")).exclude(pk=OuterRef("pk"))
    assert len(lines_of(Q(Exists(twins)))) == 2_000
    assert lines_of(Q(match_key=Value(keys[7]))) == [7, 1007]
    named = BillLine.objects.for_days(DAY).filter(trade_no="T7").values("match_key")
    assert lines_of(Q(match_key__in=named)) == [7, 1007]


@pytest.mark.parametrize("wanted", ["one", "several", "either"])
def test_the_index_finds_them(keys: list[str], wanted: str) -> None:
    condition = {
        "one": Q(match_key=keys[7]),
        "several": Q(match_key__in=keys[:5]),
        "either": Q(match_key=keys[7], kind=1) | Q(match_key=keys[8], kind=1),
    }[wanted]
    plan = BillLine.objects.for_days(DAY).filter(condition).explain()
    assert "hashtextextended" in plan.partition("Index Cond")[2], plan
