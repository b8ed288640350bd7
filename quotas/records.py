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
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

from django.db import Error

from quotas import metrics
from quotas.bucket import Decision
from quotas.models import RateLimitRecord
from quotas.models.record import LONGEST_IDENTIFIER
from runtime.database import DatabaseThread
from runtime.outage import Outage
from runtime.tasks import repeat
from runtime.upsert import upsert

logger = logging.getLogger(__name__)

WINDOW = "hour"
_WINDOW_SECONDS = 3600
_BATCH = 500
_PATIENCE = 2.0
"""Seconds a request waits for its batch at most, where it waits at all."""
_STOP_SECONDS = 10.0
EVERYBODY_ELSE = "other"


class _Window(NamedTuple):
    identifier: str
    route: str
    start: int


class _Count:
    """Requests of one window; times in seconds since 1970."""

    __slots__ = ("allowed", "first", "last", "refused", "would_refuse")

    def __init__(self, now: float) -> None:
        self.allowed = 0
        self.refused = 0
        self.would_refuse = 0
        self.first = now
        self.last = now


class _Row(NamedTuple):
    window: _Window
    allowed: int
    refused: int
    would_refuse: int
    first: float
    last: float


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
        self._counts: dict[_Window, _Count] = {}
        self._changed: set[_Window] = set()
        self._waiting: list[asyncio.Future[None]] = []
        self._wake = asyncio.Event()
        self._outage = Outage(
            logger,
            "limit records are not written, they are kept: %s",
            "limit records are written again",
        )
        self.failures = 0

    @property
    def pending(self) -> int:
        """Windows that are not written as they are counted."""
        return len(self._changed)

    def note(self, identifier: str, route: str, decision: Decision | None, times: int = 1) -> None:
        """Count a request, or several; without a decision they passed unchecked."""
        now = self._clock()
        if len(identifier) > LONGEST_IDENTIFIER:
            identifier = readable(identifier)
        window = _Window(identifier, route, int(now) // _WINDOW_SECONDS * _WINDOW_SECONDS)
        count = self._counts.get(window)
        if count is None:
            window, count = self._new(window, now)
        if decision is None or decision.allowed:
            count.allowed += times
            if decision is not None and decision.would_refuse:
                count.would_refuse += times
        else:
            count.refused += times
        count.last = now
        self._changed.add(window)

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
        try:
            await self._write_changed()
        finally:
            for done in waiting:
                if not done.done():
                    done.set_result(None)

    async def _write_changed(self) -> None:
        changed, self._changed = self._changed, set()
        windows = list(changed)
        try:
            while windows:
                batch = windows[-_BATCH:]
                rows = [self._row(window) for window in batch]
                await self._database.run(_write, self._node, rows)
                del windows[-_BATCH:]
        except Error as error:
            self.failures += 1
            metrics.RECORD_FAILURES.inc()
            self._outage.note_failure(error)
        else:
            self._outage.note_success()
        finally:
            self._changed.update(windows)
        self._forget_past()

    def _row(self, window: _Window) -> _Row:
        count = self._counts[window]
        return _Row(
            window, count.allowed, count.refused, count.would_refuse, count.first, count.last
        )

    def _new(self, window: _Window, now: float) -> tuple[_Window, _Count]:
        if len(self._counts) >= self._max_windows:
            metrics.RECORDS_DROPPED.inc()
            # One for each route: as few as the configuration has.
            window = window._replace(identifier=EVERYBODY_ELSE)
        return window, self._counts.setdefault(window, _Count(now))

    def _forget_past(self) -> None:
        """Windows that have ended and are written are not counted in any more."""
        current = int(self._clock()) // _WINDOW_SECONDS * _WINDOW_SECONDS
        past = [one for one in self._counts if one.start < current and one not in self._changed]
        for window in past:
            del self._counts[window]


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


def _write(node: str, rows: Iterable[_Row]) -> None:
    records = [
        RateLimitRecord(
            identifier=readable(row.window.identifier),
            window_type=WINDOW,
            window_start=_time(row.window.start),
            route=row.window.route,
            node=node,
            allowed=row.allowed,
            refused=row.refused,
            would_refuse=row.would_refuse,
            first_at=_time(row.first),
            last_at=_time(row.last),
        )
        for row in rows
    ]
    upsert(
        RateLimitRecord.objects.all(),
        records,
        unique=["identifier", "window_type", "window_start", "route", "node"],
        update=["allowed", "refused", "would_refuse", "last_at"],
        batch_size=_BATCH,
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
