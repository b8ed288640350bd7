"""Reports on usage, as plain values: the pages, the REST API and the CSV export show the same.

Periods begin at a midnight (UTC), so that sums of days are exact. Everything is read from the sums
(:mod:`quotas.rollups`), as old as the last summing, but one caller's hours, of which there are few.
Leans on :mod:`quotas.history`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from django.db.models import Q, QuerySet, Sum

from quotas.calendar import Window, period_start
from quotas.history import COUNTS, Counts, RecordQuerySet
from quotas.models import PlanMembership, RateLimitRecord, RateLimitRollup

PERIODS = {"today": 1, "7d": 7, "30d": 30, "90d": 90}
"""Days, today included."""
Grouping = Literal["time", "caller", "route", "refusals"]
GROUPINGS: tuple[Grouping, ...] = ("time", "caller", "route", "refusals")
NEAR_PERCENT = 80
_MOST_DAYS_BY_HOUR = 7
_TOP = 20
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Question:
    """Usage from *since* until *until*, of one caller or route if they are named."""

    since: datetime
    until: datetime
    identifier: str = ""
    route: str = ""

    @property
    def step(self) -> timedelta:
        """The width of one point over time."""
        by_hour = self.until - self.since <= _MOST_DAYS_BY_HOUR * _DAY
        return timedelta(hours=1) if by_hour else _DAY


@dataclass(frozen=True, slots=True)
class Report:
    """The answers; every row is a dict of the sums and what they are of."""

    question: Question
    totals: Counts
    over_time: tuple[dict[str, Any], ...]
    callers: tuple[dict[str, Any], ...]
    routes: tuple[dict[str, Any], ...]
    refusals: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class QuotaUse:
    """How far a consumer has used a quota of its plan."""

    consumer: str
    plan: str
    window: Window
    used: int
    quota: int

    @property
    def percent(self) -> int:
        """Used of the quota, rounded down."""
        return self.used * 100 // self.quota


def ask(
    period: str, identifier: str = "", route: str = "", now: datetime | None = None
) -> Question:
    """The question for a period of :data:`PERIODS` that ends today. Raises ``KeyError``."""
    now = now or datetime.now(UTC)
    until = now.replace(hour=0, minute=0, second=0, microsecond=0) + _DAY
    return Question(until - PERIODS[period] * _DAY, until, identifier, route)


def report(question: Question) -> Report:
    """Everything about *question*; the longest lists are cut."""
    return Report(
        question,
        _by_route(question).totals(),
        tuple(over_time(question)),
        tuple(_by_caller(question).by_identifier()[:_TOP]),
        tuple(_by_route(question).by_route()[:_TOP]),
        tuple(_detailed(question).refusals()[:_TOP]),
    )


def rows(question: Question, grouping: Grouping) -> Iterable[dict[str, Any]]:
    """All rows of one of the lists of a report, for export."""
    if grouping == "time":
        return over_time(question)
    found: QuerySet[Any, dict[str, Any]] = {
        "caller": _by_caller(question).by_identifier,
        "route": _by_route(question).by_route,
        "refusals": _detailed(question).refusals,
    }[grouping]()
    return found.iterator(1000)


def over_time(question: Question) -> Iterator[dict[str, Any]]:
    """The sums of every step of the period, those without requests included."""
    if question.step == _DAY:
        found = _by_route(question).over_time()
    elif question.identifier:
        hours = RateLimitRecord.objects.hours().of(question.identifier).on(question.route)
        found = hours.between(question.since, question.until).over_time()
    else:
        sums = RateLimitRollup.objects.hours().of_everybody().on(question.route)
        found = sums.between(question.since, question.until).over_time()
    by_start = {row["window_start"]: row for row in found}
    start = question.since
    while start < question.until:
        yield by_start.get(start) or {"window_start": start, **dict.fromkeys(COUNTS, 0)}
        start += question.step


def quota_uses(now: datetime | None = None) -> list[QuotaUse]:
    """Every quota of every consumer in a plan, the most used first."""
    moment = int((now or datetime.now(UTC)).timestamp()) * 1_000_000
    day, month = (
        datetime.fromtimestamp(period_start(moment, window) / 1_000_000, UTC)
        for window in ("day", "month")
    )
    members = PlanMembership.objects.select_related("plan", "consumer")
    of_members = {f"consumer:{member.consumer.name}" for member in members}
    if not of_members:
        return []
    sums = RateLimitRollup.objects.days().on_all_routes().filter(window_start__gte=month)
    used = {
        row["identifier"]: row
        for row in sums.order_by()
        .values("identifier")
        .annotate(month=Sum("allowed"), day=Sum("allowed", filter=Q(window_start=day), default=0))
        if row["identifier"] in of_members
    }
    return sorted(_uses(members, used), key=lambda use: (-use.percent, use.consumer))


def near_limits(now: datetime | None = None) -> list[QuotaUse]:
    """The quotas that are used to 80 % or more."""
    return [use for use in quota_uses(now) if use.percent >= NEAR_PERCENT]


def _uses(members: Iterable[PlanMembership], used: dict[str, Any]) -> Iterator[QuotaUse]:
    windows: tuple[tuple[Window, str], ...] = (("day", "daily"), ("month", "monthly"))
    for member in members:
        row = used.get(f"consumer:{member.consumer.name}", {})
        for window, field in windows:
            quota = getattr(member.plan, field)
            if quota:
                use = row.get(window, 0)
                yield QuotaUse(member.consumer.name, member.plan.name, window, use, quota)


def _detailed(question: Question) -> RecordQuerySet:
    days = RateLimitRollup.objects.days().between(question.since, question.until).detailed()
    return days.of(question.identifier).on(question.route)


def _by_caller(question: Question) -> RecordQuerySet:
    """The smallest sums that know the caller."""
    if question.route:
        return _detailed(question)
    days = RateLimitRollup.objects.days().between(question.since, question.until)
    return days.on_all_routes().exclude(identifier="").of(question.identifier)


def _by_route(question: Question) -> RecordQuerySet:
    """The smallest sums that know the route."""
    if question.identifier:
        return _detailed(question)
    days = RateLimitRollup.objects.days().between(question.since, question.until)
    return days.of_everybody().on(question.route)
