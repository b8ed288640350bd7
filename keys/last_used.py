"""When each API key was last used: gathered in memory, written in batches.

Owned by :class:`keys.lookup.KeyLookup`. A request only sets one entry of a dict; a background
task writes what has gathered through the database thread that writes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from itertools import islice

from runtime.database import DatabaseThread
from runtime.tasks import repeat

logger = logging.getLogger(__name__)

Write = Callable[[Mapping[int, float]], None]

_BATCH = 500
_FLUSH_SECONDS = 5.0


class LastUsed:
    """Time of the last use by key id, in epoch seconds, on its way to the database.

    At most *size* keys are held; further ones are counted in ``dropped`` and not remembered. What
    cannot be written is kept for the next round.
    """

    def __init__(
        self, write: Write, thread: DatabaseThread, *, size: int, interval: float = 30.0
    ) -> None:
        self._write = write
        self._database = thread
        self._size = size
        self._interval = interval
        self._times: dict[int, float] = {}
        self._failing = False
        self.dropped = 0

    def note(self, key_id: int, when: float) -> None:
        """The key was used at *when*."""
        if len(self._times) >= self._size and key_id not in self._times:
            self.dropped += 1
            return
        self._times[key_id] = when

    async def keep_writing(self) -> None:
        """Write every *interval* seconds, and once more when cancelled."""
        try:
            await asyncio.sleep(self._interval)
            await repeat(self._interval, self.flush)
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what has gathered, in at most five seconds; a failure is logged once."""
        times, self._times = self._times, {}
        try:
            async with asyncio.timeout(_FLUSH_SECONDS):
                while times:
                    batch = dict(islice(times.items(), _BATCH))
                    await self._database.run(self._write, batch)
                    for key_id in batch:
                        del times[key_id]
        except Exception:
            if not self._failing:
                logger.exception("last uses of API keys cannot be written; they are kept")
            self._failing = True
        else:
            self._failing = False
        finally:
            self._times = times | self._times
