"""What callers used, counted in memory and written to the database in batches.

Counts are absolute for (caller, hour, route, run of this worker) and are written again whenever
they changed: writing one twice changes nothing, and a batch that failed is simply written later.
A request costs a dict look-up. A worker that is killed loses one interval of counts at most: what
came just after a write began waits for the next, half an interval later, and for its end.
Leans on ``runtime.database`` for the writing thread and ``runtime.tasks`` for the owned task.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from django.db import Error

from quotas import metrics
from quotas.bucket import Decision
from quotas.models import RateLimitRecord
from quotas.models.record import LONGEST_IDENTIFIER
from runtime.database import DatabaseThread
from runtime.outage import Outage
from runtime.tasks import repeat
from runtime.upsert import upsert_rows

logger = logging.getLogger(__name__)

WINDOW = "hour"
_WINDOW_SECONDS = 3600
_BATCH = 500
_PATIENCE = 2.0
"""Seconds a request waits for its batch at most, where it waits at all."""
_STOP_SECONDS = 10.0
EVERYBODY_ELSE = "other"
FIELDS = (
    "identifier", "window_type", "window_start", "route", "node",
    "allowed", "refused", "would_refuse", "first_at", "last_at",
)  # fmt: skip

_Row = tuple[Any, ...]
_Hour = dict[tuple[str, str], "_Count"]


class _Count:
    """Requests of one caller on one route in one hour; times in seconds since 1970."""

    __slots__ = (
        "allowed", "changed", "first", "identifier", "last", "refused", "route", "start",
        "would_refuse",
    )  # fmt: skip

    def __init__(self, identifier: str, route: str, start: datetime, now: float) -> None:
        self.identifier = identifier
        self.route = route
        self.start = start
        self.allowed = 0
        self.refused = 0
        self.would_refuse = 0
        self.first = now
        self.last = now
        self.changed = False
        """Whether it waits to be written."""


class Recorder:
    """The counts of one run of one worker, called *node* in the rows; no other run may share it.

    What was counted is in the database *interval* seconds later, if a write takes no more than half
    of that. Of an hour at most *max_windows* callers and routes are told apart; the requests of
    further ones are counted together. ``failures`` counts batches that the database did not take.
    *clock* is in seconds since 1970.
    """

    def __init__(
        self,
        node: str,
        database: DatabaseThread,
        *,
        interval: float = 5.0,
        max_windows: int = 100_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._node = node
        self._database = database
        self._interval = interval
        self._max_windows = max_windows
        self._clock = clock
        self._hours: dict[datetime, _Hour] = {}
        self._begin_hour(clock())
        self._changed: deque[_Count] = deque()
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._outage = Outage(
            logger,
            "limit records are not written, they are kept: %s",
            "limit records are written again",
        )
        self.failures = 0
        self.gather: Callable[[], None] | None = None
        """Called before anything is written, to note what was counted elsewhere."""

    @property
    def pending(self) -> int:
        """Windows that wait to be written as they are counted."""
        return len(self._changed)

    def note(self, identifier: str, route: str, decision: Decision | None, times: int = 1) -> None:
        """Count a request, or several; without a decision they passed unchecked."""
        now = self._now()
        if len(identifier) > LONGEST_IDENTIFIER:
            identifier = readable(identifier)
        count = self._counts.get((identifier, route))
        if count is None:
            count = self._new(identifier, route, now, times)
        if decision is None or decision.allowed:
            count.allowed += times
            if decision is not None and decision.would_refuse:
                count.would_refuse += times
        else:
            count.refused += times
        count.last = now
        self._mark(count)

    async def written(self) -> None:
        """Wait until what was counted so far is in the database, two seconds at most; not at all
        while the database fails.
        """
        if self._outage.lasts:
            return
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self._wake.set()
        await asyncio.wait([done], timeout=_PATIENCE)

    async def keep_writing(self) -> None:
        """Write until cancelled, then once more."""
        try:
            await repeat(self._interval / 2, self.write, wake=self._wake, steady=True)
        finally:
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self.write()
            except TimeoutError:
                logger.warning("%d limit records were not written in time", self.pending)

    async def write(self) -> None:
        """Write what changed, in batches; what the database does not take is kept."""
        waiting, self._waiting = self._waiting, []
        if self.gather is not None:
            self.gather()
        try:
            await self._write_changed()
        finally:
            for done in waiting:
                if not done.done():
                    done.set_result(None)

    async def _write_changed(self) -> None:
        left = len(self._changed)
        try:
            while left > 0:
                batch = [self._changed.popleft() for _ in range(min(left, _BATCH))]
                left -= len(batch)
                await self._write_batch(batch)
        except Error as error:
            self.failures += 1
            metrics.RECORD_FAILURES.inc()
            self._outage.note_failure(error)
        else:
            self._outage.note_success()
        await self._forget_past()

    async def _write_batch(self, batch: Sequence[_Count]) -> None:
        rows = [self._taken(count) for count in batch]
        try:
            await self._database.run(_write, rows)
        except BaseException:
            for count in batch:
                self._mark(count)
            raise

    def _mark(self, count: _Count) -> None:
        if not count.changed:
            count.changed = True
            self._changed.append(count)

    def _taken(self, count: _Count) -> _Row:
        count.changed = False
        return (
            count.identifier, WINDOW, count.start, count.route, self._node,
            count.allowed, count.refused, count.would_refuse, count.first, count.last,
        )  # fmt: skip

    def _now(self) -> float:
        """The time; ``_counts`` are those of its hour."""
        now = self._clock()
        # A clock that is set back a little finds no way back to an hour that may be forgotten: its
        # counts would begin anew, and be written over what is there.
        if not -_WINDOW_SECONDS <= now - self._began < _WINDOW_SECONDS:
            self._begin_hour(now)
        return now

    def _begin_hour(self, now: float) -> None:
        self._began = int(now) // _WINDOW_SECONDS * _WINDOW_SECONDS
        self._start = datetime.fromtimestamp(self._began, UTC)
        self._counts = self._hours.setdefault(self._start, {})

    def _new(self, identifier: str, route: str, now: float, times: int) -> _Count:
        if sum(map(len, self._hours.values())) >= self._max_windows:
            metrics.RECORDS_DROPPED.inc(times)
            # One for each route: as few as the configuration has.
            identifier = EVERYBODY_ELSE
        count = _Count(readable(identifier), route, self._start, now)
        return self._counts.setdefault((identifier, route), count)

    async def _forget_past(self) -> None:
        """What was written of hours that ended; a few windows at a time, as there are many."""
        self._now()
        for start in [one for one in self._hours if one != self._start]:
            counts, kept = self._hours.pop(start), {}
            while counts:
                for _ in range(min(len(counts), _BATCH)):
                    window, count = counts.popitem()
                    if count.changed:
                        kept[window] = count
                await asyncio.sleep(0)
            if kept:
                self._hours.setdefault(start, {}).update(kept)


def readable(identifier: str) -> str:
    """*identifier* as it is stored: bounded, printable, different for different ones.

    A long or unprintable one ends in a digest of the whole. A space at the end, which databases
    do not compare, counts as unprintable.
    """
    plain = identifier.isprintable() and not identifier.endswith(" ")
    if plain and len(identifier) <= LONGEST_IDENTIFIER:
        return identifier
    mark = blake2b(identifier.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    shown = "".join(char if char.isprintable() else "?" for char in identifier)
    return f"{shown[: LONGEST_IDENTIFIER - len(mark) - 1]}~{mark}"


def _write(rows: Sequence[_Row]) -> None:
    upsert_rows(
        RateLimitRecord,
        FIELDS,
        rows,
        unique=["identifier", "window_type", "window_start", "route", "node"],
        update=["allowed", "refused", "would_refuse", "last_at"],
    )
