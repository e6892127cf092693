"""Tables partitioned by the day their ids carry.

One partition per day, made ahead by `ensure_day`. A partition is made on the side (LIKE), given its statement triggers
and only then attached: ATTACH takes a lock that never meets readers or writers, while CREATE … PARTITION OF waits for
every open writer and blocks new ones. There is no DEFAULT partition: a row of an unprepared day is an error at once.

Every query carries a bound on id, and the managers refuse otherwise: an unbounded query over two years of days locks
thousands of partitions and indexes and exhausts the server's shared lock table.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from django.apps import apps
from django.core import checks
from django.db import connections, migrations, models, transaction
from django.db.models.expressions import Col
from django.db.models.lookups import Lookup
from django.db.models.sql.where import AND, OR, NothingNode, WhereNode
from django.utils.translation import gettext as _

from payops.core.choices import ArchiveState
from payops.core.errors import PayopsError
from payops.core.ids import DAY_STEP, day_code, day_floor, id_range
from payops.core.locks import lock_timeout, xact_lock
from payops.core.sql import fill, quote_table

LOCK_NAMESPACE = "core.partitions"
LOCK_SECONDS = 2
ATTEMPTS = 5
IN_ARCHIVE = (ArchiveState.WRITTEN.value, ArchiveState.ARCHIVED.value)
SAMPLE = 20
"""Statistics target for a table loaded at once: 300 times as many rows are looked at."""


# --- migrations -------------------------------------------------------------------------------------------------------


class CreatePartitionedModel(migrations.CreateModel):
    """CreateModel for a DayPartitionedModel: the table is created PARTITION BY RANGE (id), without any partition.

    `makemigrations` writes a plain CreateModel; replace its name by hand. Later AddField and AddIndex go through the
    parent as usual.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Create the table with Django's own statement plus the partition clause."""
        original = schema_editor.sql_create_table
        schema_editor.sql_create_table = "CREATE TABLE %(table)s (%(definition)s) PARTITION BY RANGE (id)"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = original

    def reduce(self, operation: Any, app_label: str) -> bool:
        """Never merged with its neighbours: the merged operation would be a plain CreateModel."""
        return False


# --- models -----------------------------------------------------------------------------------------------------------


def _lookup_bounds(lookup: Lookup, alias: str | None) -> frozenset[str]:
    left = lookup.lhs
    if not isinstance(left, Col) or not left.target.primary_key or left.alias != alias:
        return frozenset()
    # Only plain values prune when the query is planned; a subquery or another column does not.
    if hasattr(lookup.rhs, "resolve_expression") or hasattr(lookup.rhs, "as_sql"):
        return frozenset()
    return {
        "exact": frozenset({"low", "high"}),
        "in": frozenset({"low", "high"}),
        "range": frozenset({"low", "high"}),
        "gt": frozenset({"low"}),
        "gte": frozenset({"low"}),
        "lt": frozenset({"high"}),
        "lte": frozenset({"high"}),
    }.get(lookup.lookup_name, frozenset())


def _where_bounds(node: Any, alias: str | None) -> frozenset[str]:
    """Which ends of the id a condition bounds: AND adds its parts up, OR keeps what all parts share, NOT keeps none."""
    if isinstance(node, NothingNode):
        return frozenset({"low", "high"})
    if isinstance(node, Lookup):
        return _lookup_bounds(node, alias)
    if not isinstance(node, WhereNode) or node.negated or not node.children:
        return frozenset()
    parts = [_where_bounds(child, alias) for child in node.children]
    if node.connector == AND:
        return frozenset().union(*parts)
    if node.connector == OR:
        return parts[0].intersection(*parts[1:])
    return frozenset()


