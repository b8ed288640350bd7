"""Buckets in a real Redis: the same decisions as in memory, few round trips, honest failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Connection, ConnectionPool, Redis

from quotas.bucket import LARGEST, SECOND, Decision, Rule
from quotas.errors import StoreUnavailable
from quotas.limiter import Limiter
from quotas.stores.memory import MemoryStore
from quotas.stores.redis import RedisStore
from runtime.redis import Client, connect
from runtime.tasks import TaskOwner
from tests.servers import Server

pytestmark = pytest.mark.services

MINUTELY = Rule("{a}m:", 60, 60 * SECOND, 60)


class Clock:
    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


Make = Callable[..., RedisStore]


@pytest.fixture
async def client(redis_server: Server) -> AsyncIterator[Client]:
    client = connect(redis_server.url, timeout=5)
    await client.flushdb()
    yield client
    await client.aclose()


@pytest.fixture
async def store_of(client: Client) -> AsyncIterator[Make]:
    """Makes stores, each a worker of its own."""
    owners: list[TaskOwner] = []

    def make(**options: Any) -> RedisStore:
        store = RedisStore(client, **{"timeout": 5.0, **options})
        owners.append(TaskOwner())
        store.start(owners[-1])
        return store

    yield make
    for owner in owners:
        await owner.stop()


async def passed(store: RedisStore, key: str, requests: int, rule: Rule = MINUTELY) -> int:
    decisions = await asyncio.gather(*(store.spend([rule], [key], 1) for _ in range(requests)))
    return sum(decision.allowed for decision in decisions)


async def stored_time(client: Client, key: str) -> int:
    value = await client.get(key)
    assert isinstance(value, bytes)
    return int(value.split()[1])


rules = st.builds(
    Rule,
    key_prefix=st.just(""),
    limit=st.integers(1, 50) | st.integers(1, LARGEST),
    period_us=st.sampled_from([1, 60, 3600, 86_400]).map(lambda seconds: seconds * SECOND),
    capacity=st.integers(1, 20) | st.integers(1, LARGEST),
    mode=st.sampled_from(["enforce", "enforce", "shadow"]),
    cost=st.just(1) | st.integers(1, 9),
)
quotas = st.builds(
    Rule,
    key_prefix=st.just(""),
    limit=st.just(1),
    period_us=st.just(SECOND),
    capacity=st.integers(1, 20) | st.integers(1, LARGEST),
    window=st.sampled_from(["day", "month"]),
)
# Back by less than a bucket is kept for after its time: what is forgotten is not the same in both.
calendar_steps = st.tuples(
    st.integers(-2 * SECOND, 5 * SECOND) | st.integers(0, 40 * 86_400 * SECOND),
    st.integers(0, 3),
    st.integers(1, 6),
)
steps = st.tuples(
    st.integers(-3 * SECOND, 5 * SECOND) | st.integers(-(2**35), 2**20),
    st.integers(0, 3),
    st.integers(1, 6) | st.integers(1, LARGEST),
)


quiet = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quiet
@given(
    requests=st.lists(st.lists(rules, min_size=1, max_size=3), min_size=1, max_size=3),
    steps=st.lists(steps, min_size=1, max_size=25),
)
async def test_redis_and_memory_decide_alike(
    client: Client, requests: list[list[Rule]], steps: list[Any]
) -> None:
    await decide_alike(client, requests, steps)


@quiet
@given(
    requests=st.lists(st.lists(quotas, min_size=1, max_size=2), min_size=1, max_size=3),
    steps=st.lists(calendar_steps, min_size=1, max_size=25),
)
async def test_redis_and_memory_count_the_same_days_and_months(
    client: Client, requests: list[list[Rule]], steps: list[Any]
) -> None:
    await decide_alike(client, requests, steps)


async def decide_alike(client: Client, requests: list[list[Rule]], steps: list[Any]) -> None:
    await client.flushdb()
    clock = Clock(2**50)
    owner = TaskOwner()
    memory, remote = MemoryStore(clock=clock), RedisStore(client, timeout=5, clock=clock)
    remote.start(owner)
    try:
        for elapsed, which, cost in steps:
            clock.now += elapsed
            some = requests[which % len(requests)]
            # As the product's do, a key names its window: no day is ever read as a month.
            keys = [f"{{k}}{number}{rule.window}" for number, rule in enumerate(some)]
            assert await remote.spend(some, keys, cost) == memory.spend(some, keys, cost)
    finally:
        await owner.stop()


async def test_the_time_is_that_of_redis(store_of: Make, client: Client) -> None:
    store = store_of()
    fast = Rule("", 1000, SECOND, 1)
    assert await passed(store, "{a}", 1, fast) == 1
    seconds, microseconds = await client.time()
    at = await stored_time(client, "{a}")
    assert 0 <= seconds * SECOND + microseconds - at < 30 * SECOND


async def test_limits_are_exact_over_workers(store_of: Make) -> None:
    workers = [store_of(max_batch=7) for _ in range(4)]
    rule = Rule("", 1, 86_400 * SECOND, 60)
    counts = await asyncio.gather(*(passed(worker, "{a}", 50, rule) for worker in workers))
    assert sum(counts) == 60


async def test_checks_that_wait_together_leave_together(store_of: Make) -> None:
    store = store_of(max_batch=500)
    await passed(store, "{a}", 500)
    assert store.calls <= 2


async def test_a_batch_is_bounded(store_of: Make) -> None:
    store = store_of(max_batch=10)
    await passed(store, "{a}", 100)
    assert store.calls >= 10


async def test_a_forgotten_script_is_sent_again_and_spends_once(
    store_of: Make, client: Client
) -> None:
    store = store_of()
    await passed(store, "{a}", 1)
    await client.script_flush()
    decision = await store.spend([MINUTELY], ["{a}"], 1)
    assert decision.remaining == 58


async def test_a_refused_request_writes_nothing(store_of: Make, client: Client) -> None:
    store = store_of(clock=Clock(1))
    await passed(store, "{a}", 60)
    before = await client.get("{a}")
    assert await passed(store, "{a}", 40) == 0
    assert await client.get("{a}") == before


async def test_idle_buckets_expire(store_of: Make, client: Client) -> None:
    await passed(store_of(), "{a}", 30)
    assert 80_000 < await client.pttl("{a}") <= 90_000


async def test_keys_begin_with_the_prefix(store_of: Make, client: Client) -> None:
    await passed(store_of(prefix="gateway:"), "{a}", 1)
    assert await client.keys("*") == [b"gateway:{a}"]


async def test_a_check_that_was_given_up_is_not_spent(store_of: Make) -> None:
    store = store_of()
    given_up = asyncio.ensure_future(store.spend([MINUTELY], ["{a}"], 10))
    given_up.cancel()
    assert (await store.spend([MINUTELY], ["{a}"], 1)).remaining == 59


async def test_a_full_queue_is_a_failure_at_once(client: Client) -> None:
    store = RedisStore(client, max_queue=2)
    waiting = [asyncio.ensure_future(store.spend([MINUTELY], ["{a}"], 1)) for _ in range(2)]
    with pytest.raises(StoreUnavailable, match="waiting"):
        store.spend([MINUTELY], ["{a}"], 1)
    assert not any(check.done() for check in waiting)


async def test_an_error_of_redis_is_a_failure_of_the_store(store_of: Make, client: Client) -> None:
    await client.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable, match="OutOfMemory"):
            await store_of().spend([MINUTELY], ["{a}"], 1)
    finally:
        await client.config_set("maxmemory", "0")


async def test_checks_under_way_fail_when_the_node_stops(client: Client) -> None:
    owner, store = TaskOwner(), RedisStore(client, timeout=5)
    store.start(owner)
    await passed(store, "{a}", 1)
    check = store.spend([MINUTELY], ["{a}"], 1)
    await owner.stop()
    with pytest.raises(StoreUnavailable):
        await check


@pytest.fixture
async def silent_address() -> AsyncIterator[str]:
    """A server that accepts and never answers; it counts what it was sent."""
    connections: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(
        lambda _, writer: connections.append(writer), "127.0.0.1", 0
    )
    host, port = server.sockets[0].getsockname()
    yield f"redis://{host}:{port}"
    server.close()
    for writer in connections:
        writer.close()


async def test_a_stalled_redis_costs_the_budget_and_no_more(
    silent_address: str, owner: TaskOwner
) -> None:
    client = connect(silent_address, timeout=0.05)
    store = RedisStore(client, timeout=0.05)
    store.start(owner)
    limiter = Limiter(store, timeout=0.05)
    async with asyncio.timeout(5):
        for _ in range(20):
            assert await limiter.check_rate_limit([MINUTELY], ["{a}"]) is None
    assert limiter.degraded
    await client.aclose()


async def test_a_redis_that_is_not_there_is_a_failure(owner: TaskOwner) -> None:
    client = connect("redis://127.0.0.1:1", timeout=1)
    store = RedisStore(client, timeout=1)
    store.start(owner)
    with pytest.raises(StoreUnavailable, match="ConnectionError"):
        await store.spend([MINUTELY], ["{a}"], 1)
    await client.aclose()


class LostWhenOpened(Connection):
    """Its server has closed it before the first command is sent; the error is uvloop's."""

    async def send_packed_command(self, *_: object, **__: object) -> None:
        raise RuntimeError("unable to perform operation; the handler is closed")


