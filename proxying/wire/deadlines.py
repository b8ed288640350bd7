"""Several deadlines of one connection on one timer of the loop.

The timer is moved on when it fires early, so that setting and lifting a deadline for every request
costs a comparison. Leans on nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

NEVER = float("inf")


class Deadlines:
    """Calls *overdue* with the loop's time when one of the three is reached; it lifts or moves it.

    Lift one by assigning :data:`NEVER`.
    """

    __slots__ = ("_due", "_loop", "_overdue", "_timer", "input", "look", "write")

    def __init__(self, loop: asyncio.AbstractEventLoop, overdue: Callable[[float], None]) -> None:
        self._loop = loop
        self._overdue = overdue
        self._timer: asyncio.TimerHandle | None = None
        self._due = NEVER
        self.input = NEVER
        """The other side has to send something by then."""
        self.write = NEVER
        """The other side has to take something by then."""
        self.look = NEVER
        """It is time to look whether the other side is still there."""

    def expect_input(self, seconds: float) -> None:
        """Set ``input``."""
        self.input = due = self._loop.time() + seconds
        self._arm(due)

    def expect_write(self, seconds: float) -> None:
        """Set ``write``."""
        self.write = due = self._loop.time() + seconds
        self._arm(due)

    def look_after(self, seconds: float) -> None:
        """Set ``look``."""
        self.look = due = self._loop.time() + seconds
        self._arm(due)

    def stop(self) -> None:
        """Nothing is due any more, and nothing can be."""
        if self._timer is not None:
            self._timer.cancel()
        del self._overdue  # it refers back to the connection

    def _arm(self, due: float) -> None:
        if due >= self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self._loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._due = NEVER
        now = self._loop.time()
        if now >= min(self.input, self.write, self.look):
            self._overdue(now)
        due = min(self.input, self.write, self.look)
        if due < NEVER:
            self._arm(due)
