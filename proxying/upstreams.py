"""Services as a worker sees them: instances in use, their breakers, balancer and retry budget.

They outlive the snapshot they came with: an instance that stays keeps what is in flight and what
its breaker knows, whatever else an edit changed. Pure policy is in ``balancing``, ``breaker`` and
``retry``; here they are put together and asked.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from random import Random

from proxying.attempt import Attempt
from proxying.balancing import Balancer, InstanceState
from proxying.breaker import Breaker, Outcome, Permit
from proxying.breakers import Breakers
from proxying.errors import BreakerOpen, NoInstance
from proxying.exchange import Exchange
from proxying.retry import RetryBudget, RetryPolicy
from proxying.upstream.base import Origin
from routing.document import BreakerSpec
from routing.plans import InstancePlan, ServicePlan

Clock = Callable[[], float]


class Instance:
    """One address of a service: where it is, what runs there, and whether it may be asked."""

    __slots__ = ("_clock", "breaker", "origin", "service", "state", "url")

    def __init__(self, state: InstanceState, plan: InstancePlan, clock: Clock) -> None:
        address = plan.address
        self.state = state
        self.service = state.service
        self.url = plan.url
        self.origin = Origin(address.scheme, address.host, address.port, address.authority)
        self.breaker: Breaker | None = None
        self._clock = clock

    def allows(self, now: float) -> bool:
        """Whether the breaker lets a request through."""
        return self.breaker is None or self.breaker.allows(now)

    def begin(self, now: float) -> Attempt:
        """An attempt at this instance; only where :meth:`allows` has just said so."""
        return Attempt(self, self.breaker.acquire(now) if self.breaker is not None else None)

    def settle(self, permit: Permit, outcome: Outcome) -> None:
        """Tell the breaker how an attempt went."""
        if self.breaker is not None:
            self.breaker.release(permit, outcome, self._clock())

    def note_failure(self) -> None:
        """Count a failure that showed only after its attempt was settled."""
        if self.breaker is not None and (permit := self.breaker.acquire(self._clock())):
            self.breaker.release(permit, Outcome.FAILURE, self._clock())


class Upstream:
    """One service of one revision, over instances that may be shared with the last revision."""

    __slots__ = ("_balancer", "_by_state", "_random", "budget", "instances", "name", "retry")

    def __init__(
        self,
        plan: ServicePlan,
        instances: Collection[Instance],
        budget: RetryBudget,
        random: Random,
    ) -> None:
        self.name = plan.name
        self.instances = tuple(instances)
        self.retry = RetryPolicy.of(plan.spec.retry)
        self.budget = budget
        self._by_state = {instance.state: instance for instance in instances}
        self._balancer = Balancer(plan.spec.balancer)
        self._random = random

    def begin(self, exchange: Exchange, now: float) -> Attempt:
        """The first attempt; raises ``NoInstance`` or ``BreakerOpen``."""
        if not self.instances:
            raise NoInstance(f"service {self.name} has no instance in use")
        attempt = self._pick(exchange, (), now)
        if attempt is None:
            raise BreakerOpen(self.name, self._retry_after(now))
        return attempt

    def begin_again(self, exchange: Exchange, tried: Collection[str], now: float) -> Attempt | None:
        """Another attempt, at an instance not tried yet while there is one; ``None``: no more."""
        return self._pick(exchange, tried, now) or self._pick(exchange, (), now)

    def has_another(self, tried: Collection[str], now: float) -> bool:
        """Whether an instance may be asked that was not tried yet."""
        return any(each.url not in tried and each.allows(now) for each in self.instances)

    def _pick(self, exchange: Exchange, tried: Collection[str], now: float) -> Attempt | None:
        candidates = [
            instance.state
            for instance in self.instances
            if instance.url not in tried and instance.allows(now)
        ]
        chosen = self._balancer.pick(candidates, _hash_key(exchange), self._random)
        return self._by_state[chosen].begin(now) if chosen is not None else None

    def _retry_after(self, now: float) -> int:
        waits = [
            instance.breaker.retry_after(now)
            for instance in self.instances
            if instance.breaker is not None
        ]
        return math.ceil(min(waits, default=0.0))


class Upstreams:
    """Every service of the current revision; what stays is handed on to the next."""

    def __init__(
        self,
        breakers: Breakers | None,
        *,
        random: Random | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        self._breakers = breakers
        self._random = random or Random()
        self._clock = clock
        self._states: dict[tuple[str, str], InstanceState] = {}
        self._budgets: dict[str, tuple[float, RetryBudget]] = {}

    def adopt(self, services: Mapping[str, ServicePlan]) -> dict[str, Upstream]:
        """The services of a new revision, by name; those with a fault are left out."""
        usable = {name: plan for name, plan in services.items() if not plan.fault}
        used = {
            name: [each for each in plan.instances if each.healthy and each.weight]
            for name, plan in usable.items()
        }
        if self._breakers is not None:
            self._breakers.update(_wanted_breakers(usable, used))
        self._keep_states(used)
        self._keep_budgets(usable)
        return {
            name: Upstream(
                plan,
                [self._instance(name, each) for each in used[name]],
                self._budgets[name][1],
                self._random,
            )
            for name, plan in usable.items()
        }

    def _instance(self, service: str, plan: InstancePlan) -> Instance:
        instance = Instance(self._states[service, plan.url], plan, self._clock)
        if self._breakers is not None:
            instance.breaker = self._breakers.get(service, plan.url)
        return instance

    def _keep_states(self, used: Mapping[str, list[InstancePlan]]) -> None:
        kept: dict[tuple[str, str], InstanceState] = {}
        for service, plans in used.items():
            for plan in plans:
                state = self._states.get((service, plan.url))
                kept[service, plan.url] = state or InstanceState(service, plan.url)
                kept[service, plan.url].weight = plan.weight
        self._states = kept

    def _keep_budgets(self, services: Mapping[str, ServicePlan]) -> None:
        kept: dict[str, tuple[float, RetryBudget]] = {}
        for name, plan in services.items():
            ratio = plan.spec.retry.budget
            old = self._budgets.get(name)
            kept[name] = old if old and old[0] == ratio else (ratio, RetryBudget(ratio))
        self._budgets = kept


def _wanted_breakers(
    services: Mapping[str, ServicePlan], used: Mapping[str, list[InstancePlan]]
) -> dict[tuple[str, str], BreakerSpec]:
    return {
        (name, instance.url): plan.spec.breaker
        for name, plan in services.items()
        if plan.spec.breaker is not None
        for instance in used[name]
    }


def _hash_key(exchange: Exchange) -> bytes:
    """What ``consistent_hash`` keeps together: the caller, without one the address."""
    return (exchange.caller.identity if exchange.caller else exchange.client).encode()
