"""Advisory locks end with the transaction and waiting ends with an error; COPY wraps its errors and streams."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import DatabaseError, DataError, connection, connections, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from payops.core import copying, locks
from payops.core.errors import PayopsError


def in_thread(call: Callable[[], Any]) -> Any:
    try:
        return call()
    finally:
        connections.close_all()


def try_lock(key: str | int, *, shared: bool = False) -> str:
    def attempt() -> str:
        try:
            with transaction.atomic(), locks.lock_timeout(0.1):
                locks.xact_lock("test", key, shared=shared)
        except PayopsError as error:
            return error.code
        return "taken"

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: in_thread(attempt)).result(timeout=20)


@pytest.mark.django_db(transaction=True)
def test_a_lock_keeps_others_out_until_the_transaction_ends() -> None:
    with transaction.atomic():
        locks.xact_lock("test", 261120)
        assert try_lock(261120) == "locks.busy"
        assert try_lock(261121) == "taken"
    assert try_lock(261120) == "taken"


@pytest.mark.django_db(transaction=True)
def test_shared_locks_share_and_keep_an_exclusive_one_out() -> None:
    with transaction.atomic():
        locks.xact_lock("test", "day", shared=True)
        assert try_lock("day", shared=True) == "taken"
        assert try_lock("day") == "locks.busy"


@pytest.mark.django_db(transaction=True)
def test_sql_can_take_the_same_lock_by_its_codes() -> None:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, 261120)", [locks.namespace_code("test")])
        assert try_lock(261120) == "locks.busy"


@pytest.mark.django_db(transaction=True)
def test_locks_asked_for_in_opposite_orders_do_not_deadlock() -> None:
    barrier = threading.Barrier(2)

    def take(keys: list[int]) -> None:
        for _round in range(20):
            barrier.wait(timeout=20)
            with transaction.atomic():
                locks.xact_locks("test", keys)

    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(lambda k=keys: in_thread(lambda: take(k))) for keys in ([1, 2, 3], [3, 2, 1])]
        for task in tasks:
            task.result(timeout=30)


@pytest.mark.django_db(transaction=True)
def test_a_lock_outside_a_transaction_is_a_programming_error() -> None:
    with pytest.raises(TransactionManagementError):
        locks.xact_lock("test", 1)


def test_a_time_out_leaves_the_callers_transaction_and_its_setting_alone(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '7s'")
        with locks.lock_timeout(1):
            cursor.execute("SHOW lock_timeout")
            assert cursor.fetchone() == ("1s",)
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("7s",)
        with pytest.raises(ValueError, match="inside"), locks.lock_timeout(1):
            raise ValueError("inside")
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("7s",)


def test_codes_are_stable_and_fit_32_bits() -> None:
    assert locks.namespace_code("core.partitions") == locks.namespace_code("core.partitions")
    for key in ("", "a", "商户", 0, 261120, -5, 2**31, 10**18):
        assert -(2**31) <= locks.key_code(key) < 2**31
    assert locks.key_code(261120) == 261120


# --- COPY -------------------------------------------------------------------------------------------------------------


def everything(table: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT * FROM "{table}" ORDER BY 1')
        return cursor.fetchall()


def test_rows_are_copied_as_they_are(db: None) -> None:
    rows = [(1, "a\tb\\n"), (2, None), (3, "元\n")]
    with copying.temp_table("fresh", {"id": "bigint", "label": "text"}) as table:
        assert copying.copy_rows(table, ["id", "label"], iter(rows)) == 3
        assert everything(table) == rows


def test_text_chunks_may_end_anywhere_and_are_escaped_by_text_field(db: None) -> None:
    rows = [(1, "a\tb\\n"), (2, None), (3, "元\r\n")]
    text = "".join("\t".join(copying.text_field(value) for value in row) + "\n" for row in rows).encode()
    with copying.temp_table("fresh", {"id": "bigint", "label": "text"}) as table:
        assert copying.copy_text(table, ["id", "label"], (text[i : i + 3] for i in range(0, len(text), 3))) == 3
        assert everything(table) == rows


def test_errors_of_copy_are_djangos_errors_and_nothing_is_half_loaded(db: None) -> None:
    with copying.temp_table("fresh", {"id": "bigint"}) as table:
        with pytest.raises(DatabaseError), transaction.atomic():
            copying.copy_rows(table, ["id"], [(1,), ("one",)])
        assert everything(table) == []


def test_an_error_of_the_source_stops_the_copy(db: None) -> None:
    def source() -> Any:
        yield (1,)
        raise PayopsError("file.bad", "line 2 is damaged")

    with copying.temp_table("fresh", {"id": "bigint"}) as table:
        with pytest.raises(PayopsError), transaction.atomic():
            copying.copy_rows(table, ["id"], source())
        assert everything(table) == []


def lines_of(count: int) -> list[bytes]:
    """More than what may wait for the sending thread, in chunks of a few pieces each."""
    return [b"%d\t%s\n" % (number, b"x" * 300_000) for number in range(count)]


def test_chunks_are_sent_behind_where_queries_are_noted_too(db: None) -> None:
    with CaptureQueriesContext(connection), copying.temp_table("fresh", {"id": "bigint", "label": "text"}) as table:
        assert copying.copy_text(table, ["id", "label"], lines_of(3), behind=True) == 3


def test_chunks_sent_behind_the_callers_back_arrive_whole_and_in_order(db: None) -> None:
    with copying.temp_table("fresh", {"id": "bigint", "label": "text"}) as table:
        assert copying.copy_text(table, ["id", "label"], lines_of(30), behind=True) == 30
        assert [(number, len(label)) for number, label in everything(table)] == [(n, 300_000) for n in range(30)]


def test_what_the_server_refuses_of_chunks_sent_behind_is_djangos_error_and_nothing_is_loaded(db: None) -> None:
    with copying.temp_table("fresh", {"id": "bigint", "label": "text"}) as table:
        for bad in ([b"one\tx\n"], [b"one\tx\n", *lines_of(60)], [*lines_of(60), b"one\tx\n"]):
            with pytest.raises(DataError), transaction.atomic():
                copying.copy_text(table, ["id", "label"], bad, behind=True)
            assert everything(table) == []


def test_an_error_of_the_source_stops_a_copy_sent_behind_and_leaves_the_connection_usable(db: None) -> None:
    def source() -> Any:
        yield from lines_of(10)
        raise PayopsError("file.bad", "line 11 is damaged")

    with copying.temp_table("fresh", {"id": "bigint", "label": "text"}) as table:
        with pytest.raises(PayopsError), transaction.atomic():
            copying.copy_text(table, ["id", "label"], source(), behind=True)
        assert everything(table) == []


def test_a_temporary_table_is_gone_after_its_block_and_can_be_made_again(db: None) -> None:
    for _round in range(2):
        with copying.temp_table("fresh", like="core_businessday") as table:
            assert everything(table) == []
    with pytest.raises(DatabaseError), transaction.atomic():
        everything("fresh")


@pytest.mark.django_db(transaction=True)
def test_a_temporary_table_needs_a_transaction() -> None:
    with pytest.raises(TransactionManagementError):
        copying.temp_table("fresh", {"id": "bigint"}).__enter__()


def test_a_temporary_table_is_described_in_one_way(db: None) -> None:
    with pytest.raises(ValueError, match="either"):
        copying.temp_table("fresh").__enter__()
