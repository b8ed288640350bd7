"""Buckets in Redis: exact over workers and nodes, one round trip for many requests.

Checks that arrive while a call is under way leave together in the next one. The arithmetic is in
``token_bucket.lua`` and the time is Redis's own. Leans on ``runtime.redis`` for the client and on
``runtime.tasks`` for the one task that talks to Redis.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from quotas.bucket import CLOCK_TOLERANCE, Bucket, Decision, Rule, judge
from quotas.errors import StoreUnavailable
from runtime.redis import Client
from runtime.tasks import TaskOwner

SCRIPT = (Path(__file__).parent.parent / "token_bucket.lua").read_text(encoding="utf-8")
_SHA = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()

_FAILURES = (RedisError, RedisClusterException, OSError)


@dataclass(slots=True, eq=False)
class _Check:
    """One request waiting for its decision."""

    rules: Sequence[Rule]
    keys: Sequence[str]
    cost: int
    answer: asyncio.Future[Decision]

    @property
    def slot(self) -> str:
        """The hash tag, with what stands before it: equal ones can share a call in a cluster."""
        key = self.keys[0]
        return key[: key.find("}")]


class RedisStore:
    """Spends from buckets in Redis. Nothing is answered before :meth:`start`.

    A call may take *timeout* seconds and carry *max_batch* requests; of those waiting for the next
    call there are at most *max_queue*. *clock* (microseconds) replaces Redis's time in tests.
    ``calls`` counts round trips.
    """

    def __init__(
        self,
        client: Client,
        *,
        prefix: str = "",
        timeout: float = 0.1,
        max_batch: int = 100,
        max_queue: int = 10_000,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._timeout = timeout
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._clock = clock
        self._waiting: deque[_Check] = deque()
        self._wake = asyncio.Event()
        self.calls = 0

    def start(self, owner: TaskOwner) -> None:
        """Begin to answer, in a task of *owner*."""
        owner.start("limiter store", self._answer_checks)

    def spend(
        self, rules: Sequence[Rule], keys: Sequence[str], cost: int
    ) -> asyncio.Future[Decision]:
        """See :class:`quotas.stores.base.Store`. Raises ``StoreUnavailable`` at once when the queue
        is full.
        """
        if len(self._waiting) >= self._max_queue:
            raise StoreUnavailable(f"{self._max_queue} checks are waiting already")
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(_Check(rules, keys, cost, answer))
        self._wake.set()
        return answer

    async def _answer_checks(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while batch := self._next_batch():
                    await asyncio.gather(*map(self._answer, self._calls_for(batch)))
        finally:
            _fail(self._waiting, "the node is stopping")
            self._waiting.clear()

    def _next_batch(self) -> list[_Check]:
        batch: list[_Check] = []
        while self._waiting and len(batch) < self._max_batch:
            check = self._waiting.popleft()
            if not check.answer.done():
                batch.append(check)
        return batch

    def _calls_for(self, batch: list[_Check]) -> Iterable[list[_Check]]:
        """One call for all of them; in a cluster one for each slot."""
        if not isinstance(self._client, RedisCluster):
            return [batch]
        by_slot: dict[str, list[_Check]] = {}
        for check in batch:
            by_slot.setdefault(check.slot, []).append(check)
        return by_slot.values()

    async def _answer(self, checks: list[_Check]) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._call(checks)
        except _FAILURES as error:
            _fail(checks, f"{type(error).__name__}: {error}")
        else:
            _decide(checks, reply)
        finally:
            _fail(checks, "the call was cut short")

    async def _call(self, checks: list[_Check]) -> list[int]:
        self.calls += 1
        keys = [self._prefix + key for check in checks for key in check.keys]
        now = "" if self._clock is None else self._clock()
        arguments: list[Any] = [*keys, now, CLOCK_TOLERANCE]
        for check in checks:
            arguments.append(len(check.rules))
            for rule in check.rules:
                arguments += _arguments(rule, check.cost)
        try:
            reply: list[int] = await self._client.evalsha(_SHA, len(keys), *arguments)
        except NoScriptError:
            # Refused before anything ran (a restart, SCRIPT FLUSH): nothing is spent twice.
            reply = await self._client.eval(SCRIPT, len(keys), *arguments)
        return reply


def _arguments(rule: Rule, cost: int) -> tuple[int, ...]:
    return rule.limit, rule.full, cost * rule.token, rule.tick_us, int(rule.enforced)


def _decide(checks: Iterable[_Check], reply: list[int]) -> None:
    numbers: Iterator[int] = iter(reply)
    now = next(numbers)
    for check in checks:
        refilled = [Bucket(next(numbers), next(numbers)) for _ in check.rules]
        if not check.answer.done():
            check.answer.set_result(judge(refilled, check.rules, check.cost, now))


def _fail(checks: Iterable[_Check], reason: str) -> None:
    """Answer those who have no answer yet."""
    for check in checks:
        if not check.answer.done():
            check.answer.set_exception(StoreUnavailable(reason))
