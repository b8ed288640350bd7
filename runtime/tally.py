"""Counting on the hot path: a request's half a dozen observations are additions to mapped numbers.

A child of prometheus_client takes a lock for each observation and keeps every bucket of a histogram
as a sample with a name of its own: thousands of routes then cost more than the requests do. Here a
counter is one row of :mod:`runtime.rows` and a histogram another; they are read when somebody asks
(:mod:`runtime.tallied`). Observe on one event loop only; native code adds to rows of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path

import msgspec
from prometheus_client import Gauge

from runtime.rows import SUFFIX, Rows

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0


class Family:
    """Rows of one metric by the values of its labels, which are texts."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...], size: int) -> None:
        self.name = name
        self.documentation = documentation
        self.labels = labels
        self._size = size
        self._places: dict[tuple[str, ...], int] = {}
        self._numbers = _NOTHING
        families[name] = self

    def address(self, *values: str) -> int:
        """Where in memory a new row is that only native code adds to."""
        return own_rows().address(self._new(values))

    def _place(self, values: tuple[str, ...]) -> int:
        place = self._places.get(values)
        if place is None:
            place = self._places[values] = self._new(values)
        return place

    def _new(self, values: tuple[str, ...]) -> int:
        rows = own_rows()
        self._numbers = rows.numbers
        lost = rows.lost
        place = rows.new(msgspec.json.encode((self.name, *values)), self._size)
        if rows.lost > lost:
            for tell in _losses:
                tell()
        return place


class CountTally(Family):
    """A counter: rows of one number."""

    def __init__(self, name: str, documentation: str, labels: tuple[str, ...]) -> None:
        super().__init__(name, documentation, labels, 1)

    def inc(self, *values: str) -> None:
        """One more."""
        place = self._place(values)
        self._numbers[place] += 1.0


class SpreadTally(Family):
    """A histogram with the upper *bounds* (without infinity): in a row a count for each bucket, for
    what is above them all, and the sum.
    """

    def __init__(
        self, name: str, documentation: str, labels: tuple[str, ...], bounds: tuple[float, ...]
    ) -> None:
        super().__init__(name, documentation, labels, len(bounds) + 2)
        self.bounds = bounds

    def observe(self, amount: float, *values: str) -> None:
        """One observation."""
        place = self._place(values)
        numbers = self._numbers
        numbers[place + bisect_left(self.bounds, amount)] += 1.0
        numbers[place + len(self.bounds) + 1] += amount


class LevelTally:
    """Counts up and down for a gauge."""

    def __init__(self, child: Gauge) -> None:
        self._child = child
        self.level = 0
        self._told = 0
        _levels.append(self)

    def hand_over(self) -> None:
        """Tell the gauge the level."""
        if self.level != self._told:
            self._told = self.level
            self._child.set(self.level)


_NOTHING = memoryview(bytes(8)).cast("d")
families: dict[str, Family] = {}
"""By name."""
_levels: list[LevelTally] = []
_sources: list[Callable[[], None]] = []
_losses: list[Callable[[], None]] = []
_made: list[Rows] = []


def own_rows() -> Rows:
    """Those of this process, made when they are first asked for."""
    if not _made:
        directory = shared_directory()
        file = directory / f"{os.getpid()}{SUFFIX}" if directory is not None else None
        try:
            _made.append(Rows(file))
        except OSError:
            logger.exception("what this process counts is not among the metrics")
            _made.append(Rows())
    return _made[0]


def shared_directory() -> Path | None:
    """Where the processes of one gateway keep their metrics; ``None`` where there is only one."""
    name = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(name) if name else None


def tell_losses_to(told: Callable[[], None]) -> None:
    """Have *told* called for each row there is no room for: what belongs into it is not counted."""
    _losses.append(told)


def add_source(source: Callable[[], None]) -> None:
    """Have *source* bring what it has counted whenever metrics are told."""
    _sources.append(source)


def remove_source(source: Callable[[], None]) -> None:
    """Ask it no more."""
    _sources.remove(source)


def flush() -> None:
    """Tell gauges their levels, and what native code has counted."""
    for source in _sources:
        source()
    for level in _levels:
        level.hand_over()


async def keep_flushing() -> None:
    """Do so every second, and once more when cancelled."""
    try:
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            flush()
    finally:
        flush()
