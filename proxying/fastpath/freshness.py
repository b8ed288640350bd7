"""Keys the engine knows, looked at anew each minute: what changed past the models is seen too.

A key is remembered by ``keys.lookup`` for a minute before it is fetched again; the engine does not
ask, so it is asked for here, many keys in one round trip.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import islice

from keys.caller import KeyRecord
from keys.errors import KeyStoreUnavailable
from keys.lookup import KeyLookup

_EVERY = 55.0
_LOOK = 0.5
_AT_ONCE = 500


class Freshness:
    """*changed* is told when a key the engine knows is not what it was."""

    def __init__(self, keys: KeyLookup, changed: Callable[[], None]) -> None:
        self._keys = keys
        self._changed = changed
        self._seen: dict[str, tuple[float, KeyRecord]] = {}
        """By digest, the one looked at longest ago first."""

    def note(self, digest: str, record: KeyRecord) -> None:
        """The engine learns of a key that was looked at just now."""
        self._seen.pop(digest, None)
        self._seen[digest] = time.monotonic(), record

    def forget(self) -> None:
        """The engine knows no key any more."""
        self._seen.clear()

    async def keep(self) -> None:
        """Look at each key once a minute, until cancelled."""
        while True:
            while due := self._due():
                await self._look_at(due)
            await asyncio.sleep(_LOOK)

    def _due(self) -> list[tuple[str, KeyRecord]]:
        oldest = time.monotonic() - _EVERY
        first = islice(self._seen.items(), _AT_ONCE)
        return [(digest, record) for digest, (at, record) in first if at < oldest]

    async def _look_at(self, due: list[tuple[str, KeyRecord]]) -> None:
        found = await asyncio.gather(*(self._again(digest) for digest, _ in due))
        for (digest, record), now in zip(due, found, strict=True):
            if now != record:
                self.forget()
                self._changed()
                return
            self.note(digest, record)

    async def _again(self, digest: str) -> KeyRecord | None:
        try:
            return await self._keys.fetch_again(digest)
        except KeyStoreUnavailable:
            return None
