"""Counting on the hot path: into plain numbers, handed to Prometheus once a second.

A prometheus_client child takes a lock and, with several processes, writes to a mapped file for
every observation; a request makes half a dozen. Here an observation is an addition, and
:func:`flush` hands over what has gathered. Lives on one event loop; leans on prometheus_client.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client import Counter, Gauge, Histogram


class _Gathers(Protocol):
    def hand_over(self) -> None: ...


_FLUSH_SECONDS = 1.0
_all: list[_Gathers] = []
_sources: list[Callable[[], None]] = []


class CountTally:
    """Counts for one child of a counter."""

    __slots__ = ("_child", "_count")

    def __init__(self, child: Counter) -> None:
        self._child = child
        self._count = 0
        _all.append(self)

    def inc(self, count: int = 1) -> None:
        """So many more."""
        self._count += count

    def hand_over(self) -> None:
        """Give the counter what has gathered."""
        count, self._count = self._count, 0
        if count:
            self._child.inc(count)


class LevelTally:
    """Counts up and down for a gauge."""

    __slots__ = ("_child", "_told", "level")

    def __init__(self, child: Gauge) -> None:
        self._child = child
        self.level = 0
        self._told = 0
        _all.append(self)

    def hand_over(self) -> None:
        """Tell the gauge the level."""
        if self.level != self._told:
            self._told = self.level
            self._child.set(self.level)


class SpreadTally:
    """Observes for one child of a histogram with the upper *bounds* (without infinity)."""

    __slots__ = ("_bounds", "_child", "_counts", "_sum")

    def __init__(self, child: Histogram, bounds: tuple[float, ...]) -> None:
        self._child = child
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        _all.append(self)

    def observe(self, amount: float) -> None:
        """One observation."""
        self._counts[bisect_left(self._bounds, amount)] += 1
        self._sum += amount

    def add(self, counts: Sequence[int], total: float) -> None:
        """Observations that were gathered elsewhere, by bucket, and their sum."""
        self._counts = [own + more for own, more in zip(self._counts, counts, strict=True)]
        self._sum += total

    def hand_over(self) -> None:
        """Give the histogram what has gathered: it has no public call for more than one."""
        if not any(self._counts):
            return
        counts, self._counts = self._counts, [0] * len(self._counts)
        total, self._sum = self._sum, 0.0
        self._child._sum.inc(total)
        for bucket, count in zip(self._child._buckets, counts, strict=True):
            if count:
                bucket.inc(count)


def add_source(source: Callable[[], None]) -> None:
    """Have *source* bring what it has counted before anything is handed over."""
    _sources.append(source)


def remove_source(source: Callable[[], None]) -> None:
    """Ask it no more."""
    _sources.remove(source)


def flush() -> None:
    """Hand over everything that has gathered in this process."""
    for source in _sources:
        source()
    for tally in _all:
        tally.hand_over()


async def keep_flushing() -> None:
    """Hand over every second, and once more when cancelled."""
    try:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            flush()
    finally:
        flush()
