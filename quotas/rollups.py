"""Sums of the records, made anew in the background so that pages never add up millions of rows.

Of hours by route; of days by caller and route, by caller, and by route. Of all workers one sums at
a time: whoever moves the due time of :class:`~quotas.models.RollupState` has the turn. Summing
again changes nothing. Leans on the ORM alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from django.db import Error, transaction
from django.db.models import QuerySet

from quotas.history import COUNTS
from quotas.models import RateLimitRecord, RateLimitRollup, RollupState
from runtime.database import DatabaseThread
from runtime.outage import Outage
from runtime.tasks import repeat
from runtime.upsert import upsert_rows

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
_PAUSE_SECONDS = 15.0
_SHARE = 20
"""The pause is at least this many times what summing took."""
_BATCH = 1000
_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_LATE = timedelta(hours=2)
"""How long after its hour a record is expected at the latest; later ones need ``sum_records``."""


async def keep_summing(database: DatabaseThread) -> None:
    """Sum what is new whenever it is due, until cancelled."""

    outage = Outage(logger, "usage cannot be summed now: %s")

    async def look() -> None:
        try:
            await database.run(sum_if_due)
        except Error as error:
            outage.note_failure(error)
        else:
            outage.note_success()

    await repeat(_LOOK_SECONDS, look)


def sum_if_due(now: datetime | None = None) -> bool:
    """Sum the last hours and days if it is time and nobody else does; whether it was done."""
    now = now or datetime.now(UTC)
    if not _take_turn(now):
        return False
    began = time.monotonic()
    sum_since(now - _LATE)
    pause = max(_PAUSE_SECONDS, _SHARE * (time.monotonic() - began))
    RollupState.objects.filter(pk=1).update(due_at=now + timedelta(seconds=pause))
    return True


def sum_since(since: datetime) -> int:
    """Sum every hour and day from the one *since* is in; returns the number of sums."""
    hour = since.replace(minute=0, second=0, microsecond=0)
    return _sum_hours(hour) + _sum_days(hour.replace(hour=0))


def _take_turn(now: datetime) -> bool:
    lease = now + timedelta(minutes=10)
    if RollupState.objects.filter(pk=1, due_at__lte=now).update(due_at=lease):
        return True
    if RollupState.objects.filter(pk=1).exists():
        return False
    with transaction.atomic():
        _, made = RollupState.objects.get_or_create(pk=1, defaults={"due_at": lease})
    return made


# Hour by hour and route by route: no statement may run into the database's time limit, however
# many rows there are.
def _sum_hours(since: datetime) -> int:
    number = 0
    for hour in _starts(since, _HOUR):
        rows = RateLimitRecord.objects.hours().filter(window_start=hour)
        number += _store(_sums("hour", hour, rows.sums_by("route")))
    return number


def _sum_days(since: datetime) -> int:
    number = 0
    for day in _starts(since, _DAY):
        seen = RateLimitRollup.objects.hours().between(day, day + _DAY).of_everybody()
        for route in seen.order_by().values_list("route", flat=True).distinct():
            rows = RateLimitRecord.objects.hours().between(day, day + _DAY).filter(route=route)
            number += _store(_sums("day", day, rows.sums_by("identifier", "route")))
        of_day = RateLimitRollup.objects.days().filter(window_start=day)
        number += _store(_sums("day", day, seen.sums_by("route")))
        number += _store(_sums("day", day, of_day.detailed().sums_by("identifier")))
    return number


def _starts(since: datetime, step: timedelta) -> Iterator[datetime]:
    """Every window from *since* that has records, and none before the first or after the last."""
    records = RateLimitRecord.objects.hours().filter(window_start__gte=since)
    # Each the first entry of an index; the smallest and largest of a filtered set would be a scan.
    first = records.order_by("window_start").values_list("window_start", flat=True).first()
    last = records.order_by("-window_start").values_list("window_start", flat=True).first()
    if first is None or last is None:
        return
    start = since + (first - since) // step * step
    while start <= last:
        yield start
        start += step


def _sums(
    window_type: str, start: datetime, sums: QuerySet[Any, dict[str, Any]]
) -> Iterator[tuple[Any, ...]]:
    for row in sums.iterator(_BATCH):
        counts = (row[name] for name in COUNTS)
        yield window_type, start, row.get("identifier", ""), row.get("route", ""), *counts


def _store(sums: Iterator[tuple[Any, ...]]) -> int:
    unique = ("window_type", "window_start", "identifier", "route")
    number = 0
    while batch := list(islice(sums, _BATCH)):
        upsert_rows(RateLimitRollup, unique + COUNTS, batch, unique=unique, update=COUNTS)
        number += len(batch)
    return number
