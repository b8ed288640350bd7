"""What the engine served, counted as if it had been served here: metrics, breakers, uses of keys.

``native/src/ledger.rs`` is the other side of the ledger that is read here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from keys.caller import Caller
from proxying import metrics
from proxying.fastpath.messages import Reader
from proxying.snapshot import Plan
from proxying.upstreams import Instance, Upstream
from quotas.bucket import Decision, Rule
from quotas.meter import Meter
from routing.plans import RoutePlan

_CLASSES = range(1, 6)
_ALLOWED = Decision(True, 0, 0, 0, 0, None)


@dataclass(frozen=True, slots=True)
class Grant:
    """Whom requests are counted for. ``rule`` is one of the limits, if there are any."""

    plan: Plan
    caller: Caller | None
    client: str
    rule: Rule | None


@dataclass(slots=True)
class Books:
    """What the numbers in the ledger stand for, and where its counts go."""

    meter: Meter | None
    note_use: Callable[[int], None]
    plans: dict[int, RoutePlan] = field(default_factory=dict)
    grants: dict[int, Grant] = field(default_factory=dict)
    past: dict[int, Grant] = field(default_factory=dict)
    """Grants that are no longer given, until what they served is counted."""
    instances: dict[int, Instance] = field(default_factory=dict)
    upstreams: dict[str, Upstream] = field(default_factory=dict)
    in_flight: int = 0

    def enter(self, ledger: bytes, *, whole: bool) -> bytes:
        """Count everything in *ledger*; the lines of the request log that are in it."""
        read = Reader(ledger)
        in_flight, dropped = read.numbers("QQ")
        metrics.in_flight.level += in_flight - self.in_flight
        self.in_flight = in_flight
        if dropped:
            metrics.DROPPED.labels("fast path log").inc(dropped)
        for _ in range(read.number("I")):
            self._count_instance(self.instances.get(read.number("I")), _Counts(read))
        lines = read.blob()
        if whole:
            self._enter_the_rest(read)
        return lines

    def _enter_the_rest(self, read: Reader) -> None:
        for _ in range(read.number("I")):
            self._count_route(self.plans.get(read.number("I")), _Counts(read))
        for _ in range(read.number("I")):
            number, count = read.numbers("IQ")
            grant = self.grants.get(number) or self.past.get(number)
            if grant is not None:
                self._count_caller(grant, count)

    def forget_grants(self) -> None:
        """They are no longer given."""
        self.past, self.grants = self.grants, {}

    def _count_route(self, route: RoutePlan | None, counts: _Counts) -> None:
        if route is None:
            return
        for number, count in counts.classes.items():
            metrics.requests_child(route.name, route.service.name, "GET", number, "").inc(count)
        metrics.duration_child(route.name).add(counts.buckets, counts.seconds)

    def _count_instance(self, instance: Instance | None, counts: _Counts) -> None:
        if instance is None:
            return
        now = time.monotonic()
        for number, count in counts.classes.items():
            metrics.attempts_child(instance.service, instance.url, f"{number}xx").inc(count)
        metrics.upstream_child(instance.service, instance.url).add(counts.buckets, counts.seconds)
        upstream = self.upstreams.get(instance.service)
        if upstream is not None:
            upstream.budget.note_request(now, sum(counts.classes.values()))
        if counts.successes:
            for breaker in instance.judges:
                breaker.note_successes(counts.successes, counts.slow, now)

    def _count_caller(self, grant: Grant, count: int) -> None:
        caller = grant.caller
        if caller is not None:
            metrics.authentications_child("ok").inc(count)
            if caller.key_id is not None:
                self.note_use(caller.key_id)
        if grant.rule is not None and self.meter is not None:
            self.meter.count(grant.plan.limits, caller, grant.client, _ALLOWED, count)


class _Counts:
    """Requests by status class, their durations by bucket and in all, and what breakers count."""

    __slots__ = ("buckets", "classes", "seconds", "slow", "successes")

    def __init__(self, read: Reader) -> None:
        by_class = read.numbers("6Q")
        self.classes: Mapping[int, int] = {
            number: by_class[number] for number in _CLASSES if by_class[number]
        }
        self.seconds = read.seconds()
        self.buckets = read.numbers(f"{len(metrics.BUCKETS) + 1}Q")
        self.successes, self.slow = read.numbers("QQ")
