"""Buckets in Redis: exact over workers and nodes, one round trip for many requests.

Checks that arrive while a call is under way leave together in the next one. The arithmetic is in
``token_bucket.lua`` and the time is Redis's own. In a Redis Cluster each owner of slots has a lane
of its own, so one that hangs holds up nobody else, and what a script cannot decide alone because
the buckets lie in several slots is taken back when one of them refuses. Leans on ``runtime.redis``
for the client and on ``runtime.tasks`` for the tasks that talk to Redis.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, cast

from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError, RedisClusterException

from quotas.bucket import CLOCK_TOLERANCE, Bucket, Decision, Rule, judge, merge
from quotas.calendar import period_end
from quotas.errors import StoreUnavailable
from quotas.stores.lane import Lane
from runtime.redis import FAILURES, Client
from runtime.tasks import TaskOwner

_SCRIPTS = files("quotas")
SCRIPT = (_SCRIPTS / "token_bucket.lua").read_text(encoding="utf-8")
RESTORE = (_SCRIPTS / "quota_restore.lua").read_text(encoding="utf-8")
SCRIPT_DIGEST = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
_TICKS = {"day": -1, "month": -2}
_ANY_OWNER = ""


@dataclass(slots=True, eq=False)
class _Check:
    """Buckets that one script decides on, waiting for its reply. A negative cost gives back."""

    rules: Sequence[Rule]
    keys: Sequence[str]
    cost: int
    answer: asyncio.Future[Decision]

    @property
    def slot(self) -> str:
        """The hash tag, with what stands before it: equal ones can share a call in a cluster."""
        return _slot(self.keys[0])


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
        self._cluster = client if isinstance(client, RedisCluster) else None
        self._prefix = prefix
        self._timeout = timeout
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._clock = clock
        self._owner: TaskOwner | None = None
        self._lanes: dict[str, Lane[_Check]] = {}
        self.calls = 0
        self._lane(_ANY_OWNER)

    def start(self, owner: TaskOwner) -> None:
        """Begin to answer, in tasks of *owner*."""
        self._owner = owner
        for name, lane in self._lanes.items():
            owner.start(f"limiter store {name}".rstrip(), lane.run)

    def spend(self, rules: Sequence[Rule], keys: Sequence[str], cost: int) -> Awaitable[Decision]:
        """See :class:`quotas.stores.base.Store`. Raises ``StoreUnavailable`` at once when the queue
        is full.
        """
        if self._cluster is None or len({_slot(key) for key in keys}) == 1:
            return self._ask(rules, keys, cost).answer
        by_slot: dict[str, tuple[list[Rule], list[str]]] = {}
        for rule, key in zip(rules, keys, strict=True):
            some_rules, some_keys = by_slot.setdefault(_slot(key), ([], []))
            some_rules.append(rule)
            some_keys.append(key)
        # Room for all first: none is to be spent from if one cannot be asked.
        lanes = [self._lane_with_room(some_keys) for _, some_keys in by_slot.values()]
        parts = zip(lanes, by_slot.values(), strict=True)
        return self._together([_put(lane, *part, cost) for lane, part in parts])

    async def restore(self, rule: Rule, key: str, used: int, start: int) -> None:
        """See :class:`quotas.stores.base.QuotaStore`."""
        if rule.window is None:
            raise ValueError("only quotas of calendar periods are restored")
        now = self._clock() if self._clock else time.time_ns() // 1000
        forget_in = (period_end(start, rule.window) + CLOCK_TOLERANCE - now) // 1000
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.eval(
                    RESTORE, 1, self._prefix + key, used, start, max(1, forget_in)
                )
        except FAILURES as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    def _ask(self, rules: Sequence[Rule], keys: Sequence[str], cost: int) -> _Check:
        return _put(self._lane_with_room(keys), rules, keys, cost)

    def _lane_with_room(self, keys: Sequence[str]) -> Lane[_Check]:
        lane = self._lane(self._owner_of(keys[0]))
        if len(lane) >= self._max_queue:
            raise StoreUnavailable(f"{self._max_queue} checks are waiting already")
        return lane

    async def _together(self, checks: list[_Check]) -> Decision:
        """The decision over several slots; what some took is given back if it is a refusal."""
        answers = await asyncio.gather(*(one.answer for one in checks), return_exceptions=True)
        decisions = [answer for answer in answers if isinstance(answer, Decision)]
        failure = next((one for one in answers if isinstance(one, BaseException)), None)
        if failure is not None or not all(one.allowed for one in decisions):
            for check, answer in zip(checks, answers, strict=True):
                if isinstance(answer, Decision) and answer.allowed:
                    self._give_back(check, answer)
        if failure is not None:
            raise failure
        return merge(decisions)

    def _give_back(self, check: _Check, decision: Decision) -> None:
        taken = [
            (rule, key)
            for rule, key in zip(check.rules, check.keys, strict=True)
            if rule not in decision.would_refuse
        ]
        if taken:
            rules, keys = zip(*taken, strict=True)
            with suppress(StoreUnavailable):
                self._ask(rules, keys, -check.cost).answer.add_done_callback(_heard)

    def _owner_of(self, key: str) -> str:
        if self._cluster is None:
            return _ANY_OWNER
        try:
            node = self._cluster.get_node_from_key(self._prefix + key)
        except RedisClusterException:
            node = None
        return node.name if node else _ANY_OWNER

    def _lane(self, name: str) -> Lane[_Check]:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(self._answer, _stopping, self._max_batch)
            if self._owner is not None:
                self._owner.start(f"limiter store {name}", lane.run)
        return lane

    async def _answer(self, batch: list[_Check]) -> None:
        checks = [check for check in batch if not check.answer.done()]
        if not checks:
            return
        self.calls += 1
        try:
            async with asyncio.timeout(self._timeout):
                if self._cluster is None:
                    _decide(checks, await self._call(checks))
                else:
                    await self._call_each_slot(self._cluster, checks)
        except FAILURES as error:
            _fail(checks, f"{type(error).__name__}: {error}")
        finally:
            _fail(checks, "the call was cut short")

    async def _call(self, checks: list[_Check]) -> list[int]:
        count, arguments = self._arguments(checks)
        try:
            return cast(list[int], await self._client.evalsha(SCRIPT_DIGEST, count, *arguments))
        except NoScriptError:
            pass  # before anything ran (a restart, SCRIPT FLUSH): nothing is spent twice
        return cast(list[int], await self._client.eval(SCRIPT, count, *arguments))

    async def _call_each_slot(self, cluster: RedisCluster, checks: list[_Check]) -> None:
        """One script for each slot, all in one round trip: a script may see one slot only."""
        by_slot: dict[str, list[_Check]] = {}
        for check in checks:
            by_slot.setdefault(check.slot, []).append(check)
        pipeline = cluster.pipeline()
        for some in by_slot.values():
            count, arguments = self._arguments(some)
            # As a plain command: the method of this name refuses to be part of a pipeline.
            pipeline.execute_command("EVALSHA", SCRIPT_DIGEST, count, *arguments)
        replies = await pipeline.execute(raise_on_error=False)
        lost = False
        for some, reply in zip(by_slot.values(), replies, strict=True):
            if isinstance(reply, NoScriptError):
                _decide(some, await self._call(some))
            elif isinstance(reply, Exception):
                lost = True
                _fail(some, f"{type(reply).__name__}: {reply}")
            else:
                _decide(some, reply)
        if lost:
            # Perhaps a replica was promoted: the next call asks for the map of slots anew.
            await cluster.aclose()

    def _arguments(self, checks: list[_Check]) -> tuple[int, list[Any]]:
        keys = [self._prefix + key for check in checks for key in check.keys]
        now = "" if self._clock is None else self._clock()
        arguments: list[Any] = [*keys, now, CLOCK_TOLERANCE]
        for check in checks:
            arguments.append(len(check.rules))
            for rule in check.rules:
                arguments += _numbers(rule, check.cost)
        return len(keys), arguments


def _put(lane: Lane[_Check], rules: Sequence[Rule], keys: Sequence[str], cost: int) -> _Check:
    check = _Check(rules, keys, cost, asyncio.get_running_loop().create_future())
    lane.put(check)
    return check


def _slot(key: str) -> str:
    return key[: key.find("}")]


def _numbers(rule: Rule, cost: int) -> tuple[int, ...]:
    tick = _TICKS[rule.window] if rule.window else rule.tick_us
    return rule.limit, rule.full, cost * rule.price, tick, int(rule.enforced and cost > 0)


def _decide(checks: Iterable[_Check], reply: list[int]) -> None:
    numbers: Iterator[int] = iter(reply)
    now = next(numbers)
    for check in checks:
        refilled = [Bucket(next(numbers), next(numbers)) for _ in check.rules]
        if not check.answer.done():
            check.answer.set_result(judge(refilled, check.rules, max(1, check.cost), now))


def _fail(checks: Iterable[_Check], reason: str) -> None:
    """Answer those who have no answer yet."""
    for check in checks:
        if not check.answer.done():
            check.answer.set_exception(StoreUnavailable(reason))


def _stopping(checks: Iterable[_Check]) -> None:
    _fail(checks, "the node is stopping")


def _heard(answer: asyncio.Future[Decision]) -> None:
    """What is given back is not waited for; a failure of it is counted where the check failed."""
    if not answer.cancelled():
        answer.exception()
