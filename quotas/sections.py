"""Rate limits as a part of the configuration (see :mod:`routing.sections`).

Limits of routes and limits over all routes are in the document. Those of consumers are not, as
consumers are not: workers read them with the consumer's keys (:mod:`quotas.policies`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from quotas.models import RateLimit
from routing import publishing, rows
from routing.document import LimitSpec
from routing.models import Route
from routing.sections import GlobalSection, RouteSection, register, register_global, store


def connect() -> None:
    """Let limits be compiled, applied and published with routes."""
    register(RouteSection("rate_limit", read, write, make))
    register_global(GlobalSection("limits", read_global, write_global))
    publishing.watch(RateLimit)


def read(route_ids: Collection[int] | None, using: str) -> Mapping[int, tuple[LimitSpec, ...]]:
    """The limits of each route as its rows hold them, in the order they were written."""
    stored = RateLimit.objects.using(using).filter(route__isnull=False)
    if route_ids is not None:
        stored = stored.filter(route_id__in=route_ids)
    return specs_by(stored, "route_id")


def read_global(using: str) -> tuple[LimitSpec, ...]:
    """The limits over all routes, in the order they were written."""
    return specs_by(_global(using), "route_id").get(None, ())


def specs_by(stored: QuerySet[RateLimit], owner: str) -> Mapping[Any, tuple[LimitSpec, ...]]:
    """The specs of *stored* rows by their field *owner*, unchecked, each in the order written."""
    limits: defaultdict[Any, list[LimitSpec]] = defaultdict(list)
    names = rows.LIMIT.paths
    for row in stored.order_by(owner, "id").values(owner, *names):
        limits[row[owner]].append(LimitSpec(**{name: row[name] for name in names}))
    return {owned_by: tuple(specs) for owned_by, specs in limits.items()}


def write(route: Route, specs: tuple[LimitSpec, ...]) -> None:
    """Make the rows of *route* those of *specs*; rows that stay the same place are changed."""
    using = route._state.db or DEFAULT_DB_ALIAS
    kept = list(RateLimit.objects.using(using).filter(route=route).order_by("id"))
    _lay(kept, specs, using, route)


def make(route: Route, specs: tuple[LimitSpec, ...]) -> list[RateLimit]:
    """Rows of *specs*, not saved, for a route that has none."""
    made = [RateLimit(route=route) for _ in specs]
    for row, spec in zip(made, specs, strict=True):
        row.fill(spec)
    return made


def write_global(specs: tuple[LimitSpec, ...], using: str) -> None:
    """Make the rows of limits over all routes those of *specs*."""
    _lay(list(_global(using).order_by("id")), specs, using, None)


def _global(using: str) -> QuerySet[RateLimit]:
    return RateLimit.objects.using(using).filter(route__isnull=True, consumer__isnull=True)


def _lay(
    kept: list[RateLimit], specs: tuple[LimitSpec, ...], using: str, route: Route | None
) -> None:
    for place, spec in enumerate(specs):
        row = kept[place] if place < len(kept) else RateLimit(route=route)
        if row.fill(spec) or row.pk is None:
            store(row, using)
    for row in kept[len(specs) :]:
        row.delete(using=using)
