"""Every service of the current revision; what stays in use is handed on to the next revision.

In-flight counts, slow starts, health, budgets and queues belong to a service or an instance, not to
a revision: publishing one service leaves all of another's as it was. Leans on
``proxying.upstreams``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from random import Random

from proxying import metrics
from proxying.adaptive import AdaptiveLimit
from proxying.balancing import InstanceState
from proxying.breaker import Breaker
from proxying.breakers import Breakers, Key
from proxying.overload import Gate
from proxying.retry import RetryBudget
from proxying.upstreams import Clock, Instance, Upstream
from routing.document import BreakerSpec, OverloadSpec
from routing.plans import InstancePlan, ServicePlan

Used = Mapping[str, list[InstancePlan]]


class Upstreams:
    """Makes the :class:`Upstream` of each service of a revision."""

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
        self._states: dict[Key, InstanceState] = {}
        self._budgets: dict[str, tuple[float, RetryBudget]] = {}
        self._gates: dict[str, Gate] = {}
        self._made: dict[str, tuple[ServicePlan, Upstream]] = {}
        self._unhealthy: frozenset[Key] = frozenset()
        self._checked: frozenset[str] = frozenset()
        self.changed: Callable[[], None] | None = None
        """Told when other instances may be asked than before."""

    def adopt(self, services: Mapping[str, ServicePlan]) -> dict[str, Upstream]:
        """The services of a new revision, by name; those with a fault are left out."""
        usable = {name: plan for name, plan in services.items() if not plan.fault}
        used = {name: instances_in_use(plan) for name, plan in usable.items()}
        if self._breakers is not None:
            self._breakers.update(_wanted_breakers(usable, used))
        self._checked = frozenset(name for name, plan in usable.items() if plan.spec.health_check)
        self._keep_states(used)
        self.judge(self._unhealthy)
        self._keep_budgets(usable)
        self._gates = {name: self._gate(plan) for name, plan in usable.items()}
        made = {name: (plan, self._upstream(plan, used[name])) for name, plan in usable.items()}
        self._made = made
        return {name: upstream for name, (_, upstream) in made.items()}

    def judge(self, unhealthy: frozenset[Key]) -> None:
        """Take over the verdicts of the health checks: exactly these instances are not well.

        An instance that has become well begins with a slow start.
        """
        self._unhealthy = unhealthy
        for key, state in self._states.items():
            healthy = key not in unhealthy or key[0] not in self._checked
            if healthy and not state.healthy:
                state.ramps_from = self._clock()
            state.healthy = healthy
        self.tell()

    def tell(self) -> None:
        """Tell whoever wants to know that other instances may be asked than before."""
        if self.changed is not None:
            self.changed()

    @property
    def states(self) -> Mapping[Key, InstanceState]:
        """Every instance in use."""
        return self._states

    @property
    def gates(self) -> Mapping[str, Gate]:
        """The queue of each service."""
        return self._gates

    def _upstream(self, plan: ServicePlan, used: list[InstancePlan]) -> Upstream:
        """The one there is already, where the revision has the same plan: what it leans on was
        kept, then.
        """
        known = self._made.get(plan.name)
        if known is not None and known[0] is plan:
            return known[1]
        return Upstream(
            plan,
            [self._instance(plan, each) for each in used],
            self._breaker(plan.name),
            self._budgets[plan.name][1],
            self._gates[plan.name],
            self._random,
        )

    def _instance(self, service: ServicePlan, plan: InstancePlan) -> Instance:
        state = self._states[service.name, plan.url]
        _adapt(state, service.spec.overload)
        most = service.spec.overload.max_requests_per_instance
        own, shared = self._breaker(service.name, plan.url), self._breaker(service.name)
        return Instance(state, plan, own, most, self._clock, shared)

    def _breaker(self, service: str, instance: str = "") -> Breaker | None:
        return self._breakers.get(service, instance) if self._breakers is not None else None

    def _keep_states(self, used: Used) -> None:
        running = {service for service, _ in self._states}
        kept: dict[Key, InstanceState] = {}
        for service, plans in used.items():
            for plan in plans:
                state = self._states.get((service, plan.url))
                if state is None:
                    state = InstanceState(service, plan.url)
                    # With a service everything begins at once: nobody is slower than the others.
                    state.ramps_from = self._clock() if service in running else None
                state.weight = state.full_weight = plan.weight
                kept[service, plan.url] = state
        for key in self._states.keys() - kept.keys():
            _forget_limit(self._states[key])
        self._states = kept

    def _keep_budgets(self, services: Mapping[str, ServicePlan]) -> None:
        kept: dict[str, tuple[float, RetryBudget]] = {}
        for name, plan in services.items():
            ratio = plan.spec.retry.budget
            old = self._budgets.get(name)
            kept[name] = old if old and old[0] == ratio else (ratio, RetryBudget(ratio))
        self._budgets = kept

    def _gate(self, plan: ServicePlan) -> Gate:
        gate = self._gates.get(plan.name) or Gate(plan.name, plan.spec.overload)
        gate.spec = plan.spec.overload
        gate.queue_began = self.tell
        return gate


def _adapt(state: InstanceState, spec: OverloadSpec) -> None:
    """Keep what was found out about an instance, under the bounds of *spec*."""
    if not spec.adaptive:
        _forget_limit(state)
    elif state.limit is None:
        state.limit = AdaptiveLimit(spec.max_requests_per_instance, spec.tolerance)
    else:
        state.limit.adjust(spec.max_requests_per_instance, spec.tolerance)


def _forget_limit(state: InstanceState) -> None:
    if state.limit is not None:
        state.limit = None
        metrics.CONCURRENCY_LIMIT.labels(state.service, state.url).set(0)


def instances_in_use(plan: ServicePlan) -> list[InstancePlan]:
    """Those that may get requests: not taken out, and not drained by weight 0."""
    return [each for each in plan.instances if each.healthy and each.weight]


def _wanted_breakers(services: Mapping[str, ServicePlan], used: Used) -> dict[Key, BreakerSpec]:
    wanted: dict[Key, BreakerSpec] = {}
    for name, plan in services.items():
        spec = plan.spec.breaker
        if spec is None:
            continue
        if spec.scope != "instance":
            wanted[name, ""] = spec
        if spec.scope != "service":
            wanted.update({(name, instance.url): spec for instance in used[name]})
    return wanted
