"""Day partitions: made ahead, guarded like their parent, and never asked without a bound on id."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, IntegrityError, connection, connections, models, transaction
from django.db.models import Count, Q, Sum
from django.http import HttpRequest
from django.test import RequestFactory
from django.test.utils import isolate_apps

from payops.core import partitions
from payops.core.copying import copy_rows
from payops.core.errors import PayopsError
from payops.core.ids import day_floor, id_range
from payops.core.locks import xact_lock
from tests.core.daybook import DAY, NEXT_DAY, Daybook, create_table, drop_table, row

ONLY = [Daybook]


@pytest.fixture
def daybook(db: None) -> type[Daybook]:
    create_table()
    partitions.ensure_day(DAY, only=ONLY)
    return Daybook


@pytest.fixture
def committed_daybook(transactional_db: None) -> Iterator[type[Daybook]]:
    drop_table()
    create_table()
    yield Daybook
    drop_table()


def attached() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'test_daybook'::regclass ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()]


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(PayopsError) as caught:
        call()
    return caught.value.code


# --- making days ------------------------------------------------------------------------------------------------------


def test_a_day_is_made_once_and_asking_again_is_harmless(daybook: type[Daybook]) -> None:
    assert attached() == ["test_daybook_p261120"]
    assert partitions.ensure_day(DAY, only=ONLY) == []
    assert partitions.ensure_day(NEXT_DAY, only=ONLY) == ["test_daybook_p261121"]


def test_a_range_of_days_is_made_in_one_call(daybook: type[Daybook]) -> None:
    made = partitions.ensure_days(dt.date(2026, 11, 29), dt.date(2026, 12, 2), only=ONLY)
    assert made == [f"test_daybook_p{code}" for code in (261129, 261130, 261201, 261202)]


def test_a_row_of_a_day_that_is_not_made_is_an_error_at_once(daybook: type[Daybook]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        row(NEXT_DAY, 1).save(force_insert=True)


def test_rows_land_in_the_partition_of_their_day(daybook: type[Daybook]) -> None:
    partitions.ensure_day(NEXT_DAY, only=ONLY)
    daybook.objects.bulk_create([row(DAY, 1), row(DAY, 2), row(NEXT_DAY, 1)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, count(*) FROM test_daybook GROUP BY 1 ORDER BY 1")
        assert cursor.fetchall() == [("test_daybook_p261120", 2), ("test_daybook_p261121", 1)]


def test_a_partition_has_the_indexes_and_checks_of_its_parent(daybook: type[Daybook]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'test_daybook'::regclass")
        (expected,) = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'test_daybook_p261120'::regclass")
        assert cursor.fetchone() == (expected,)
    with pytest.raises(IntegrityError), transaction.atomic():
        row(DAY, 1, amount=-1001).save(force_insert=True)


def test_statement_guards_hold_on_the_parent_and_on_the_partition(daybook: type[Daybook]) -> None:
    for table in ("test_daybook", "test_daybook_p261120"):
        with pytest.raises(IntegrityError, match="unlucky"), transaction.atomic():
            copy_rows(table, ["id", "label", "amount"], [(day_floor(DAY) + 1, "x", 13)])


@pytest.mark.parametrize("table", ["test_daybook", "test_daybook_p261120"])
@pytest.mark.parametrize("attack", ["UPDATE {} SET amount = 0", "DELETE FROM {}", "TRUNCATE {}"])
def test_rows_are_never_changed_or_removed(daybook: type[Daybook], table: str, attack: str) -> None:
    row(DAY, 1, amount=5).save(force_insert=True)
    with pytest.raises(IntegrityError, match="never changed or removed"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(attack.format(table))


def test_saving_finding_and_listing_by_day_work_like_on_any_table(daybook: type[Daybook]) -> None:
    saved = daybook.objects.create(id=day_floor(DAY) + 7, label="seven", amount=7)
    saved.refresh_from_db()
    assert daybook.objects.get(pk=saved.pk) == saved
    assert daybook.objects.in_bulk([saved.pk]) == {saved.pk: saved}
    assert list(daybook.objects.for_days(DAY).filter(label="seven")) == [saved]
    assert daybook.objects.for_days(DAY, NEXT_DAY).aggregate(total=Sum("amount")) == {"total": 7}
    saved.full_clean()


def test_the_installed_partitioned_tables_are_all_known() -> None:
    found = partitions.partitioned_models()
    assert Daybook not in found
    assert all(issubclass(model, partitions.DayPartitionedModel) for model in found)
    assert {model._meta.label for model in found} == {
        model._meta.label for model in apps.get_models() if issubclass(model, partitions.DayPartitionedModel)
    }


def test_every_installed_partitioned_table_is_partitioned_by_id(db: None) -> None:
    for model in partitions.partitioned_models():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_get_partkeydef(to_regclass(%s))", [model._meta.db_table])
            assert cursor.fetchone() == ("RANGE (id)",), f"{model._meta.label}: use CreatePartitionedModel"


def test_a_table_made_without_partitions_is_named_in_the_error(daybook: type[Daybook]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE test_daybook RENAME TO test_daybook_aside")
        cursor.execute("CREATE TABLE test_daybook (id bigint PRIMARY KEY)")
    assert refused(lambda: partitions.ensure_day(NEXT_DAY, only=ONLY)) == "partitions.not_partitioned"


@isolate_apps("payops.core")
def test_an_enforced_foreign_key_is_refused_by_the_system_check() -> None:
    class Target(models.Model):
        class Meta:
            app_label = "core"

        def __str__(self) -> str:
            return "target"

    class Bad(partitions.DayPartitionedModel):
        target = models.ForeignKey(Target, on_delete=models.PROTECT)
        fine = models.ForeignKey(Target, on_delete=models.PROTECT, db_constraint=False, related_name="+")

        class Meta:
            app_label = "core"

    class Pointing(models.Model):
        line = models.ForeignKey(Bad, on_delete=models.PROTECT, related_name="+")

        class Meta:
            app_label = "core"

        def __str__(self) -> str:
            return "pointing"

    found = {message.obj.name for message in Bad.check() if message.id == "core.E001"}
    assert found == {"target", "line"}


def test_the_admin_shows_a_line_and_the_list_of_a_day(daybook: type[Daybook]) -> None:
    class DaybookAdmin(admin.ModelAdmin):
        list_display = ("id", "label")

        def get_queryset(self, request: HttpRequest) -> Any:
            return Daybook.objects.for_days(DAY)

    saved = daybook.objects.create(id=day_floor(DAY) + 7, label="seven")
    model_admin = DaybookAdmin(Daybook, admin.AdminSite())
    request = RequestFactory().get("/", {"o": "2"})
    request.user = AnonymousUser()
    assert model_admin.get_object(request, str(saved.pk)) == saved
    changes = ChangeList(
        request, Daybook, model_admin.list_display, None, (), None, (), (), 50, 200, (), model_admin, None, ""
    )
    changes.get_results(request)
    assert (list(changes.result_list), changes.full_result_count) == ([saved], 1)
    unbounded = admin.ModelAdmin(Daybook, admin.AdminSite())
    assert unbounded.get_object(request, str(saved.pk)) == saved


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unbounded",
    [
        lambda m: list(m.objects.all()),
        lambda m: m.objects.count(),
        lambda m: m.objects.exists(),
        lambda m: m.objects.first(),
        lambda m: m.objects.all()[:10][0],
        lambda m: m.objects.aggregate(Sum("amount")),
        lambda m: m.objects.update(amount=0),
        lambda m: m.objects.all().delete(),
        lambda m: list(m.objects.iterator()),
        lambda m: m.objects.filter(label="x").explain(),
        lambda m: list(m.objects.filter(id__gte=1)),
        lambda m: list(m.objects.filter(id__lt=1)),
        lambda m: list(m.objects.filter(~Q(id=1))),
        lambda m: list(m.objects.exclude(id__in=[1])),
        lambda m: list(m.objects.filter(Q(id=1) | Q(label="x"))),
        lambda m: list(m.objects.filter(id__in=m.objects.filter(label="x").values("id"))),
        lambda m: list(m.objects.filter(id=models.F("amount"))),
        lambda m: list(m.objects.filter(id__isnull=False)),
        lambda m: list(m.objects.filter(id=1).union(m.objects.filter(label="x"))),
        lambda m: list(m.objects.values("label").annotate(n=Count("id"))),
        lambda m: m.objects.get(label="x"),
        lambda m: m._base_manager.filter(label="x").count(),
    ],
)
def test_a_query_without_a_bound_on_id_is_refused(daybook: type[Daybook], unbounded: Callable[..., Any]) -> None:
    assert refused(lambda: unbounded(daybook)) == "ids.unbounded"


@pytest.mark.parametrize(
    "bounded",
    [
        lambda m: list(m.objects.filter(id=1)),
        lambda m: list(m.objects.filter(pk__in=[1, 2])),
        lambda m: list(m.objects.filter(id__in=[])),
        lambda m: list(m.objects.none()),
        lambda m: list(m.objects.filter(id__range=(1, 2))),
        lambda m: list(m.objects.filter(id__gte=1, id__lt=9)),
        lambda m: list(m.objects.filter(id__gt=1).filter(id__lte=9).order_by("-id")[:5]),
        lambda m: list(m.objects.filter(Q(id=1) | Q(id__in=[2, 3]), label="x")),
        lambda m: list(m.objects.for_days(DAY).exclude(label="x")),
        lambda m: list(m.objects.filter(id=1).union(m.objects.filter(id=2))),
        lambda m: m.objects.for_days(DAY).count(),
        lambda m: m.objects.for_days(DAY).exists(),
        lambda m: m.objects.for_days(DAY).first(),
        lambda m: list(m.objects.for_days(DAY).iterator()),
        lambda m: list(m.objects.for_days(DAY).values("label").annotate(n=Count("id"))),
        lambda m: m.objects.in_range(*id_range(DAY, DAY)).aggregate(Sum("amount")),
    ],
)
def test_a_query_with_a_bound_on_id_runs(daybook: type[Daybook], bounded: Callable[..., Any]) -> None:
    bounded(daybook)


def test_a_bounded_query_touches_only_its_days(daybook: type[Daybook]) -> None:
    partitions.ensure_days(dt.date(2026, 11, 10), dt.date(2026, 11, 19), only=ONLY)
    plan = daybook.objects.for_days(DAY).filter(label="x").explain()
    assert "p261120" in plan
    assert "p261119" not in plan


# --- partitions of their own ------------------------------------------------------------------------------------------

HALF = 5 * 10**11


class HalfDaybook(Daybook):
    """The same table seen by a model whose common partition takes half of the day."""

    partition_span = HALF

    class Meta:
        proxy = True
        apps = Daybook._meta.apps
        app_label = "core"


def own_range(day: dt.date = NEXT_DAY) -> tuple[int, int]:
    return day_floor(day) + HALF, day_floor(day) + HALF + 10**8


def test_a_big_load_gets_a_partition_of_its_own_with_every_guard(daybook: type[Daybook]) -> None:
    partitions.ensure_day(NEXT_DAY, only=[HalfDaybook])
    lo, hi = own_range()
    with partitions.own_partition(HalfDaybook, lo, hi) as table:
        assert copy_rows(table, ["id", "label", "amount"], ((lo + n, "big", n % 10) for n in range(1000))) == 1000
    assert table == f"test_daybook_p261121_{HALF}"
    assert table in attached()
    assert daybook.objects.in_range(lo, hi).count() == 1000
    for attack in (f"TRUNCATE {table}", f"DELETE FROM {table}", f"INSERT INTO {table} VALUES ({lo + 5000}, 'x', 13)"):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(attack)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = to_regclass(%s)", [table])
        (own,) = cursor.fetchone()
        cursor.execute("SELECT count(*) FROM pg_index WHERE indrelid = 'test_daybook'::regclass")
        assert cursor.fetchone() == (own,), "an index was built twice or not at all"


def test_a_row_outside_its_range_keeps_the_load_from_being_attached(daybook: type[Daybook]) -> None:
    lo, hi = own_range()
    with pytest.raises(IntegrityError), transaction.atomic(), partitions.own_partition(HalfDaybook, lo, hi) as table:
        copy_rows(table, ["id", "label", "amount"], [(hi, "x", 1)])
    assert attached() == ["test_daybook_p261120"]


@pytest.mark.django_db(transaction=True)
def test_a_failed_load_leaves_no_table_behind(committed_daybook: type[Daybook]) -> None:
    lo, hi = own_range()

    def load() -> None:
        with partitions.own_partition(Daybook, lo, hi, name="test_daybook_bad") as table:
            copy_rows(table, ["id", "label", "amount"], [(lo, "x", 1)])
            raise ValueError("bad line")

    with pytest.raises(ValueError, match="bad line"):
        load()
    assert attached() == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('test_daybook_bad')")
        assert cursor.fetchone() == (None,)


def test_what_a_killed_load_left_behind_is_replaced_by_the_next(daybook: type[Daybook]) -> None:
    lo, hi = own_range()
    name = partitions.create_detached(Daybook, "test_daybook_left", lo, hi)
    copy_rows(name, ["id", "label", "amount"], [(lo, "half", 1)])
    with partitions.own_partition(Daybook, lo, hi, name=name) as table:
        copy_rows(table, ["id", "label", "amount"], [(lo, "whole", 1)])
    assert daybook.objects.get(id=lo).label == "whole"


def test_a_load_that_is_part_of_the_books_is_not_loaded_again(daybook: type[Daybook]) -> None:
    lo, hi = own_range()
    with partitions.own_partition(Daybook, lo, hi):
        pass
    assert refused(lambda: partitions.own_partition(Daybook, lo, hi).__enter__()) == "partitions.attached"


def test_the_estimate_comes_from_statistics(daybook: type[Daybook]) -> None:
    daybook.objects.bulk_create([row(DAY, n) for n in range(500)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE test_daybook_p261120")
    assert partitions.estimated_count(Daybook) == 500


# --- many at once -----------------------------------------------------------------------------------------------------


def in_thread(call: Callable[[], Any]) -> Any:
    try:
        return call()
    finally:
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_many_processes_make_the_same_days_and_each_is_made_once(committed_daybook: type[Daybook]) -> None:
    def make() -> list[str]:
        return in_thread(lambda: partitions.ensure_days(DAY, DAY + dt.timedelta(days=4), only=ONLY))

    with ThreadPoolExecutor(8) as pool:
        results = [task.result() for task in [pool.submit(make) for _ in range(8)]]
    made = [name for result in results for name in result]
    assert sorted(made) == attached()
    assert len(made) == len(set(made)) == 5


@pytest.mark.django_db(transaction=True)
def test_making_a_day_neither_waits_for_open_writers_nor_stops_them(committed_daybook: type[Daybook]) -> None:
    partitions.ensure_day(DAY, only=ONLY)
    with transaction.atomic():
        row(DAY, 1).save(force_insert=True)
        with ThreadPoolExecutor(1) as pool:
            made = pool.submit(lambda: in_thread(lambda: partitions.ensure_day(NEXT_DAY, only=ONLY)))
            assert made.result(timeout=10) == ["test_daybook_p261121"]
        row(NEXT_DAY, 1).save(force_insert=True)
    assert Daybook.objects.for_days(DAY, NEXT_DAY).count() == 2


@pytest.mark.django_db(transaction=True)
def test_writers_go_on_while_a_day_is_being_made(committed_daybook: type[Daybook]) -> None:
    partitions.ensure_day(DAY, only=ONLY)
    with transaction.atomic():
        partitions.ensure_day(NEXT_DAY, only=ONLY)  # not committed: its locks are held
        with ThreadPoolExecutor(1) as pool:
            write = pool.submit(lambda: in_thread(lambda: row(DAY, 2).save(force_insert=True)))
            write.result(timeout=10)
    assert Daybook.objects.for_days(DAY).count() == 1


@pytest.mark.django_db(transaction=True)
def test_tables_that_stay_locked_are_an_error_worth_a_retry(
    committed_daybook: type[Daybook], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "LOCK_SECONDS", 0.05)
    with transaction.atomic():
        xact_lock(partitions.LOCK_NAMESPACE, "test_daybook")
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(lambda: in_thread(lambda: partitions.ensure_day(DAY, only=ONLY)))
            with pytest.raises(PayopsError) as caught:
                call.result(timeout=20)
    assert caught.value.code == "partitions.busy"
    assert caught.value.context["retryable"] is True
    assert partitions.ensure_day(DAY, only=ONLY) == ["test_daybook_p261120"]


def test_a_failed_statement_inside_does_not_spoil_the_callers_transaction(daybook: type[Daybook]) -> None:
    with pytest.raises(DatabaseError), partitions.own_partition(Daybook, *own_range()) as table, transaction.atomic():
        copy_rows(table, ["id"], [("no number",)])
    assert daybook.objects.for_days(DAY).count() == 0
