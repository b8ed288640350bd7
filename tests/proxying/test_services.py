"""Which instance of a service is asked: health, breakers, ejection, slow start, ties, room."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from random import Random
from typing import Any

import pytest
from prometheus_client import REGISTRY

from proxying.attempt import Attempt
from proxying.balancing import InstanceState
from proxying.breaker import Breaker, Outcome, State
from proxying.breakers import Breakers
from proxying.errors import BreakerOpen, NoInstance, Overloaded
from proxying.services import Upstreams
from proxying.upstreams import Upstream
from routing.document import (
    BreakerSpec,
    EjectionSpec,
    HealthCheckSpec,
    OverloadSpec,
    ServiceSpec,
)
from routing.table import compile_service
from tests.proxying.plans import URLS, Clock, exchange, service

CHECKED = HealthCheckSpec()


class World:
    """The services of one worker with a clock of the test's."""

    def __init__(self, count: int = 3, **policy: Any) -> None:
        self.clock = Clock()
        self.breakers = Breakers()
        self.services = Upstreams(self.breakers, random=Random(7), clock=self.clock)
        self.publish(count, **policy)

    def publish(self, count: int = 3, **policy: Any) -> None:
        self.upstream: Upstream = self.services.adopt(service(count, **policy))["s"]

    def unwell(self, *urls: str) -> None:
        self.services.judge(frozenset(("s", url) for url in urls))

    async def begin(self, *headers: tuple[bytes, bytes], client: str = "192.0.2.1") -> Attempt:
        asked = exchange(*headers, client=client)
        return self.upstream.begin(asked, self.clock) or await self.upstream.wait(asked, self.clock)

    async def counts(self, times: int) -> Counter[str]:
        """How often each instance is asked in *times* requests one after the other."""
        found: Counter[str] = Counter()
        for _ in range(times):
            attempt = await self.begin()
            found[attempt.instance.url] += 1
            attempt.close()
        return found

    def breaker(self, url: str) -> Breaker:
        breaker = self.breakers.get("s", url)
        assert breaker is not None
        return breaker

    def open(self, url: str) -> State:
        """Fail at one instance until its breaker opens, if it may."""
        breaker = self.breaker(url)
        for _ in range(breaker.spec.failure_threshold):
            if permit := breaker.acquire(self.clock.now):
                breaker.release(permit, Outcome.FAILURE, self.clock.now)
        return breaker.state

    def state(self, url: str) -> InstanceState:
        return self.services.states["s", url]


async def test_an_unwell_instance_gets_nothing_and_comes_back() -> None:
    world = World(health_check=CHECKED)
    world.unwell(URLS[0])
    assert set(await world.counts(10)) == {URLS[1], URLS[2]}
    world.unwell()
    assert set(await world.counts(10)) == set(URLS[:3])


async def test_a_verdict_outlives_a_publish_of_the_service() -> None:
    world = World(health_check=CHECKED)
    world.unwell(URLS[0])
    world.publish(2, health_check=CHECKED, balancer="random")
    assert set(await world.counts(10)) == {URLS[1]}


async def test_a_publish_of_one_service_leaves_the_others_as_they_are() -> None:
    services = Upstreams(Breakers(), clock=Clock())
    plans = {name: compile_service(name, ServiceSpec()) for name in "abc"}
    before = services.adopt(plans)
    changed = compile_service("b", ServiceSpec(hash_by="ip"))
    after = services.adopt({"a": plans["a"], "b": changed})
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]
    assert services.adopt(plans)["c"] is not before["c"]


async def test_without_a_check_no_verdict_is_believed() -> None:
    world = World(health_check=CHECKED)
    world.unwell(*URLS[:3])
    world.publish()
    assert len(await world.counts(10)) == 3


async def test_no_instance_well_is_503_or_all_of_them() -> None:
    world = World(health_check=CHECKED)
    world.unwell(*URLS[:3])
    with pytest.raises(NoInstance):
        await world.begin()
    world.publish(health_check=CHECKED, ejection=EjectionSpec(when_all="use_all"))
    assert len(await world.counts(9)) == 3


