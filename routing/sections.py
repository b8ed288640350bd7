"""Parts of the configuration that apps above keep in rows of their own.

Routing publishes whole documents, yet rate limits are rows of ``quotas``, a floor above. An app
registers a :class:`RouteSection` for what belongs to a route and a :class:`GlobalSection` for what
belongs to all of them when it is ready; compiling reads them, ``apply`` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connections, models

from routing.models import Route

ModelT = TypeVar("ModelT", bound=models.Model)


@dataclass(frozen=True, slots=True)
class RouteSection:
    """One field of the document's routes.

    ``key`` is the field's name in ``RouteSpec``; it holds a tuple of specs.
    ``read(route_ids, using)`` gives the specs by route id, in order, unchecked, without the
    routes that have none; ``None`` asks for every route. ``write(route, specs)`` replaces what
    the rows hold; ``make(route, specs)`` gives the unsaved rows of a route that has none yet.
    """

    key: str
    read: Callable[[Collection[int] | None, str], Mapping[int, tuple[Any, ...]]]
    write: Callable[[Route, tuple[Any, ...]], None]
    make: Callable[[Route, tuple[Any, ...]], list[Any]]


@dataclass(frozen=True, slots=True)
class GlobalSection:
    """One field of the document beside services and routes.

    ``key`` is the field's name in ``Document``; it holds a tuple of specs. ``read(using)`` gives
    them in order, unchecked; ``write(specs, using)`` replaces what the rows hold.
    """

    key: str
    read: Callable[[str], tuple[Any, ...]]
    write: Callable[[tuple[Any, ...], str], None]


def store(row: models.Model, using: str) -> None:
    """Check and save a row that was laid out from a checked document."""
    check(row)
    row.save(using=using)


def store_new(rows: list[ModelT], using: str) -> None:
    """Insert checked rows of one model in as few statements as the database allows."""
    if not rows:
        return
    if connections[using].features.can_return_rows_from_bulk_insert:
        type(rows[0])._default_manager.using(using).bulk_create(rows)
        return
    for row in rows:  # MySQL does not tell the keys it gave to several rows
        row.save(using=using)


def check(row: models.Model) -> None:
    """Validate what a checked document says nothing about. Raises ValidationError."""
    # Names, ranges and relations were checked with the document; the database would be asked
    # five times a row to say the same.
    related = {field.name for field in row._meta.fields if field.is_relation}
    row.full_clean(exclude=related, validate_unique=False, validate_constraints=False)


_sections: dict[str, RouteSection] = {}
_global_sections: dict[str, GlobalSection] = {}


def register(section: RouteSection) -> None:
    """Make *section* part of every route."""
    _sections[section.key] = section


def register_global(section: GlobalSection) -> None:
    """Make *section* part of every document."""
    _global_sections[section.key] = section


def registered_global() -> tuple[GlobalSection, ...]:
    """Every section of whole documents, in the order of registration."""
    return tuple(_global_sections.values())


def registered() -> tuple[RouteSection, ...]:
    """Every section, in the order of registration."""
    return tuple(_sections.values())
