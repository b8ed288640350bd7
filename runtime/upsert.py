"""Rows that are written whether or not they are there already."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TypeVar

from django.db import connections
from django.db.models import Model, QuerySet

M = TypeVar("M", bound=Model)


def upsert(
    objects: QuerySet[M],
    rows: Sequence[M],
    *,
    unique: Collection[str],
    update: Collection[str],
    batch_size: int | None = None,
) -> None:
    """Write *rows*; one that is there already, by its fields *unique*, gets the fields *update*."""
    # MySQL finds the conflict by itself and refuses to be told which unique key is meant.
    names = connections[objects.db].features.supports_update_conflicts_with_target
    objects.bulk_create(
        rows,
        batch_size=batch_size,
        update_conflicts=True,
        unique_fields=unique if names else None,
        update_fields=update,
    )
