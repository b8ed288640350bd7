"""Two counts over the last seconds, in constant time and space. Pure: the time is handed in.

A ring of a few slots: what is older than the window falls out slot by slot, so the window is exact
to a tenth. Breakers count requests and failures with it, retry budgets requests and retries.
"""

from __future__ import annotations

_SLOTS = 10


class SlidingCounts:
    """Sums of two numbers over the last *window* seconds."""

    __slots__ = ("_current", "_firsts", "_seconds", "_slot", "first", "second")

    def __init__(self, window: float) -> None:
        self._slot = window / _SLOTS
        self._current: int | None = None
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._firsts = [0] * _SLOTS
        self._seconds = [0] * _SLOTS
        self.first = 0
        self.second = 0

    def add(self, now: float, first: int, second: int) -> None:
        """Count at *now* (seconds of a clock that does not step back)."""
        self.advance(now)
        index = (self._current or 0) % _SLOTS
        self._firsts[index] += first
        self._seconds[index] += second
        self.first += first
        self.second += second

    def advance(self, now: float) -> None:
        """Let what is older than the window fall out; ``first`` and ``second`` are then right."""
        slot = int(now / self._slot)
        if slot == self._current:
            return
        if self._current is None:
            self._current = slot
        for stale in range(max(self._current + 1, slot - _SLOTS + 1), slot + 1):
            index = stale % _SLOTS
            self.first -= self._firsts[index]
            self.second -= self._seconds[index]
            self._firsts[index] = self._seconds[index] = 0
        self._current = max(self._current, slot)
