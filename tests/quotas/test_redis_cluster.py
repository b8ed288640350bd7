"""Buckets in a Redis Cluster of three masters: exact, few round trips, one failing alone."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from redis.asyncio import RedisCluster

from quotas.bucket import SECOND, Decision, Rule
from quotas.errors import StoreUnavailable
from quotas.stores.redis import RedisStore
from runtime.redis import Client, connect_cluster
from runtime.tasks import TaskOwner
from tests.support.redis_cluster import Cluster, three_masters

pytestmark = pytest.mark.services

DAILY = Rule("", 1, 86_400 * SECOND, 60)
SMALL = Rule("", 1, 86_400 * SECOND, 5)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with three_masters(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[Client]:
    cluster.wait_until_whole()
    client = connect_cluster(cluster.nodes, timeout=5)
    await client.initialize()
    await client.flushall(target_nodes=RedisCluster.PRIMARIES)
    yield client
    await client.aclose()


@pytest.fixture
async def store(client: Client, owner: TaskOwner) -> RedisStore:
    return new_store(client, owner)


def new_store(client: Client, owner: TaskOwner, timeout: float = 5.0) -> RedisStore:
    store = RedisStore(client, timeout=timeout)
    store.start(owner)
    return store


async def passed(store: RedisStore, rules: Sequence[Rule], keys: Sequence[str], many: int) -> int:
    decisions = await asyncio.gather(*(store.spend(rules, keys, 1) for _ in range(many)))
    return sum(decision.allowed for decision in decisions)


async def test_each_owner_of_slots_gets_one_call(store: RedisStore) -> None:
    await asyncio.gather(*(store.spend([DAILY], [f"{{{number}}}a"], 1) for number in range(90)))
    assert store.calls == 3


async def test_limits_are_exact_over_workers(client: Client) -> None:
    owners = [TaskOwner() for _ in range(4)]
    counts = await asyncio.gather(
        *(passed(new_store(client, owner), [DAILY], ["{one}"], 50) for owner in owners)
    )
    for owner in owners:
        await owner.stop()
    assert sum(counts) == 60


async def test_a_request_over_two_slots_takes_from_both_or_from_none(store: RedisStore) -> None:
    assert await passed(store, [DAILY, SMALL], ["{x}wide", "{y}small"], 30) == 5
    await asyncio.sleep(0)
    left = await store.spend([DAILY], ["{x}wide"], 1)
    assert left.remaining == 54


async def test_a_refusal_over_two_slots_tells_of_the_rule_that_refused(store: RedisStore) -> None:
    for _ in range(5):
        await store.spend([DAILY, SMALL], ["{x}wide", "{y}small"], 1)
    refused = await store.spend([DAILY, SMALL], ["{x}wide", "{y}small"], 1)
    assert (refused.allowed, refused.rule, refused.remaining) == (False, SMALL, 0)


def port_of(client: Client, key: str) -> int:
    assert isinstance(client, RedisCluster)
    node = client.get_node_from_key(key)
    assert node is not None
    return int(node.port)


async def test_a_master_that_hangs_holds_up_its_own_slots_alone(
    cluster: Cluster, client: Client, owner: TaskOwner
) -> None:
    store = new_store(client, owner, timeout=0.2)
    keys = [f"{{{number}}}h" for number in range(30)]
    ports = {key: port_of(client, key) for key in keys}
    hanging = next(
        place for place, node in enumerate(cluster.nodes) if node.endswith(f":{ports[keys[0]]}")
    )
    cluster.processes[hanging].send_signal(signal.SIGSTOP)
    try:
        answers = await asyncio.gather(
            *(store.spend([DAILY], [key], 1) for key in keys), return_exceptions=True
        )
    finally:
        cluster.processes[hanging].send_signal(signal.SIGCONT)
    port = int(cluster.nodes[hanging].rpartition(":")[2])
    for key, answer in zip(keys, answers, strict=True):
        expected = StoreUnavailable if ports[key] == port else Decision
        assert isinstance(answer, expected)


async def test_a_script_that_one_master_forgot_is_sent_again(
    store: RedisStore, client: Client
) -> None:
    await store.spend([DAILY], ["{a}"], 1)
    await client.execute_command("SCRIPT FLUSH", target_nodes=RedisCluster.PRIMARIES)
    assert (await store.spend([DAILY], ["{a}"], 1)).remaining == 58


async def test_a_check_that_only_a_part_found_room_for_spends_nothing(
    client: Client, owner: TaskOwner
) -> None:
    store = RedisStore(client, timeout=5, max_queue=1)
    full = store.spend([DAILY], ["{full}"], 1)
    names = (f"{{{number}}}" for number in range(100))
    other = next(one for one in names if store._owner_of(one) != store._owner_of("{full}"))
    with pytest.raises(StoreUnavailable):
        store.spend([SMALL, SMALL], [other, "{full}"], 1)
    store.start(owner)
    await full
    assert (await store.spend([SMALL], [other], 1)).remaining == 4
