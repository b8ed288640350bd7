"""Services as a worker sees them: instances in use, their breakers, balancer and retry budget.

They outlive the snapshot they came with: an instance that stays keeps what is in flight and what
its breaker and its health check know, whatever else an edit changed. Pure policy is in
``balancing``, ``breaker`` and ``retry``; here they are put together and asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import partial
from random import Random

from proxying import affinity, metrics
from proxying.attempt import Attempt, Permits
from proxying.balancing import Balancer, InstanceState
from proxying.breaker import Breaker, Outcome, Permit, State
from proxying.errors import BreakerOpen, NoInstance
from proxying.exchange import Exchange
from proxying.overload import Gate
from proxying.retry import RetryBudget, RetryPolicy
from proxying.upstream.base import Origin
from routing.plans import InstancePlan, ServicePlan

Clock = Callable[[], float]

_LONGEST_RETRY_AFTER = 3600.0
"""Seconds a client is told to wait at most: a breaker may be forced open for good."""


class Instance:
    """One address of a service: where it is, what runs there, and whether it may be asked."""

    __slots__ = ("_clock", "breaker", "judges", "mark", "most", "origin", "service", "state", "url")

    def __init__(
        self,
        state: InstanceState,
        plan: InstancePlan,
        breaker: Breaker | None,
        most: int,
        clock: Clock,
        of_service: Breaker | None = None,
    ) -> None:
        self.state = state
        self.service = state.service
        self.url = plan.url
        self.origin = Origin.of(plan)
        self.mark = affinity.mark(self.service, self.url)
        self.breaker = breaker
        self.judges = tuple(one for one in (breaker, of_service) if one is not None)
        """The breakers that count what happens at it: its own, and its service's."""
        self.most = most if state.limit is None else state.limit.limit
        """Requests at once."""
        self._clock = clock

    def allows(self, now: float) -> bool:
        """Whether the breaker lets a request through."""
        return self.breaker is None or self.breaker.allows(now)

    def is_forced_open(self, now: float) -> bool:
        """Whether an operator keeps requests from it."""
        return self.breaker is not None and self.breaker.forced_open(now)

    @property
    def is_out(self) -> bool:
        """Whether its health check or its breaker keeps requests from it."""
        open_ = self.breaker is not None and self.breaker.state is not State.CLOSED
        return open_ or not self.state.healthy

    def settle(self, breaker: Breaker, permit: Permit, outcome: Outcome, seconds: float) -> None:
        """Tell *breaker* how an attempt went."""
        closed_before = breaker.state is State.CLOSED
        breaker.release(permit, outcome, self._clock(), seconds)
        if breaker is self.breaker and not closed_before and breaker.state is State.CLOSED:
            self.state.ramps_from = self._clock()

    def adapt(self, seconds: float, dropped: bool) -> None:
        """Where it is found out how many requests it takes: learn from one that took *seconds*."""
        limit = self.state.limit
        if limit is not None and limit.note(seconds, self.state.in_flight, dropped, self._clock()):
            self.most = limit.limit
            metrics.CONCURRENCY_LIMIT.labels(self.service, self.url).set(self.most)

    def retract(self, breaker: Breaker) -> None:
        """Tell *breaker* of a failure that showed only after its attempt was settled."""
        breaker.retract(self._clock())


