"""How many requests an instance takes at once, found from how long it takes. Pure.

A gradient limit as in Netflix's concurrency-limits and Envoy's adaptive concurrency filter: while
answers take no more than ``tolerance`` times what they take of an idle instance, a little more is
tried; when they take longer, requests wait inside the instance, and fewer are sent. What an idle
instance takes is measured now and then with half the limit. What fails for overload (a timeout, a
503) cuts the limit at once.
"""

from __future__ import annotations

import math

LEAST = 4
"""An instance always takes so many: with fewer there is nothing to measure."""
_FIRST = 20
_WINDOW_SECONDS = 0.25
_WINDOW_SAMPLES = 10
_DROPPED_SHARE = 0.1
_CUT = 0.7
_STEEPEST = 0.5
_MEASURED_EVERY = 40
"""Windows between two measurements."""
_MEASURING = 2
"""Windows a measurement takes: what was under way before ends in the first one."""


class AdaptiveLimit:
    """The limit of one instance, between :data:`LEAST` and *most*."""

    __slots__ = (
        "_began",
        "_busiest",
        "_dropped",
        "_idle_seconds",
        "_samples",
        "_seconds",
        "_value",
        "_windows",
        "most",
        "tolerance",
    )

    def __init__(self, most: int, tolerance: float) -> None:
        self.most = most
        self.tolerance = tolerance
        self._value = float(min(most, _FIRST))
        self._idle_seconds = math.inf
        self._windows = _MEASURED_EVERY - _MEASURING
        """Since the last measurement."""
        self._began: float | None = None
        self._samples = 0
        self._dropped = 0
        self._seconds = 0.0
        self._busiest = 0

    @property
    def limit(self) -> int:
        """Requests at once."""
        value = self._value / 2 if self._measures else self._value
        return max(min(LEAST, self.most), int(value))

    def adjust(self, most: int, tolerance: float) -> None:
        """Go on under other bounds."""
        self.most, self.tolerance = most, tolerance
        self._value = min(self._value, float(most))

    def note(self, seconds: float, in_flight: int, dropped: bool, now: float) -> bool:
        """Take one answer that took *seconds* with *in_flight* requests at the instance, itself
        included; *dropped*: it failed for overload. Whether the limit is another one now.
        """
        if self._began is None:
            self._began = now
        self._samples += 1
        self._dropped += dropped
        self._seconds += seconds
        self._busiest = max(self._busiest, in_flight)
        if self._samples < _WINDOW_SAMPLES or now < self._began + _WINDOW_SECONDS:
            return False
        before = self.limit
        self._value = min(float(self.most), max(float(LEAST), self._next()))
        self._clear()
        self._began = now
        return self.limit != before

    @property
    def _measures(self) -> bool:
        return self._windows >= _MEASURED_EVERY - _MEASURING

    def _next(self) -> float:
        self._windows += 1
        if self._dropped > _DROPPED_SHARE * self._samples:
            return self._value * _CUT
        taken = max(1e-6, self._seconds / self._samples)
        if self._windows >= _MEASURED_EVERY:
            self._windows = 0
            self._idle_seconds = taken
        self._idle_seconds = min(self._idle_seconds, taken)
        if self._measures or not self._windows:
            return self._value
        gradient = self.tolerance * self._idle_seconds / taken
        if gradient < 1:
            return self._value * max(_STEEPEST, gradient) + 1
        # A limit that is not reached says nothing about a higher one.
        return self._value + (math.sqrt(self._value) if self._busiest >= self._value / 2 else 0)

    def _clear(self) -> None:
        self._samples = 0
        self._dropped = 0
        self._seconds = 0.0
        self._busiest = 0