class BoundedQuerySet(models.QuerySet):
    """A queryset that refuses to reach the database without a bound on id from below and from above.

    Bounds are id/pk exact, in, range, or gte (gt) together with lt (lte), with plain values.
    """

    def for_days(self, first_day: dt.date, last_day: dt.date | None = None) -> BoundedQuerySet:
        """Rows whose id carries a day from `first_day` to `last_day` (default: the same day), both included."""
        return self.in_range(*id_range(first_day, last_day or first_day))

    def in_range(self, lo: int, hi: int) -> BoundedQuerySet:
        """Rows with lo ≤ id < hi."""
        return self.filter(id__gte=lo, id__lt=hi)

    def _require_bound(self) -> None:
        query = self.query
        if query.is_empty():
            return
        for part in query.combined_queries or (query,):
            if _where_bounds(part.where, part.base_table or self.model._meta.db_table) != {"low", "high"}:
                raise PayopsError(
                    "ids.unbounded",
                    _("%(model)s is kept by day: give a day, a period or a number to look up.")
                    % {"model": self.model._meta.verbose_name},
                    {"model": self.model._meta.label},
                )

    def _fetch_all(self) -> None:
        if self._result_cache is None:
            self._require_bound()
        super()._fetch_all()

    def iterator(self, chunk_size: int | None = None) -> Iterator[Any]:
        """As Django's, with the bound checked."""
        self._require_bound()
        return super().iterator(chunk_size)

    def count(self) -> int:
        """As Django's, with the bound checked."""
        if self._result_cache is None:
            self._require_bound()
        return super().count()

    def exists(self) -> bool:
        """As Django's, with the bound checked."""
        if self._result_cache is None:
            self._require_bound()
        return super().exists()

    def aggregate(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """As Django's, with the bound checked."""
        self._require_bound()
        return super().aggregate(*args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        """As Django's, with the bound checked."""
        self._require_bound()
        return super().update(**kwargs)

    update.alters_data = True

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, with the bound checked."""
        self._require_bound()
        return super().delete()

    delete.alters_data = True
    delete.queryset_only = True

    def explain(self, *, format: str | None = None, **options: Any) -> str:
        """As Django's, with the bound checked: planning alone already locks every partition."""
        self._require_bound()
        return super().explain(format=format, **options)


class BoundedManager(models.Manager.from_queryset(BoundedQuerySet)):
    """Default manager of the partitioned models; `raw()` and cursors are outside its reach."""


class DayPartitionedModel(models.Model):
    """A row of a table that is partitioned by the day its id carries (see payops.core.ids).

    `partition_triggers` are CREATE TRIGGER statements with `{table}` in place of the table: statement triggers, which
    PostgreSQL does not clone, put on every partition before its first row. The app's migration puts the same ones on
    the parent (`trigger_statements`). `partition_span` is how much of the day's 10¹² ids the common partition takes;
    what lies above may live in partitions of its own (`own_partition`).
    """

    id = models.BigIntegerField(primary_key=True)

    objects = BoundedManager()

    partition_triggers: ClassVar[str | Sequence[str]] = ()
    partition_span: ClassVar[int] = DAY_STEP

    class Meta:
        abstract = True
        ordering = ["id"]
        base_manager_name = "objects"

    @classmethod
    def check(cls, **kwargs: Any) -> list[checks.CheckMessage]:
        """Refuse foreign keys the database would enforce: they turn every ATTACH into a lock on the other table."""
        outgoing = [field for field in cls._meta.local_fields if isinstance(field, models.ForeignKey)]
        incoming = [
            relation.field
            for relation in cls._meta.get_fields(include_hidden=True)
            if isinstance(relation, models.ManyToOneRel)
        ]
        return [
            *super().check(**kwargs),
            *(
                checks.Error(
                    f"{field.model.__name__}.{field.name} needs db_constraint=False.",
                    hint="A foreign key from or to a partitioned table locks the other table at every ATTACH.",
                    obj=field,
                    id="core.E001",
                )
                for field in outgoing + incoming
                if field.db_constraint
            ),
        ]


def partitioned_models() -> list[type[DayPartitionedModel]]:
    """Every concrete partitioned model of the installed apps, in the order of their labels."""
    found = [model for model in apps.get_models() if issubclass(model, DayPartitionedModel) and not model._meta.proxy]
    return sorted(found, key=lambda model: model._meta.label)


def trigger_statements(templates: str | Sequence[str], table: str) -> list[str]:
    """The templates filled in for one table; a single text may hold several statements."""
    return [fill(template, table) for template in ([templates] if isinstance(templates, str) else templates)]


# --- partitions by day ------------------------------------------------------------------------------------------------


def partition_name(model: type[DayPartitionedModel], day: dt.date) -> str:
    """The table that holds the day: accounts_entry_p261120."""
    return f"{model._meta.db_table}_p{day_code(day):06d}"


def ensure_day(
    day: dt.date, *, only: Iterable[type[DayPartitionedModel]] | None = None, using: str = "default"
) -> list[str]:
    """Make the day's partition of every partitioned table; returns the names of those made now.

    Idempotent and safe when many processes do it at once. Costs one look-up when all are there. Raises PayopsError
    'partitions.busy' when the tables stay locked (a migration is running, say).
    """
    return ensure_days(day, day, only=only, using=using)


def ensure_days(
    first_day: dt.date,
    last_day: dt.date,
    *,
    only: Iterable[type[DayPartitionedModel]] | None = None,
    using: str = "default",
) -> list[str]:
    """`ensure_day` for every day from `first_day` to `last_day`, both included."""
    id_range(first_day, last_day)
    wanted: dict[str, tuple[type[DayPartitionedModel], dt.date]] = {}
    for model in partitioned_models() if only is None else only:
        for offset in range((last_day - first_day).days + 1):
            day = first_day + dt.timedelta(days=offset)
            wanted[partition_name(model, day)] = (model, day)
    missing = _missing(list(wanted), using)
    ready = _partitioned_tables({wanted[name][0] for name in missing}, using)
    made = []
    for name in missing:
        model, day = wanted[name]
        if model not in ready:
            continue
        if _retry_when_busy(lambda n=name, m=model, d=day: _make_day_partition(n, m, d, using)):
            made.append(name)
    return made


# Read from pg_class, not by to_regclass: a look-up by name may be answered from the session's cache of names that were
# not there, which waiting for an advisory lock does not refresh.
_TABLES = (
    "SELECT relname, relkind::text, relispartition FROM pg_class"
    " WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(%s)"
)


def _tables(names: Iterable[str], using: str) -> dict[str, tuple[str, bool]]:
    with connections[using].cursor() as cursor:
        cursor.execute(_TABLES, [list(names)])
        return {name: (kind, is_partition) for name, kind, is_partition in cursor.fetchall()}


def _missing(names: list[str], using: str) -> list[str]:
    present = _tables(names, using)
    missing = [name for name in names if name not in present]
    # An archived day is not made anew: an empty partition would stand where its rows have to come back to.
    archived = _archived(missing, using) if missing else set()
    return [name for name in missing if name not in archived]


def _archived(names: list[str], using: str) -> set[str]:
    register = apps.get_model("core", "ArchivedPartition")
    if register._meta.db_table not in _tables([register._meta.db_table], using):
        return set()
    return set(
        register.objects.using(using).filter(name__in=names, state__in=IN_ARCHIVE).values_list("name", flat=True)
    )


def _partitioned_tables(wanted: set[type[DayPartitionedModel]], using: str) -> set[type[DayPartitionedModel]]:
    """Those whose table exists; one still to be migrated gets its days later, one made unpartitioned is a defect."""
    present = _tables((model._meta.db_table for model in wanted), using) if wanted else {}
    for table, (kind, _is_partition) in present.items():
        if kind != "p":
            raise PayopsError(
                "partitions.not_partitioned",
                _("Table %(table)s is not partitioned: its migration must use CreatePartitionedModel.")
                % {"table": table},
                {"table": table},
            )
    return {model for model in wanted if model._meta.db_table in present}


def _retry_when_busy(make: Any) -> Any:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return make()
        except PayopsError as error:
            if error.code != "locks.busy":
                raise
            if attempt == ATTEMPTS:
                raise PayopsError(
                    "partitions.busy",
                    _("The tables of the day are locked by other work. Try again when it has finished."),
                    {"retryable": True},
                ) from error
            time.sleep(0.05 * attempt)
    raise AssertionError("unreachable")


def _make_day_partition(name: str, model: type[DayPartitionedModel], day: dt.date, using: str) -> bool:
    parent = model._meta.db_table
    lo = day_floor(day)
    with lock_timeout(LOCK_SECONDS, using=using):
        # One maker per table at a time; who waited finds the partition made and leaves.
        xact_lock(LOCK_NAMESPACE, parent, using=using)
        if not _missing([name], using):
            return False
        with connections[using].cursor() as cursor:
            cursor.execute(f"CREATE TABLE {quote_table(name)} (LIKE {quote_table(parent)} INCLUDING ALL)")
            _create_triggers(cursor, model, name)
            _attach(cursor, parent, name, lo, lo + model.partition_span)
    return True


def _create_triggers(cursor: Any, model: type[DayPartitionedModel], name: str) -> None:
    for statement in trigger_statements(model.partition_triggers, name):
        cursor.execute(statement)


def _attach(cursor: Any, parent: str, name: str, lo: int, hi: int) -> None:
    cursor.execute(
        f"ALTER TABLE {quote_table(parent)} ATTACH PARTITION {quote_table(name)}"
        f" FOR VALUES FROM ({int(lo)}) TO ({int(hi)})"
    )


# --- partitions of one big load ---------------------------------------------------------------------------------------


def create_detached(model: type[DayPartitionedModel], name: str, lo: int, hi: int, *, using: str = "default") -> str:
    """A bare table beside the partitions, for one big COPY of ids in [lo, hi): no index, no trigger, other ids refused.

    A table of this name left behind by a killed load is dropped first; one that is already part of the parent is an
    error ('partitions.attached'). Indexes present while loading cost almost three times the time.
    """
    if not 0 <= lo < hi:
        raise ValueError("lo must be below hi")
    parent = model._meta.db_table
    with lock_timeout(LOCK_SECONDS, using=using):
        xact_lock(LOCK_NAMESPACE, name, using=using)
        _refuse_attached(name, using)
        with connections[using].cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {quote_table(name)}")
            cursor.execute(
                f"CREATE TABLE {quote_table(name)} (LIKE {quote_table(parent)} "
                "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED, "
                f"CONSTRAINT {quote_table(name + '_range')} CHECK (id >= {int(lo)} AND id < {int(hi)}))"
            )
    return name


def attach(model: type[DayPartitionedModel], name: str, lo: int, hi: int, *, using: str = "default") -> None:
    """Turn a loaded table into a partition: primary key, indexes, statistics, statement triggers, ATTACH.

    All of it before ATTACH, so that ATTACH neither scans nor builds and holds its lock for milliseconds. Without
    statistics whoever reads it first would plan for a few thousand rows; a small sample says how many there are.
    """
    parent = model._meta.db_table
    with transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            cursor.execute(f"ALTER TABLE {quote_table(name)} ADD PRIMARY KEY (id)")
            for unique, definition in _parent_indexes(cursor, parent):
                cursor.execute(f"CREATE {unique}INDEX ON {quote_table(name)} USING {definition}")
            cursor.execute(f"SET LOCAL default_statistics_target = {SAMPLE}")
            cursor.execute(f"ANALYZE {quote_table(name)}")
            cursor.execute("RESET default_statistics_target")
            _create_triggers(cursor, model, name)
        _retry_when_busy(lambda: _attach_now(parent, name, lo, hi, using))


def _attach_now(parent: str, name: str, lo: int, hi: int, using: str) -> None:
    with lock_timeout(LOCK_SECONDS, using=using), connections[using].cursor() as cursor:
        xact_lock(LOCK_NAMESPACE, parent, using=using)
        _attach(cursor, parent, name, lo, hi)


def _parent_indexes(cursor: Any, parent: str) -> list[tuple[str, str]]:
    cursor.execute(
        "SELECT indisunique, pg_get_indexdef(indexrelid) FROM pg_index"
        " WHERE indrelid = to_regclass(quote_ident(%s)) AND NOT indisprimary ORDER BY indexrelid",
        [parent],
    )
    return [
        ("UNIQUE " if unique else "", definition.split(" USING ", 1)[1]) for unique, definition in cursor.fetchall()
    ]


@contextmanager
def own_partition(
    model: type[DayPartitionedModel], lo: int, hi: int, *, name: str | None = None, using: str = "default"
) -> Iterator[str]:
    """A partition of its own for ids in [lo, hi): yields the bare table's name, attaches it when the block succeeds.

    After an error the table is dropped; after a crash the next load of the same range drops it.
    """
    table = create_detached(model, name or own_partition_name(model, lo), lo, hi, using=using)
    try:
        yield table
        attach(model, table, lo, hi, using=using)
    except BaseException:
        drop_detached(table, using=using)
        raise


def own_partition_name(model: type[DayPartitionedModel], lo: int) -> str:
    """accounts_billline_p261120_500000000000: the day and the offset of the range within it."""
    return f"{model._meta.db_table}_p{lo // DAY_STEP:06d}_{lo % DAY_STEP}"


def drop_detached(name: str, *, using: str = "default") -> None:
    """Remove a table that never became a partition; inside a transaction of the caller its rollback does that."""
    connection = connections[using]
    if connection.in_atomic_block:
        return
    with transaction.atomic(using=using):
        _refuse_attached(name, using)
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {quote_table(name)}")


def _refuse_attached(name: str, using: str) -> None:
    _kind, is_partition = _tables([name], using).get(name, ("", False))
    if is_partition:
        raise PayopsError(
            "partitions.attached",
            _("The rows of “%(name)s” are already part of the books and cannot be loaded again.") % {"name": name},
            {"name": name},
        )


def estimated_count(model: type[DayPartitionedModel], *, using: str = "default") -> int:
    """About how many rows all partitions hold, from the planner's statistics: milliseconds, never a scan."""
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint"
            " FROM pg_partition_tree(to_regclass(quote_ident(%s))) AS tree"
            " JOIN pg_class ON pg_class.oid = tree.relid WHERE tree.isleaf",
            [model._meta.db_table],
        )
        return cursor.fetchone()[0]