class Upstream:
    """One service of one revision, over instances that may be shared with the last revision.

    *breaker* is the one of the service as a whole.
    """

    __slots__ = (
        "_balancer",
        "_by_state",
        "_hash_key",
        "_random",
        "_slow_start",
        "_use_all",
        "breaker",
        "budget",
        "gate",
        "instances",
        "name",
        "retry",
        "sticky_cookie",
    )

    def __init__(
        self,
        plan: ServicePlan,
        instances: Collection[Instance],
        breaker: Breaker | None,
        budget: RetryBudget,
        gate: Gate,
        random: Random,
    ) -> None:
        self.name = plan.name
        self.instances = tuple(instances)
        self.breaker = breaker
        self.retry = RetryPolicy.of(plan.spec.retry)
        self.budget = budget
        self.gate = gate
        self.sticky_cookie = plan.spec.sticky_cookie
        self._by_state = {instance.state: instance for instance in instances}
        self._balancer = Balancer(plan.spec.balancer)
        self._hash_key = affinity.hash_key(plan.spec.hash_by)
        self._slow_start = plan.spec.slow_start
        self._use_all = plan.spec.ejection.when_all == "use_all"
        self._random = random
        self._bound_ejection(plan.spec.ejection.max_share)

    @property
    def is_out(self) -> bool:
        """Whether the breaker of the service as a whole keeps requests from it, or a queue: it is
        served in order, so nobody is to pass it by.
        """
        return bool(self.gate.queued) or (
            self.breaker is not None and self.breaker.state is not State.CLOSED
        )

    def begin(self, exchange: Exchange, clock: Clock) -> Attempt | None:
        """The first attempt; ``None``: it has to :meth:`wait`.

        Raises ``NoInstance`` or ``BreakerOpen``.
        """
        return None if self.gate.queued else self._begin_or_refuse(exchange, clock)

    async def wait(self, exchange: Exchange, clock: Clock) -> Attempt:
        """The first attempt, when its turn has come.

        Raises ``NoInstance``, ``BreakerOpen`` or ``Overloaded``.
        """
        return await self.gate.wait(partial(self._begin_or_refuse, exchange, clock))

    def begin_again(self, exchange: Exchange, tried: Collection[str], now: float) -> Attempt | None:
        """Another attempt, at an instance not tried yet while there is one; ``None``: no more."""
        return self._pick(exchange, tried, now) or self._pick(exchange, (), now)

    def begin_elsewhere(
        self, exchange: Exchange, tried: Collection[str], now: float
    ) -> Attempt | None:
        """An attempt at an instance not tried yet, if there is one."""
        return self._pick(exchange, tried, now)

    def resume(self, url: str, clock: Clock) -> Attempt | None:
        """An attempt that the fast path began at the instance with this *url*; ``None``: it is not
        to be asked any more.
        """
        now = clock()
        if not self._service_allows(now):
            return None
        for instance in self.instances:
            if instance.url == url and instance.allows(now):
                permits = self._permits(instance, now)
                return None if permits is None else Attempt(instance, permits, self.gate)
        return None

    def has_another(self, tried: Collection[str], now: float) -> bool:
        """Whether an instance may be asked that was not tried yet."""
        return any(
            each.url not in tried and each.state.healthy and each.allows(now)
            for each in self.instances
        )

    def _begin_or_refuse(self, exchange: Exchange, clock: Clock) -> Attempt | None:
        """``None``: there is an instance, and no place for one more request."""
        now = clock()
        if self.gate.has_room and (attempt := self._pick(exchange, (), now)) is not None:
            return attempt
        if not self.instances:
            raise NoInstance(f"service {self.name} has no instance in use")
        well = [each for each in self.instances if each.state.healthy or self._all_unhealthy()]
        if not well:
            raise NoInstance(f"no instance of service {self.name} is well")
        allowed = any(each.allows(now) for each in well) or self._all_are_out(now)
        if not allowed or not self._service_allows(now):
            raise BreakerOpen(self.name, self._retry_after(now))
        return None

    def _pick(self, exchange: Exchange, tried: Collection[str], now: float) -> Attempt | None:
        if not self._service_allows(now):
            return None
        everyone = self._all_unhealthy()
        candidates = [
            each.state
            for each in self.instances
            if (each.state.healthy or everyone)
            and each.url not in tried
            and each.state.load < each.most
            and (each.breaker is None or each.breaker.allows(now))
        ]
        panics = not candidates and self._all_are_out(now)
        if panics:
            candidates = [each.state for each in self._last_resort(now) if each.url not in tried]
        if self._slow_start:
            for state in candidates:
                state.ramp(now, self._slow_start)
        chosen = self._kept(exchange, candidates) or self._balancer.select_instance(
            candidates, self._hash_key(exchange), self._random
        )
        if chosen is None:
            return None
        instance = self._by_state[chosen]
        permits = self._permits(instance, now)
        if permits is None:
            if not panics:
                return self._pick(exchange, tried, now)
            permits = ()
        return Attempt(instance, permits, self.gate)

    def _kept(self, exchange: Exchange, candidates: list[InstanceState]) -> InstanceState | None:
        """The candidate that the client's sticky cookie names."""
        if not self.sticky_cookie:
            return None
        wanted = affinity.cookie(exchange.headers, self.sticky_cookie.encode("ascii"))
        return next((one for one in candidates if self._by_state[one].mark == wanted), None)

    def _permits(self, instance: Instance, now: float) -> Permits | None:
        """Of the breakers that have just said they allow it; ``None`` when another worker is trying
        one of them: it has stopped to say so.
        """
        permits: Permits = ()
        for breaker in (instance.breaker, self.breaker):
            if breaker is None:
                continue
            permit = breaker.acquire(now)
            if permit is None:
                for held, given in permits:
                    held.release(given, Outcome.IGNORED, now)
                return None
            permits = (*permits, (breaker, permit))
        return permits

    def _all_unhealthy(self) -> bool:
        """Whether verdicts are passed over, because they leave nobody and that is configured."""
        return self._use_all and not any(each.state.healthy for each in self.instances)

    def _all_are_out(self, now: float) -> bool:
        """Whether checks and breakers leave nobody, and all are to be used all the same."""
        return (
            self._use_all
            and not any(each.state.healthy and each.allows(now) for each in self.instances)
            and any(not each.is_forced_open(now) for each in self.instances)
        )

    def _last_resort(self, now: float) -> list[Instance]:
        return [
            each
            for each in self.instances
            if each.state.load < each.most and not each.is_forced_open(now)
        ]

    def _service_allows(self, now: float) -> bool:
        return self.breaker is None or self.breaker.allows(now)

    def _retry_after(self, now: float) -> int:
        if not self._service_allows(now) and self.breaker is not None:
            waits = [self.breaker.retry_after(now)]
        else:
            waits = [each.breaker.retry_after(now) for each in self.instances if each.breaker]
        return math.ceil(min(*waits, _LONGEST_RETRY_AFTER) if waits else 0.0)

    def _bound_ejection(self, share: float) -> None:
        """Let breakers open only while no more than *share* of the instances is out."""
        # A share of 0.3 of 10 is 3, whatever binary fractions say.
        most = math.floor(share * len(self.instances) + 1e-9)
        for instance in self.instances:
            if instance.breaker is not None:
                instance.breaker.may_open = None if share >= 1 else partial(self._may_eject, most)

    def _may_eject(self, most: int) -> bool:
        return sum(each.is_out for each in self.instances) < most
