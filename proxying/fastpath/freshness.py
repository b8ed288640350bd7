"""Keys the engine knows, looked at anew each minute: what changed past the models is seen too.

A key is remembered by ``keys.lookup`` for a minute before it is fetched again; the engine does not
ask, so it is asked for here, many keys in one round trip. There may be a hundred thousand: only the
marks of what is stored are read again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from django.db import Error

from keys.caller import KeyRecord
from runtime.outage import Outage

logger = logging.getLogger(__name__)

ReadMarks = Callable[[Sequence[str]], Awaitable[Mapping[str, int]]]

_EVERY = 55.0
_LOOK = 0.5
_AT_ONCE = 500
_MOST = 131_072


class Freshness:
    """*changed* is told when a key the engine knows is not what it was."""

    def __init__(self, read_marks: ReadMarks, changed: Callable[[], None]) -> None:
        self._read_marks = read_marks
        self._changed = changed
        self._known: dict[str, KeyRecord] = {}
        """By digest."""
        self._groups: deque[tuple[float, list[str]]] = deque()
        """Digests by when they were looked at, those looked at longest ago first."""
        self._outage = Outage(
            logger, "keys cannot be looked at anew: %s", "keys are looked at anew again"
        )

    @property
    def is_full(self) -> bool:
        """Whether there are as many keys as there may be."""
        return len(self._known) >= _MOST

    def note(self, record: KeyRecord) -> None:
        """The engine learns of a key that was looked at just now."""
        if record.digest not in self._known:
            now = time.monotonic()
            if not self._groups or now > self._groups[-1][0] + _LOOK or self._last_is_whole():
                self._groups.append((now, []))
            self._groups[-1][1].append(record.digest)
        self._known[record.digest] = record

    def forget(self) -> None:
        """The engine knows no key any more."""
        self._known.clear()
        self._groups.clear()

    async def keep(self) -> None:
        """Look at each key once a minute, until cancelled."""
        while True:
            while self._groups and time.monotonic() > self._groups[0][0] + _EVERY:
                if not await self._look_at(self._groups[0][1]):
                    break
            await asyncio.sleep(_LOOK)

    def _last_is_whole(self) -> bool:
        return len(self._groups[-1][1]) >= _AT_ONCE

    async def _look_at(self, group: list[str]) -> bool:
        """Whether it could be done. Where not, no key counts as confirmed for long either."""
        began = time.monotonic()
        asked = [*group]  # There may be more of it afterwards.
        try:
            marks = await self._read_marks(asked)
        except Error as error:
            self._outage.note_failure(error)
            return False
        self._outage.note_success()
        if not self._groups or self._groups[0][1] is not group:
            return True  # All was forgotten meanwhile.
        if any(marks.get(digest) != self._known[digest].mark for digest in asked):
            self.forget()
            self._changed()
        else:
            self._groups.popleft()
            self._groups.append((began, group))
        return True
