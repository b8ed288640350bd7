"""Buckets in this process: the default, and the reference the Redis store is tested against.

Bounded: a heap holds, for each bucket, a time before which it is not full. Each call looks at the
few buckets that are due and forgets those that are full (an absent bucket is a full one); there is
no sweep. Leans on ``quotas.bucket`` alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from heapq import heappop, heappush, heapreplace
from typing import NamedTuple

from quotas.bucket import CLOCK_TOLERANCE, Bucket, Decision, Rule, full_at, spend

_DUE_PER_CALL = 4
"""Buckets looked at in one call: more than a call can add, so the heap does not fall behind."""


def microseconds() -> int:
    """The time since 1970, as Redis has it: quotas follow the calendar."""
    return time.time_ns() // 1000


class _Entry(NamedTuple):
    bucket: Bucket
    idle_at: int
    """When (µs) the bucket may be forgotten if nothing is spent from it before."""


class MemoryStore:
    """At most *max_buckets* buckets; beyond, the one nearest to full is forgotten early."""

    def __init__(
        self,
        max_buckets: int = 1_000_000,
        clock: Callable[[], int] = microseconds,
    ) -> None:
        self._max_buckets = max_buckets
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._due: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def spend(self, rules: Sequence[Rule], keys: Sequence[str], cost: int) -> Decision:
        """See :class:`quotas.stores.base.Store`; never fails."""
        now = self._clock()
        entries = [self._entries.get(key) for key in keys]
        decision, stored = spend(
            [entry.bucket if entry else None for entry in entries], rules, cost, now
        )
        for key, rule, bucket in zip(keys, rules, stored, strict=True):
            if bucket is not None:
                self._keep(key, _Entry(bucket, full_at(bucket, rule) + CLOCK_TOLERANCE))
        self._forget_idle(now)
        return decision

    async def restore(self, rule: Rule, key: str, used: int, start: int) -> None:
        """See :class:`quotas.stores.base.QuotaStore`; never fails."""
        entry = self._entries.get(key)
        at, counted = (entry.bucket.at, entry.bucket.level) if entry else (-1, 0)
        if at < start or (at == start and counted < used):
            bucket = Bucket(used, start)
            self._keep(key, _Entry(bucket, full_at(bucket, rule) + CLOCK_TOLERANCE))

    def _keep(self, key: str, entry: _Entry) -> None:
        if key not in self._entries:
            heappush(self._due, (entry.idle_at, key))
        self._entries[key] = entry

    def _forget_idle(self, now: int) -> None:
        """Forget what is idle by now, looking at a bounded number of buckets."""
        for _ in range(_DUE_PER_CALL):
            if not self._due or self._due[0][0] > now:
                break
            if not self._put_first_in_place(now):
                self._forget_first()
        while len(self._entries) > self._max_buckets:
            for _ in range(_DUE_PER_CALL):
                if not self._put_first_in_place(self._due[0][0]):
                    break
            self._forget_first()

    def _put_first_in_place(self, now: int) -> bool:
        """Whether the first bucket was spent from since it was listed and is not idle at *now*."""
        key = self._due[0][1]
        idle_at = self._entries[key].idle_at
        if idle_at <= now:
            return False
        heapreplace(self._due, (idle_at, key))
        return True

    def _forget_first(self) -> None:
        _, key = heappop(self._due)
        del self._entries[key]
