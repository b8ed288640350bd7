"""Rate limits as a part of their routes' configuration (see :mod:`routing.sections`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

from django.db import DEFAULT_DB_ALIAS

from quotas.models import RateLimit
from routing import publishing, rows
from routing.document import LimitSpec
from routing.models import Route
from routing.sections import RouteSection, register, store


def connect() -> None:
    """Let limits be compiled, applied and published with routes."""
    register(RouteSection("rate_limit", read, write))
    publishing.watch(RateLimit)


def read(route_ids: Collection[int] | None, using: str) -> Mapping[int, tuple[LimitSpec, ...]]:
    """The limits of each route as its rows hold them, in the order they were written."""
    stored = RateLimit.objects.using(using).order_by("route_id", "id")
    if route_ids is not None:
        stored = stored.filter(route_id__in=route_ids)
    limits: defaultdict[int, list[LimitSpec]] = defaultdict(list)
    names = rows.LIMIT.paths
    for row in stored.values("route_id", *names):
        limits[row["route_id"]].append(LimitSpec(**{name: row[name] for name in names}))
    return {route_id: tuple(specs) for route_id, specs in limits.items()}


def write(route: Route, specs: tuple[LimitSpec, ...]) -> None:
    """Make the rows of *route* those of *specs*; rows that stay the same place are changed."""
    using = route._state.db or DEFAULT_DB_ALIAS
    kept = list(RateLimit.objects.using(using).filter(route=route).order_by("id"))
    for place, spec in enumerate(specs):
        row = kept[place] if place < len(kept) else RateLimit(route=route)
        if row.fill(spec) or row.pk is None:
            store(row, using)
    for row in kept[len(specs) :]:
        row.delete(using=using)
