"""Bringing reference rows to a wanted state in bulk: create what is missing, change what differs, leave the rest alone.

Meant for reference data of up to some thousand rows (set-up files, imports). History rows are written as a save of
each row would have written them; a row that is already as wanted causes no write at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction
from simple_history.utils import bulk_create_with_history, bulk_update_with_history

BATCH_SIZE = 1000

Key = tuple[Any, ...]


@dataclass(slots=True)
class Upserted:
    """What became of the rows, by the label of each; `rows` holds all of them by key, as they are now."""

    created: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)
    unchanged: list[str] = field(default_factory=list)
    rows: dict[Key, Any] = field(default_factory=dict)

    def absorb(self, other: Upserted) -> None:
        """Add the outcome of another call on the same kind of rows."""
        self.created += other.created
        self.changed.update(other.changed)
        self.unchanged += other.unchanged
        self.rows.update(other.rows)


def changed_fields(row: models.Model, wanted: Mapping[str, Any]) -> list[str]:
    """Names of the fields of `row` that differ from `wanted`, in the order of `wanted`."""
    return [name for name, value in wanted.items() if getattr(row, name) != value]


def upsert_rows(
    model: type[models.Model],
    wanted: Mapping[Key, Mapping[str, Any]],
    *,
    key: Sequence[str],
    reason: str = "",
    label: Callable[[Any], str] = str,
    before_change: Callable[[Any, list[str], Mapping[str, Any]], None] | None = None,
) -> Upserted:
    """Bring the rows of `model` with the keys of `wanted` to the given field values.

    `key` names the fields (attribute names such as "package_id" for foreign keys) whose values are the mapping's keys;
    together they must be unique. `before_change(row, changed fields, wanted values)` may refuse a change by raising.
    Takes four statements whatever the number of rows (in batches of 1,000), in one transaction.
    """
    outcome = Upserted()
    if not wanted:
        return outcome
    with transaction.atomic():
        present = _present(model, wanted, key)
        to_create: list[models.Model] = []
        to_update: list[models.Model] = []
        touched: dict[str, None] = {}
        for row_key, values in wanted.items():
            row = present.get(row_key)
            if row is None:
                row = model(**dict(zip(key, row_key, strict=True)), **values)
                to_create.append(row)
                outcome.created.append(label(row))
            elif differing := changed_fields(row, values):
                if before_change is not None:
                    before_change(row, differing, values)
                for name in differing:
                    setattr(row, name, values[name])
                touched.update(dict.fromkeys(differing))
                to_update.append(row)
                outcome.changed[label(row)] = differing
            else:
                outcome.unchanged.append(label(row))
            outcome.rows[row_key] = row
        create_rows(model, to_create, reason=reason)
        update_rows(model, to_update, list(touched), reason=reason)
    return outcome


def _present(model: type[models.Model], wanted: Mapping[Key, Any], key: Sequence[str]) -> dict[Key, Any]:
    first_values = {row_key[0] for row_key in wanted}
    rows = model._base_manager.filter(**{f"{key[0]}__in": first_values}).select_for_update().order_by("pk")
    found = {tuple(getattr(row, name) for name in key): row for row in rows}
    return {row_key: row for row_key, row in found.items() if row_key in wanted}


def create_rows(model: type[models.Model], rows: Sequence[models.Model], *, reason: str = "") -> None:
    """Insert rows with their history."""
    if not rows:
        return
    if hasattr(model, "history"):
        bulk_create_with_history(rows, model, batch_size=BATCH_SIZE, default_change_reason=reason or None)
    else:
        model._base_manager.bulk_create(rows, batch_size=BATCH_SIZE)


def update_rows(
    model: type[models.Model], rows: Sequence[models.Model], fields: Sequence[str], *, reason: str = ""
) -> None:
    """Write the named fields of rows with their history."""
    if not rows or not fields:
        return
    names = [model._meta.get_field(_field_name(model, name)).name for name in fields]
    if hasattr(model, "history"):
        bulk_update_with_history(rows, model, names, batch_size=BATCH_SIZE, default_change_reason=reason or None)
    else:
        model._base_manager.bulk_update(rows, names, batch_size=BATCH_SIZE)


def _field_name(model: type[models.Model], attribute: str) -> str:
    by_attribute = {found.attname: found.name for found in model._meta.concrete_fields}
    return by_attribute.get(attribute, attribute)
