"""Breakers, balancer, health checks and overload together, through a day of random faults.

A machine publishes, fails, heals, forces and cancels at random; after every step what must never
be is looked for: a count below zero, a request to an instance whose breaker is open, more trial
requests than configured, more instances left out than allowed, an instance stuck for ever.
"""

from __future__ import annotations

import asyncio
import math
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from proxying.attempt import Attempt
from proxying.breaker import Breaker, Outcome, State
from proxying.breakers import Breakers
from proxying.errors import ProxyError
from proxying.overload import Gate
from proxying.services import Upstreams
from routing.document import BreakerSpec, EjectionSpec, HealthCheckSpec, OverloadSpec
from tests.proxying.plans import URLS, Clock, exchange, service

TRIALS = 2
ROOM = 3
SHARE = 0.5
SPEC = BreakerSpec(failure_threshold=2, recovery=30, half_open_requests=TRIALS, slow_seconds=5)
SIZES = st.integers(1, 6)
BALANCERS = ("round_robin", "least_connections", "weighted", "random", "consistent_hash")


class Day(RuleBasedStateMachine):
    """One worker. ``held`` are the requests under way, the clock moves as the rules say."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.breakers = Breakers()
        self.services = Upstreams(self.breakers, random=Random(3), clock=self.clock)
        self.held: list[Attempt] = []
        self.unwell: frozenset[str] = frozenset()
        self.publish(3, "round_robin", 0.0)

    def teardown(self) -> None:
        for attempt in self.held:
            attempt.close()
        assert all(state.in_flight == 0 for state in self.services.states.values())
        assert self.gate.in_flight == 0
        self.loop.close()

    @property
    def gate(self) -> Gate:
        return self.services.gates["s"]

    def instance_breakers(self) -> dict[str, Breaker]:
        return {url: breaker for (_, url), breaker in self.breakers}

    @rule(size=SIZES, balancer=st.sampled_from(BALANCERS), slow_start=st.sampled_from([0.0, 60.0]))
    def publish(self, size: int, balancer: str, slow_start: float) -> None:
        plans = service(
            size,
            balancer=balancer,
            slow_start=slow_start,
            breaker=SPEC,
            health_check=HealthCheckSpec(),
            ejection=EjectionSpec(max_share=SHARE),
            overload=OverloadSpec(max_requests_per_instance=ROOM, max_queued=0),
        )
        self.upstream = self.services.adopt(plans)["s"]

    @rule(seconds=st.floats(0, 3600))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(which=st.frozensets(st.sampled_from(URLS[:6])))
    def check(self, which: frozenset[str]) -> None:
        self.unwell = which
        self.services.judge(frozenset(("s", url) for url in which))

    @rule(client=st.integers(0, 5))
    def begin(self, client: int) -> None:
        before = {
            url: each.allows(self.clock.now) for url, each in self.instance_breakers().items()
        }
        asked = exchange(client=f"192.0.2.{client}")
        try:
            attempt = self.upstream.begin(asked, self.clock)
            if attempt is None:
                attempt = self.loop.run_until_complete(self.upstream.wait(asked, self.clock))
        except ProxyError:
            return
        assert before[attempt.instance.url]
        assert attempt.instance.url not in self.unwell
        self.held.append(attempt)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), outcome=st.sampled_from([*Outcome, None]), seconds=st.floats(0, 10))
    def end(self, data: st.DataObject, outcome: Outcome | None, seconds: float) -> None:
        """An answer, a failure, or a client that leaves (``None``)."""
        attempt = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        before = self.left_out()
        if outcome is not None:
            attempt.seconds = seconds
            attempt._settle(lambda _: outcome)
        attempt.close()
        self.ejection_is_bounded(before)

    @precondition(lambda self: self.instance_breakers())
    @rule(data=st.data(), state=st.sampled_from([State.OPEN, State.CLOSED]), ago=st.floats(0, 60))
    def hear(self, data: st.DataObject, state: State, ago: float) -> None:
        """What another worker saw some time ago."""
        url = data.draw(st.sampled_from(sorted(self.instance_breakers())))
        before, breaker = self.left_out(), self.instance_breakers()[url]
        breaker.follow(state, self.clock.now - ago, self.clock.now, "seen")
        self.ejection_is_bounded(before)

    @invariant()
    def counts_are_true(self) -> None:
        for state in self.services.states.values():
            held = sum(each.instance.state is state for each in self.held)
            assert 0 <= state.in_flight == held <= ROOM
        assert self.gate.in_flight == len(self.held)

    @invariant()
    def trials_are_bounded(self) -> None:
        for breaker in self.instance_breakers().values():
            assert 0 <= breaker._probes <= TRIALS

    def left_out(self) -> int:
        return sum(each.is_out for each in self.upstream.instances)

    def ejection_is_bounded(self, before: int) -> None:
        """A breaker that opens leaves out no more than the share; what was out may be more."""
        after = self.left_out()
        assert after <= max(before, math.floor(SHARE * len(self.upstream.instances)))

    @invariant()
    def nothing_is_stuck(self) -> None:
        """Every instance that is well may be asked again once its recovery is over."""
        later = self.clock.now + SPEC.recovery
        for breaker in self.instance_breakers().values():
            assert breaker.allows(later) or breaker._probes > 0


Day.TestCase.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
TestADayOfFaults = Day.TestCase
