"""The seam to the buckets: spend, and put right what a store has forgotten.

A store answers at once (a :class:`Decision`, no await on that path) or after a round trip (an
awaitable of one). Everything that goes wrong there is ``StoreUnavailable``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from quotas.bucket import Decision, Rule


class Store(Protocol):
    """Keeps buckets by key and spends from them, all or nothing over the rules of a request."""

    def spend(
        self, rules: Sequence[Rule], keys: Sequence[str], cost: int
    ) -> Decision | Awaitable[Decision]:
        """Take *cost* tokens from the buckets at *keys*, one for each of *rules*, by the store's
        own clock. Raises ``StoreUnavailable``.
        """
        ...


class QuotaStore(Store, Protocol):
    """A store that also keeps quotas of calendar periods."""

    async def restore(self, rule: Rule, key: str, used: int, start: int) -> None:
        """Raise what was used of a quota in the period that began at *start* to *used*; never
        lowers it, so it may be repeated. Raises ``StoreUnavailable``.
        """
        ...
