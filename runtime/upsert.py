"""Rows that are written whether or not they are there already.

Counts of many callers are written all the time, beside a busy event loop: a row costs what its
values cost. A batch is one statement in Django's own words for the database, without an object for
each row, and what is equal in many rows is prepared once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from itertools import chain
from typing import Any, TypeVar

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, Field, Model, QuerySet
from django.db.models.constants import OnConflict

M = TypeVar("M", bound=Model)

_SECONDS = 4096
"""So many are remembered as text: those of an hour."""


def upsert(
    objects: QuerySet[M], rows: Iterable[M], *, unique: Sequence[str], update: Sequence[str]
) -> None:
    """Write *rows*; one that is there already, by its fields *unique*, gets the fields *update*."""
    fields = [field for field in objects.model._meta.concrete_fields if not field.primary_key]
    values = [tuple(field.pre_save(row, add=True) for field in fields) for row in rows]
    names = [field.name for field in fields]
    upsert_rows(objects.model, names, values, unique=unique, update=update)


def upsert_rows(
    model: type[Model],
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    unique: Sequence[str],
    update: Sequence[str],
) -> None:
    """Write *rows*, all or none: values of the fields *names*, a time also as seconds since 1970.

    One that is there already, by its fields *unique*, gets the fields *update*.
    """
    if not rows:
        return
    using = router.db_for_write(model)
    connection = connections[using]
    operations, quoted = connection.ops, connection.ops.quote_name
    fields = [_field(model, name) for name in names]
    begin = [
        operations.insert_statement(on_conflict=OnConflict.UPDATE),
        quoted(model._meta.db_table),
        f"({', '.join(quoted(_column(model, name)) for name in names)})",
    ]
    end = operations.on_conflict_suffix_sql(
        fields,
        OnConflict.UPDATE,
        [_column(model, name) for name in update],
        [_column(model, name) for name in unique],
    )
    # SQLite takes so many values in a statement and no more.
    size = max(operations.bulk_batch_size(fields, rows), 1)
    with transaction.atomic(using, savepoint=False), connection.cursor() as cursor:
        for first in range(0, len(rows), size):
            by_field = zip(fields, zip(*rows[first : first + size], strict=True), strict=True)
            columns = [_prepared(field, values, connection) for field, values in by_field]
            source, parameters = _source(fields, columns, connection)
            cursor.execute(" ".join([*begin, *source, end]), parameters)


def _field(model: type[Model], name: str) -> Field[Any, Any]:
    found: Any = model._meta.get_field(name)
    field: Field[Any, Any] = found
    return field


def _column(model: type[Model], name: str) -> str:
    return str(_field(model, name).column)


def _source(
    fields: Sequence[Field[Any, Any]], columns: list[list[Any]], connection: BaseDatabaseWrapper
) -> tuple[list[str], list[Any]]:
    """The words for the rows, and their parameters."""
    if connection.vendor == "postgresql":
        # An array for each field, as Django does: thousands of parameters take long to plan. With
        # its length in the type, a text that is too long would be cut, not refused.
        types = [str(field.db_type(connection)).partition("(")[0] for field in fields]
        return [
            "SELECT * FROM",
            f"UNNEST({', '.join(f'(%s)::{name}[]' for name in types)})",
        ], columns
    row = f"({', '.join(['%s'] * len(columns))})"
    parameters = list(chain.from_iterable(zip(*columns, strict=True)))
    return ["VALUES", ", ".join([row] * len(columns[0]))], parameters


def _prepared(
    field: Field[Any, Any], values: Sequence[Any], connection: BaseDatabaseWrapper
) -> list[Any]:
    if isinstance(field, DateTimeField) and isinstance(values[0], float):
        return _times(values, connection)
    known = {value: field.get_db_prep_save(value, connection) for value in set(values)}
    return [known[value] for value in values]


def _times(moments: Sequence[float], connection: BaseDatabaseWrapper) -> list[Any]:
    if connection.features.supports_timezones:
        return [datetime.fromtimestamp(moment, UTC) for moment in moments]
    zone = connection.timezone
    parts = [divmod(round(moment * 1_000_000), 1_000_000) for moment in moments]
    return [
        f"{_second(second, zone)}.{rest:06d}" if rest else _second(second, zone)
        for second, rest in parts
    ]


@lru_cache(_SECONDS)
def _second(second: int, zone: tzinfo) -> str:
    """As Django writes it for a database without time zones, which takes it as long as the rest of
    a row.
    """
    return str(datetime.fromtimestamp(second, zone).replace(tzinfo=None))