async def test_breakers_leave_out_no_more_than_the_share() -> None:
    world = World(10, ejection=EjectionSpec(max_share=0.3))
    states = [world.open(url) for url in URLS]
    assert states.count(State.OPEN) == 3


async def test_all_breakers_open_is_a_503_that_says_when() -> None:
    world = World(breaker=BreakerSpec(recovery=7))
    for url in URLS[:3]:
        world.open(url)
    with pytest.raises(BreakerOpen) as refused:
        await world.begin()
    assert refused.value.retry_after == 7


async def test_breakers_forced_open_for_good_ask_for_an_hour() -> None:
    world = World(1)
    world.breaker(URLS[0]).force(State.OPEN, math.inf, "forced")
    with pytest.raises(BreakerOpen) as refused:
        await world.begin()
    assert refused.value.retry_after == 3600


async def test_a_breaker_of_the_service_counts_all_instances() -> None:
    world = World(breaker=BreakerSpec(scope="service", failure_threshold=4, recovery=5))
    world.open("")
    assert world.breakers.get("s", URLS[0]) is None
    with pytest.raises(BreakerOpen):
        await world.begin()
    world.clock.now += 5
    probe = await world.begin()
    with pytest.raises(BreakerOpen):
        await world.begin()
    probe.close()


async def test_a_revived_instance_starts_slowly() -> None:
    world = World(health_check=CHECKED, slow_start=100)
    world.unwell(URLS[0])
    world.unwell()
    early = await world.counts(210)
    world.clock.now += 50
    midway = await world.counts(250)
    world.clock.now += 60
    late = await world.counts(300)
    assert (early[URLS[0]], midway[URLS[0]], late[URLS[0]]) == (10, 50, 100)


async def test_a_new_instance_starts_slowly_but_not_a_new_service() -> None:
    world = World(2, slow_start=100)
    assert (await world.counts(10))[URLS[0]] == 5
    world.publish(3, slow_start=100)
    assert (await world.counts(210))[URLS[2]] == 10


async def test_in_flight_is_given_back_however_it_ends() -> None:
    world = World(1)
    attempt = await world.begin()
    assert (world.state(URLS[0]).in_flight, world.upstream.gate.in_flight) == (1, 1)
    attempt.close()
    attempt.close()
    assert (world.state(URLS[0]).in_flight, world.upstream.gate.in_flight) == (0, 0)


async def test_a_sticky_cookie_is_followed_while_its_instance_may_be_asked() -> None:
    world = World(sticky_cookie="stay", health_check=CHECKED)
    mark = world.upstream.instances[1].mark
    cookie = (b"cookie", b"a=1; stay=" + mark)
    for _ in range(5):
        assert (await world.begin(cookie)).instance.url == URLS[1]
    world.unwell(URLS[1])
    assert (await world.begin(cookie)).instance.url != URLS[1]


@pytest.mark.parametrize(
    ("hash_by", "header"),
    [("header:X-Tenant", (b"x-tenant", b"acme")), ("cookie:tenant", (b"cookie", b"tenant=acme"))],
)
async def test_consistent_hash_keeps_together_what_it_is_told(
    hash_by: str, header: tuple[bytes, bytes]
) -> None:
    world = World(10, balancer="consistent_hash", hash_by=hash_by)
    urls = set()
    for number in range(10):
        attempt = await world.begin(header, client=f"192.0.2.{number}")
        urls.add(attempt.instance.url)
        attempt.close()
    assert len(urls) == 1


async def test_one_hot_key_spills_over_when_its_instance_is_loaded() -> None:
    world = World(4, balancer="consistent_hash", hash_by="ip")
    held = [await world.begin() for _ in range(40)]
    loads = Counter(each.instance.url for each in held)
    assert max(loads.values()) <= 14
    assert len(loads) == 4


OVERLOAD = OverloadSpec(max_requests_per_instance=1, max_queued=1, queue_timeout=0.05)


async def test_who_waits_is_served_before_who_comes_later() -> None:
    world = World(1, overload=OVERLOAD)
    first = await world.begin()
    waiting = asyncio.create_task(world.begin())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await world.begin()
    first.close()
    assert not waiting.done()
    (await waiting).close()
    assert (world.upstream.gate.in_flight, world.upstream.gate.queued) == (0, 0)


