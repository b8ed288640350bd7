"""What a request gets from the limiter, and what a failing store means for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace

import pytest

from quotas.bucket import SECOND, Decision, Rule
from quotas.errors import LimiterUnavailable, StoreUnavailable
from quotas.limiter import Limiter, StoreGuard
from quotas.stores.memory import MemoryStore

OPEN = Rule("open:", 2, 60 * SECOND, 2)
CLOSED = replace(OPEN, key_prefix="closed:", on_store_failure="closed")
CLOSED_SHADOW = replace(CLOSED, mode="shadow")


class FailingStore:
    """Refuses to answer until it is mended; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.mended = False
        self._buckets = MemoryStore(clock=lambda: 0)

    def spend(self, rules: Sequence[Rule], keys: Sequence[str], cost: int) -> Decision:
        self.asked += 1
        if not self.mended:
            raise StoreUnavailable("down")
        return self._buckets.spend(rules, keys, cost)


class SilentStore:
    """Takes a check and never answers it."""

    def spend(self, rules: Sequence[Rule], keys: Sequence[str], cost: int) -> Awaitable[Decision]:
        return asyncio.get_running_loop().create_future()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_decision_says_whether_the_request_passes() -> None:
    limiter = Limiter(MemoryStore(clock=lambda: 0))
    decisions = [await limiter.check_rate_limit([OPEN], ["a"]) for _ in range(3)]
    assert [decision and decision.allowed for decision in decisions] == [True, True, False]


def test_the_memory_store_is_asked_without_giving_up_the_loop() -> None:
    check = Limiter(MemoryStore()).check_rate_limit([OPEN], ["a"])
    with pytest.raises(StopIteration):
        check.send(None)


async def test_a_route_without_limits_is_not_checked() -> None:
    store = FailingStore()
    assert await Limiter(store).check_rate_limit([], []) is None
    assert store.asked == 0


async def test_an_open_limit_passes_when_the_store_fails() -> None:
    limiter = Limiter(FailingStore())
    assert await limiter.check_rate_limit([OPEN], ["a"]) is None
    assert limiter.unchecked == 1


async def test_a_closed_limit_refuses_when_the_store_fails() -> None:
    limiter = Limiter(FailingStore())
    with pytest.raises(LimiterUnavailable):
        await limiter.check_rate_limit([OPEN, CLOSED], ["a", "b"])
    assert (limiter.unchecked, limiter.refused_unchecked) == (0, 1)


async def test_a_shadow_limit_refuses_nobody_even_when_it_is_closed() -> None:
    assert await Limiter(FailingStore()).check_rate_limit([CLOSED_SHADOW], ["a"]) is None


async def test_a_silent_store_costs_the_budget_and_no_more() -> None:
    limiter = Limiter(SilentStore(), timeout=0.01)
    async with asyncio.timeout(5):
        assert await limiter.check_rate_limit([OPEN], ["a"]) is None


async def test_a_failing_store_is_left_alone_after_a_few_failures() -> None:
    store, clock = FailingStore(), Clock()
    limiter = Limiter(store, guard=StoreGuard(failures=3, pause=1.0), clock=clock)
    for _ in range(50):
        await limiter.check_rate_limit([OPEN], ["a"])
    assert (store.asked, limiter.unchecked, limiter.degraded) == (3, 50, True)


async def test_a_store_left_alone_is_asked_by_one_check_in_a_while() -> None:
    store, clock = FailingStore(), Clock()
    limiter = Limiter(store, guard=StoreGuard(failures=1, pause=1.0), clock=clock)
    for clock.now in (0.0, 0.5, 1.0, 1.5, 1.9, 2.0):
        await limiter.check_rate_limit([OPEN], ["a"])
    assert store.asked == 3


def test_one_probe_is_under_way_at_a_time() -> None:
    guard = StoreGuard(failures=1, pause=1.0)
    guard.failed(0.0)
    assert [guard.admits(now) for now in (0.9, 1.0, 1.0, 1.9, 2.0)] == [
        False,
        True,
        False,
        False,
        True,
    ]


async def test_a_closed_limit_refuses_while_the_store_is_left_alone() -> None:
    limiter = Limiter(FailingStore(), guard=StoreGuard(failures=1), clock=Clock())
    await limiter.check_rate_limit([OPEN], ["a"])
    with pytest.raises(LimiterUnavailable):
        await limiter.check_rate_limit([CLOSED], ["a"])


async def test_a_store_that_answers_again_is_used_again() -> None:
    store, clock = FailingStore(), Clock()
    limiter = Limiter(store, guard=StoreGuard(failures=1, pause=1.0), clock=clock)
    await limiter.check_rate_limit([OPEN], ["a"])
    store.mended, clock.now = True, 1.0
    assert await limiter.check_rate_limit([OPEN], ["a"]) is not None
    assert await limiter.check_rate_limit([OPEN], ["a"]) is not None
    assert not limiter.degraded


async def test_a_cancelled_check_is_no_failure_of_the_store() -> None:
    limiter = Limiter(SilentStore(), timeout=60, guard=StoreGuard(failures=1))
    check = asyncio.ensure_future(limiter.check_rate_limit([OPEN], ["a"]))
    await asyncio.sleep(0)
    check.cancel()
    with pytest.raises(asyncio.CancelledError):
        await check
    assert not limiter.degraded


LOCAL = replace(OPEN, key_prefix="local:", limit=6, capacity=6, on_store_failure="local")


async def test_a_failing_store_leaves_a_local_limit_its_share() -> None:
    limiter = Limiter(FailingStore(), parts=3)
    decisions = [await limiter.check_rate_limit([LOCAL], ["a"]) for _ in range(4)]
    assert [one and (one.allowed, one.remaining) for one in decisions] == [
        (True, 1),
        (True, 0),
        (False, 0),
        (False, 0),
    ]


async def test_a_closed_limit_closes_whatever_the_others_say() -> None:
    with pytest.raises(LimiterUnavailable):
        await Limiter(FailingStore()).check_rate_limit([LOCAL, CLOSED], ["a", "b"])


async def test_an_open_limit_beside_a_local_one_is_left_out() -> None:
    limiter = Limiter(FailingStore())
    decisions = [await limiter.check_rate_limit([OPEN, LOCAL], ["a", "b"]) for _ in range(6)]
    assert all(one and one.allowed for one in decisions)


async def test_the_store_decides_again_once_it_answers() -> None:
    store, clock = FailingStore(), Clock()
    limiter = Limiter(store, guard=StoreGuard(), clock=clock)
    for _ in range(5):
        await limiter.check_rate_limit([LOCAL], ["a"])
    store.mended = True
    clock.now += 2
    decision = await limiter.check_rate_limit([LOCAL], ["a"])
    assert decision is not None
    assert decision.remaining == 5


def test_the_requests_of_one_slow_round_trip_are_one_failure() -> None:
    guard = StoreGuard(failures=3, apart=0.05)
    for _ in range(100):
        guard.failed(0.0)
    assert not guard.open
    guard.failed(0.1)
    guard.failed(0.2)
    assert guard.open


def test_workers_do_not_all_ask_at_once() -> None:
    guards = [StoreGuard(failures=1, spread=0.25) for _ in range(50)]
    for guard in guards:
        guard.failed(0.0)
    early = sum(guard.admits(1.0) for guard in guards)
    assert 0 < early < 50
    assert not any(guard.admits(0.74) for guard in guards)
