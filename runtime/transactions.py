"""Transactions of processes that write at the same moment.

A database that finds two transactions waiting for each other ends one of them and asks for it
again. Whoever began it can do that: :func:`repeated` does. :func:`have_row` keeps the commonest
case from happening. Leans on Django's connections.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from django.db import OperationalError, connections, models, transaction

P = ParamSpec("P")
T = TypeVar("T")

_ATTEMPTS: Final = 6
_LONGEST_PAUSE: Final = 0.05
"""Seconds before the second attempt at most; twice as long before each that follows."""
_MYSQL_DEADLOCK: Final = 1213
_POSTGRESQL_ASKS_AGAIN: Final = ("40P01", "40001")


def repeated(work: Callable[P, T]) -> Callable[P, T]:
    """*work*, begun anew when the database ended its transaction for the sake of another one.

    Six attempts, with random pauses. Inside a transaction the error is passed on to whoever began
    that: what was written before is gone as well.
    """

    @wraps(work)
    def begun_anew(*args: P.args, **kwargs: P.kwargs) -> T:
        for attempt in range(_ATTEMPTS - 1):
            try:
                return work(*args, **kwargs)
            except OperationalError as error:
                if not asks_again(error) or transaction.get_connection().in_atomic_block:
                    raise
            time.sleep(random.uniform(0, _LONGEST_PAUSE * 2**attempt))
        return work(*args, **kwargs)

    return begun_anew


def asks_again(error: OperationalError) -> bool:
    """Whether the database ended a transaction that may succeed when it is begun anew."""
    state = getattr(error.__cause__, "sqlstate", None)
    return error.args[:1] == (_MYSQL_DEADLOCK,) or state in _POSTGRESQL_ASKS_AGAIN


def have_row(row: models.Model, using: str) -> None:
    """Insert *row* unless there is one of its primary key.

    Transactions that insert the same row on MySQL come out of it with a shared lock each, so that
    none of them can lock it for writing; what updates the row that it meets gets that lock at once.
    """
    connection = connections[using]
    if connection.vendor != "mysql":
        type(row)._base_manager.using(using).bulk_create([row], ignore_conflicts=True)
        return
    fields = row._meta.concrete_fields
    quoted = connection.ops.quote_name
    columns = [quoted(str(field.column)) for field in fields]
    key = quoted(str(row._meta.pk.column))
    words = [
        "INSERT INTO",
        quoted(row._meta.db_table),
        f"({', '.join(columns)})",
        f"VALUES ({', '.join(['%s'] * len(fields))})",
        f"ON DUPLICATE KEY UPDATE {key} = {key}",
    ]
    values = [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields]
    with connection.cursor() as cursor:
        cursor.execute(" ".join(words), values)
