"""Questions to the history of limits: who used what, where, when, and what was refused.

The same for records and for their sums, which have the same columns. Leans on the ORM.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self, TypedDict, cast

from django.db.models import F, QuerySet, Sum

COUNTS = ("allowed", "refused", "would_refuse")


class Counts(TypedDict):
    """Sums of requests."""

    allowed: int
    refused: int
    would_refuse: int


class RecordQuerySet(QuerySet[Any]):
    """Records or sums of one window type."""

    def hours(self) -> Self:
        """Those of an hour."""
        return self.filter(window_type="hour")

    def days(self) -> Self:
        """Those of a day (UTC)."""
        return self.filter(window_type="day")

    def detailed(self) -> Self:
        """Sums by caller and route."""
        return self.exclude(identifier="").exclude(route="")

    def of_everybody(self) -> Self:
        """Sums by route alone."""
        return self.filter(identifier="")

    def on_all_routes(self) -> Self:
        """Sums by caller alone."""
        return self.filter(route="")

    def between(self, since: datetime, until: datetime) -> Self:
        """Windows that begin at *since* or later and before *until*."""
        return self.filter(window_start__gte=since, window_start__lt=until)

    def of(self, identifier: str) -> Self:
        """What one caller used; an empty *identifier* is no condition."""
        return self.filter(identifier=identifier) if identifier else self

    def on(self, route: str) -> Self:
        """What was used of one route; an empty *route* is no condition."""
        return self.filter(route=route) if route else self

    def totals(self) -> Counts:
        """Everything together."""
        found = self.aggregate(**{name: Sum(name, default=0) for name in COUNTS})
        return cast(Counts, found)

    def sums_by(self, *fields: str) -> QuerySet[Any, dict[str, Any]]:
        """The sums for each value of *fields*, as dicts."""
        sums: Any = {name: Sum(name) for name in COUNTS}
        rows: QuerySet[Any, dict[str, Any]] = self.order_by().values(*fields).annotate(**sums)
        return rows

    def over_time(self) -> QuerySet[Any, dict[str, Any]]:
        """The sums of each window, oldest first."""
        return self.sums_by("window_start").order_by("window_start")

    def by_route(self) -> QuerySet[Any, dict[str, Any]]:
        """The sums of each route, the most used first."""
        return self.sums_by("route").order_by("-allowed", "route")

    def by_identifier(self) -> QuerySet[Any, dict[str, Any]]:
        """The sums of each caller, the one with the most requests first."""
        return self.sums_by("identifier").order_by("-allowed", "identifier")

    def refusals(self) -> QuerySet[Any, dict[str, Any]]:
        """Callers and routes with refusals, real or only in shadow, the most refused first."""
        sums = self.exclude(refused=0, would_refuse=0).sums_by("identifier", "route")
        return sums.order_by((F("refused") + F("would_refuse")).desc(), "identifier", "route")