async def test_who_waits_too_long_is_refused_and_holds_nothing() -> None:
    world = World(1, overload=OVERLOAD)
    first = await world.begin()
    with pytest.raises(Overloaded):
        await world.begin()
    first.close()
    assert (world.upstream.gate.in_flight, world.upstream.gate.queued) == (0, 0)


async def test_a_turn_that_comes_as_its_request_is_cancelled_is_given_back() -> None:
    world = World(1, overload=OVERLOAD)
    first = await world.begin()
    waiting = asyncio.create_task(world.begin())
    await asyncio.sleep(0)
    first.close()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert world.state(URLS[0]).in_flight == 0


async def test_the_service_as_a_whole_has_a_bound_of_its_own() -> None:
    world = World(3, overload=OverloadSpec(max_requests=2, max_queued=0))
    held = [await world.begin(), await world.begin()]
    with pytest.raises(Overloaded):
        await world.begin()
    for each in held:
        each.close()


async def test_what_waits_is_refused_when_nobody_is_left() -> None:
    world = World(1, overload=OVERLOAD, health_check=CHECKED)
    first = await world.begin()
    waiting = asyncio.create_task(world.begin())
    await asyncio.sleep(0)
    world.unwell(URLS[0])
    first.close()
    with pytest.raises(NoInstance):
        await waiting


async def test_an_adaptive_limit_outlives_a_publish_and_ends_with_its_setting() -> None:
    adaptive = OverloadSpec(max_requests_per_instance=100, max_queued=0, adaptive=True)
    world = World(1, overload=adaptive)
    first = world.upstream.instances[0].most
    for _ in range(60):
        world.clock.now += 0.05
        world.upstream.instances[0].adapt(0.01, dropped=True)
    found = world.upstream.instances[0].most
    assert found < first < 100
    assert shown_limit() == found
    world.publish(2, overload=adaptive)
    assert [each.most for each in world.upstream.instances] == [found, first]
    held = [await world.begin() for _ in range(found + first)]
    with pytest.raises(Overloaded):
        await world.begin()
    for attempt in held:
        attempt.close()
    world.publish(1, overload=OverloadSpec(max_requests_per_instance=100))
    assert world.upstream.instances[0].most == 100
    assert shown_limit() == 0


async def test_an_instance_that_is_gone_shows_no_limit() -> None:
    world = World(1, overload=OverloadSpec(max_requests_per_instance=100, adaptive=True))
    gone = world.upstream.instances[0]
    world.publish(0)
    for _ in range(60):
        world.clock.now += 0.05
        gone.adapt(0.01, dropped=True)
    assert shown_limit() == 0


def shown_limit() -> float:
    labels = {"service": "s", "instance": URLS[0]}
    return REGISTRY.get_sample_value("gateway_concurrency_limit", labels) or 0.0


async def test_when_breakers_leave_nobody_all_are_used_if_so_configured() -> None:
    world = World(3, breaker=BreakerSpec(), ejection=EjectionSpec(when_all="use_all"))
    assert {world.open(url) for url in URLS[:3]} == {State.OPEN}
    assert await world.counts(9) == dict.fromkeys(URLS[:3], 3)
    assert {world.breaker(url).state for url in URLS[:3]} == {State.OPEN}
    world.breaker(URLS[0]).force(State.OPEN, world.clock.now + 60, "an operator says so")
    assert set(await world.counts(6)) == {URLS[1], URLS[2]}
    for url in URLS[1:3]:
        world.breaker(url).force(State.OPEN, world.clock.now + 60, "an operator says so")
    with pytest.raises(BreakerOpen):
        await world.begin()


async def test_the_last_well_instance_with_an_open_breaker_does_not_shut_out_the_unwell() -> None:
    ejection = EjectionSpec(when_all="use_all")
    world = World(2, breaker=BreakerSpec(), health_check=CHECKED, ejection=ejection)
    world.unwell(URLS[0])
    world.open(URLS[1])
    assert set(await world.counts(4)) == {URLS[0], URLS[1]}
    world.breaker(URLS[1]).reset("test")
    assert set(await world.counts(4)) == {URLS[1]}