async def test_connections_that_are_lost_when_opened_are_failures(
    owner: TaskOwner, redis_server: Server
) -> None:
    pool = ConnectionPool.from_url(redis_server.url, connection_class=LostWhenOpened)
    client = Redis.from_pool(pool)
    store = RedisStore(client, timeout=5)
    store.start(owner)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="RuntimeError"):
            await store.spend([MINUTELY], ["{a}"], 1)
    await client.aclose()


async def test_the_limiter_works_with_redis_as_with_memory(store_of: Make) -> None:
    limiter = Limiter(store_of(), timeout=5)
    decisions = [
        await limiter.check_rate_limit([Rule("", 2, 60 * SECOND, 2)], ["{a}"]) for _ in range(3)
    ]
    assert [isinstance(d, Decision) and d.allowed for d in decisions] == [True, True, False]


QUOTA = Rule("{a}q:", 100, 86_400 * SECOND, 100, window="month")
NOVEMBER = 1_793_491_200 * SECOND


async def test_a_lost_quota_is_raised_to_what_the_records_say(store_of: Make) -> None:
    store = store_of(clock=Clock(NOVEMBER + SECOND))
    await passed(store, "{a}", 3, QUOTA)
    await store.restore(QUOTA, "{a}", 90, NOVEMBER)
    assert await passed(store, "{a}", 50, QUOTA) == 10


async def test_a_quota_is_never_lowered(store_of: Make) -> None:
    store = store_of(clock=Clock(NOVEMBER + SECOND))
    await passed(store, "{a}", 60, QUOTA)
    await store.restore(QUOTA, "{a}", 5, NOVEMBER)
    assert await passed(store, "{a}", 100, QUOTA) == 40


async def test_a_quota_is_forgotten_after_its_month(store_of: Make, client: Client) -> None:
    await passed(store_of(clock=Clock(NOVEMBER + SECOND)), "{a}", 1, QUOTA)
    month = 30 * 86_400_000
    assert month <= await client.pttl("{a}") <= month + 60_000


async def test_a_restored_quota_is_forgotten_after_its_month_too(
    store_of: Make, client: Client
) -> None:
    await store_of(clock=Clock(NOVEMBER)).restore(QUOTA, "{a}", 5, NOVEMBER)
    month = 30 * 86_400_000
    assert month <= await client.pttl("{a}") <= month + 60_000
