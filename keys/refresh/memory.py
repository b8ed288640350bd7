"""Refresh tokens in this process: the default, and what the Redis store is tested against.

Lost on restart, and not shared: another process knows nothing of these families. Leans on
:mod:`keys.refresh.rotation`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from keys.bounded import Bounded
from keys.refresh.base import Outcome, Owner, Presented, Rotation
from keys.refresh.rotation import Family, judge


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class _Held:
    owner: Owner
    family: Family
    ends_at: int


class MemoryStore:
    """At most *size* families; beyond, the one used longest ago is forgotten. Times in ms."""

    def __init__(
        self,
        *,
        lifetime: int,
        grace: int,
        size: int = 100_000,
        clock: Callable[[], int] = _milliseconds,
    ) -> None:
        self._lifetime = lifetime
        self._grace = grace
        self._clock = clock
        self._held: Bounded[str, _Held] = Bounded(size)
        self._lock = threading.Lock()

    def open(self, session: str, owner: Owner, digest: str) -> None:
        """See :class:`keys.refresh.base.RefreshStore`."""
        with self._lock:
            held = _Held(owner, Family(digest), self._clock() + self._lifetime)
            self._held.put(session, held)

    def owner(self, session: str) -> Owner | None:
        """See :class:`keys.refresh.base.RefreshStore`."""
        with self._lock:
            held = self._living(session)
            return held.owner if held else None

    def rotate(self, presented: Presented) -> Rotation:
        """See :class:`keys.refresh.base.RefreshStore`."""
        with self._lock:
            held = self._living(presented.session)
            if held is None:
                return Rotation(Outcome.UNKNOWN)
            now = self._clock()
            rotation, family = judge(held.family, presented, self._grace, now)
            rotated = rotation.outcome is Outcome.ROTATED
            ends_at = now + self._lifetime if rotated else held.ends_at
            self._held.put(presented.session, _Held(held.owner, family, ends_at))
            return rotation

    def revoke(self, session: str) -> None:
        """See :class:`keys.refresh.base.RefreshStore`."""
        with self._lock:
            held = self._living(session)
            if held is not None:
                family = replace(held.family, revoked=True)
                self._held.put(session, replace(held, family=family))

    def _living(self, session: str) -> _Held | None:
        held = self._held.get(session)
        if held is not None and self._clock() >= held.ends_at:
            self._held.discard(session)
            return None
        return held
