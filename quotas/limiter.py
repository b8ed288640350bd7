"""Checks a request against its limits, and says what a failing store means for it.

A store that fails, or takes longer than the budget, is asked again only now and then
(:class:`StoreGuard`), so a slow Redis costs a few requests the budget and not every request, and
one that comes back meets one request of each worker, not all of them. Leans on ``quotas.bucket``
for the decision and on a store of ``quotas.stores`` for the buckets.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from prometheus_client import Counter

from quotas import metrics
from quotas.bucket import Decision, Rule, StoreFailurePolicy, share
from quotas.errors import LimiterUnavailable, StoreUnavailable
from quotas.stores.base import Store
from quotas.stores.memory import MemoryStore

__all__ = ["DEFAULT_TIMEOUT", "Decision", "Limiter", "StoreGuard"]

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 0.1
"""Seconds a check may take: what a slow store may add to a request at most."""

_FAILURES_TO_OPEN = 3
_PAUSE = 1.0
_SPREAD = 0.25
_LOCAL_BUCKETS = 100_000


class StoreGuard:
    """A breaker on the store. After a few failures in a row one check in *pause* seconds asks it.

    Times are in seconds, handed in. *spread* is the share of a pause by which it varies, so that
    workers do not ask all at once. Failures less than *apart* from the last one that counted are
    of one moment, as those of the requests of one slow round trip are, and count as one.
    """

    def __init__(
        self,
        failures: int = _FAILURES_TO_OPEN,
        pause: float = _PAUSE,
        spread: float = 0.0,
        apart: float = 0.0,
    ) -> None:
        self._threshold = failures
        self._pause = pause
        self._spread = spread
        self._apart = apart
        self._counted_at = float("-inf")
        self._failures = 0
        self._ask_again_at = 0.0

    @property
    def open(self) -> bool:
        """Whether the store is being left alone."""
        return self._failures >= self._threshold

    def admits(self, now: float) -> bool:
        """Whether this check may ask the store; while open, a yes uses up the one probe."""
        if not self.open:
            return True
        if now < self._ask_again_at:
            return False
        self._ask_again_at = now + self._next_pause()
        return True

    def succeeded(self) -> None:
        """The store answered."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """The store did not answer."""
        if now - self._counted_at >= self._apart:
            self._failures += 1
            self._counted_at = now
        self._ask_again_at = now + self._next_pause()

    def _next_pause(self) -> float:
        return self._pause * random.uniform(1 - self._spread, 1 + self._spread)


class Limiter:
    """Asks *store*, for at most *timeout* seconds a check.

    While it fails, limits with ``on_store_failure: local`` are counted in this process, of which
    there are *parts*: each lets its share of them pass. ``unchecked`` counts requests that passed
    without a check because the store failed and their limits say ``on_store_failure: open``;
    ``refused_unchecked`` those that were refused for it.
    """

    def __init__(
        self,
        store: Store,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        parts: int = 1,
        guard: StoreGuard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._timeout = timeout
        self._parts = parts
        self._local = MemoryStore(max_buckets=_LOCAL_BUCKETS)
        self._guard = guard or StoreGuard(spread=_SPREAD, apart=timeout / 2)
        self._clock = clock
        self.unchecked = 0
        self.refused_unchecked = 0

    @property
    def degraded(self) -> bool:
        """Whether the store is failing and left alone."""
        return self._guard.open

    async def check_rate_limit(
        self, rules: Sequence[Rule], keys: Sequence[str], cost: int = 1
    ) -> Decision | None:
        """Spend *cost* tokens of every rule's bucket, or of none.

        ``None`` when nothing was checked: there are no rules, or the store failed and no enforced
        rule is closed or local. Raises ``LimiterUnavailable`` when the store failed and an
        enforced rule is closed.
        """
        if not rules:
            return None
        if not self._guard.admits(self._clock()):
            return self._without_store(rules, keys, cost)
        try:
            answer = self._store.spend(rules, keys, cost)
            if not isinstance(answer, Decision):
                answer = await self._in_time(answer)
        except StoreUnavailable as error:
            self._note_failure(error)
            return self._without_store(rules, keys, cost)
        if self._guard.open:
            logger.info("the limiter's store answers again")
            metrics.DEGRADED.set(0)
        self._guard.succeeded()
        return answer

    async def _in_time(self, answer: Awaitable[Decision]) -> Decision:
        try:
            async with asyncio.timeout(self._timeout):
                return await answer
        except TimeoutError as error:
            raise StoreUnavailable(f"no answer within {self._timeout} s") from error

    def _note_failure(self, error: StoreUnavailable) -> None:
        was_open = self._guard.open
        self._guard.failed(self._clock())
        if self._guard.open and not was_open:
            logger.warning("the limiter's store is left alone for now: %s", error)
            metrics.DEGRADED.set(1)

    def _without_store(
        self, rules: Sequence[Rule], keys: Sequence[str], cost: int
    ) -> Decision | None:
        """What is done for a request that the store did not decide on."""
        policies = {rule.on_store_failure for rule in rules if rule.enforced}
        if "closed" in policies:
            self.refused_unchecked += 1
            _fallback("closed").inc()
            raise LimiterUnavailable("the rate limit cannot be checked now")
        if "local" in policies:
            _fallback("local").inc()
            return self._decide_here(rules, keys, cost)
        self.unchecked += 1
        _fallback("open").inc()
        return None

    def _decide_here(self, rules: Sequence[Rule], keys: Sequence[str], cost: int) -> Decision:
        local = [
            (rule, key)
            for rule, key in zip(rules, keys, strict=True)
            if rule.on_store_failure == "local"
        ]
        shares = [_share(rule, self._parts) for rule, _ in local]
        decision = self._local.spend(shares, [key for _, key in local], cost)
        return replace(decision, remaining=decision.remaining // self._parts)


@lru_cache(maxsize=4096)
def _share(rule: Rule, parts: int) -> Rule:
    return share(rule, parts)


@lru_cache(maxsize=3)
def _fallback(policy: StoreFailurePolicy) -> Counter:
    return metrics.FALLBACKS.labels(policy)
