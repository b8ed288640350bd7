"""Checks a request against its limits, and says what a failing store means for it.

A store that fails, or takes longer than the budget, is asked again only now and then
(:class:`StoreGuard`), so a slow Redis costs a few requests the budget and not every request.
Leans on ``quotas.bucket`` for the decision and on a store of ``quotas.stores`` for the buckets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from quotas.bucket import Decision, Rule
from quotas.errors import LimiterUnavailable, StoreUnavailable
from quotas.stores.base import Store

__all__ = ["DEFAULT_TIMEOUT", "Decision", "Limiter", "StoreGuard"]

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT = 0.1
"""Seconds a check may take: what a slow store may add to a request at most."""

_FAILURES_TO_OPEN = 3
_PAUSE = 1.0


class StoreGuard:
    """A breaker on the store. After a few failures in a row one check in *pause* seconds asks it.

    Times are in seconds, handed in.
    """

    def __init__(self, failures: int = _FAILURES_TO_OPEN, pause: float = _PAUSE) -> None:
        self._threshold = failures
        self._pause = pause
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
        self._ask_again_at = now + self._pause
        return True

    def succeeded(self) -> None:
        """The store answered."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """The store did not answer."""
        self._failures += 1
        self._ask_again_at = now + self._pause


class Limiter:
    """Asks *store*, for at most *timeout* seconds a check.

    ``unchecked`` counts requests that passed without a check because the store failed and their
    limits say ``on_store_failure: open``; ``refused_unchecked`` those that were refused for it.
    """

    def __init__(
        self,
        store: Store,
        timeout: float = DEFAULT_TIMEOUT,
        *,
        guard: StoreGuard | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._timeout = timeout
        self._guard = guard or StoreGuard()
        self._clock = clock
        self.unchecked = 0
        self.refused_unchecked = 0

    @property
    def degraded(self) -> bool:
        """Whether the store is failing and left alone."""
        return self._guard.open

    async def check(
        self, rules: Sequence[Rule], keys: Sequence[str], cost: int = 1
    ) -> Decision | None:
        """Spend *cost* tokens of every rule's bucket, or of none.

        ``None`` when nothing was checked: there are no rules, or the store failed and every
        enforced rule is open. Raises ``LimiterUnavailable`` when the store failed and an enforced
        rule is closed.
        """
        if not rules:
            return None
        if not self._guard.admits(self._clock()):
            self._pass_or_refuse(rules)
            return None
        try:
            answer = self._store.spend(rules, keys, cost)
            if not isinstance(answer, Decision):
                answer = await self._in_time(answer)
        except StoreUnavailable as error:
            self._note_failure(error)
            self._pass_or_refuse(rules)
            return None
        if self._guard.open:
            logger.info("the limiter's store answers again")
        self._guard.succeeded()
        return answer

    check_rate_limit = check

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

    def _pass_or_refuse(self, rules: Sequence[Rule]) -> None:
        """What is done without a check: return to pass, raise ``LimiterUnavailable`` to refuse."""
        if any(rule.enforced and rule.on_store_failure == "closed" for rule in rules):
            self.refused_unchecked += 1
            raise LimiterUnavailable("the rate limit cannot be checked now")
        self.unchecked += 1
