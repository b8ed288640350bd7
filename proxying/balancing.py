"""Choose one instance of a service. Pure: chance is handed in, state lives on the instances.

The candidates are those that may be asked (healthy, breaker allows, not yet tried); where they come
from is nobody's business here. Weight 0 gets nothing. Sources: smooth weighted round robin as in
nginx (commit 52327e0), the power of two choices (Mitzenmacher 2001), weighted rendezvous hashing
(Schindelhauer and Schomaker 2005), bounded loads (Mirrokni, Thorup and Zadimoghaddam 2018).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxying.adaptive import AdaptiveLimit
    from routing.document import BalancerName

_LEAST_SHARE = 0.1
"""Of its weight, with which a slow start begins: some requests must come to warm it up."""
_OVERLOAD_FACTOR = 1.25
"""How far above its even share consistent hashing may load an instance."""
_COMPARED_IN_FULL = 8
"""Up to so many instances the least loaded is looked for among all of them."""


class InstanceState:
    """What a worker knows of one instance while it runs.

    ``in_flight`` is counted by whoever sends requests; ``current_weight`` belongs to round robin.
    ``weight`` is what counts now: less than ``full_weight`` during a slow start.
    """

    __slots__ = (
        "current_weight",
        "full_weight",
        "healthy",
        "in_flight",
        "limit",
        "loads",
        "place",
        "ramps_from",
        "seed",
        "service",
        "url",
        "weight",
    )

    def __init__(self, service: str, url: str, weight: int = 1) -> None:
        self.service = service
        self.url = url
        self.weight = float(weight)
        self.full_weight = weight
        self.healthy = True
        """What the health check says; true where nothing checks."""
        self.ramps_from: float | None = None
        """When its slow start began; ``None``: it has its full share."""
        self.in_flight = 0
        self.limit: AdaptiveLimit | None = None
        """How many requests at once it takes, where that is found out."""
        self.loads: memoryview | None = None
        """Requests under way at instances, here and in the fast path, a pair for each."""
        self.place = 0
        """Of this one's pair in it."""
        self.current_weight = 0.0
        self.seed = _hash(url.encode())
        """The same in every worker: all of them send a key to the same instance."""

    def enter(self) -> None:
        """One more request is under way."""
        self.in_flight += 1
        if self.loads is not None:
            self.loads[self.place] = self.in_flight

    def leave(self) -> None:
        """One less."""
        self.in_flight -= 1
        if self.loads is not None:
            self.loads[self.place] = self.in_flight

    @property
    def load(self) -> int:
        """Requests under way, those of the fast path included."""
        if self.loads is None:
            return self.in_flight
        return self.in_flight + int(self.loads[self.place + 1])

    def ramp(self, now: float, seconds: float) -> None:
        """Set ``weight`` for *now*, *seconds* being what a slow start takes."""
        if self.ramps_from is None or now >= self.ramps_from + seconds:
            self.ramps_from = None
            self.weight = float(self.full_weight)
        else:
            share = max(_LEAST_SHARE, (now - self.ramps_from) / seconds)
            self.weight = self.full_weight * share

    def __repr__(self) -> str:
        return f"<InstanceState {self.service} {self.url} in_flight={self.in_flight}>"


Strategy = Callable[[Sequence[InstanceState], bytes, Random], InstanceState]
"""Chooses among candidates (at least two, none of weight 0), for a key, by chance."""


def round_robin(candidates: Sequence[InstanceState], key: bytes, random: Random) -> InstanceState:
    """Smooth weighted round robin: shares by weight, spread evenly instead of in bursts."""
    total = 0.0
    best = candidates[0]
    for instance in candidates:
        instance.current_weight += instance.weight
        total += instance.weight
        if instance.current_weight > best.current_weight:
            best = instance
    best.current_weight -= total
    return best


def least_connections(
    candidates: Sequence[InstanceState], key: bytes, random: Random
) -> InstanceState:
    """The fewest requests in flight for its weight; round robin among equals.

    Of many instances only two, drawn by weight, are compared: nearly as even, and workers that know
    nothing of each other do not all run to the same instance.
    """
    if len(candidates) > _COMPARED_IN_FULL:
        one, other = weighted(candidates, key, random), weighted(candidates, key, random)
        return other if _load(other) < _load(one) else one
    least = min(map(_load, candidates))
    idlest = [instance for instance in candidates if _load(instance) == least]
    return round_robin(idlest, key, random)


def weighted(candidates: Sequence[InstanceState], key: bytes, random: Random) -> InstanceState:
    """By chance, in proportion to weight."""
    point = random.random() * sum(instance.weight for instance in candidates)
    for instance in candidates:
        point -= instance.weight
        if point < 0:
            return instance
    return candidates[-1]


def uniform(candidates: Sequence[InstanceState], key: bytes, random: Random) -> InstanceState:
    """By chance, all alike."""
    return candidates[int(random.random() * len(candidates))]


def consistent_hash(
    candidates: Sequence[InstanceState], key: bytes, random: Random
) -> InstanceState:
    """The same instance for the same key; one that goes or comes moves its own share only.

    One that has more than its bounded share in flight passes the key on to the next in line.
    Without a key: by chance, in proportion to weight.
    """
    if not key:
        return weighted(candidates, key, random)
    weights = sum(instance.weight for instance in candidates)
    in_flight = 1 + sum(instance.in_flight for instance in candidates)
    share = _OVERLOAD_FACTOR * in_flight / weights
    room = [each for each in candidates if each.in_flight < math.ceil(share * each.weight)]
    return max(room, key=partial(_rendezvous, _hash(key)))


STRATEGIES: Mapping[BalancerName, Strategy] = {
    "round_robin": round_robin,
    "least_connections": least_connections,
    "weighted": weighted,
    "random": uniform,
    "consistent_hash": consistent_hash,
}


class Balancer:
    """The strategy called *name*."""

    __slots__ = ("_strategy", "name")

    def __init__(self, name: BalancerName) -> None:
        self.name = name
        self._strategy = STRATEGIES[name]

    def select_instance(
        self, candidates: Sequence[InstanceState], key: bytes, random: Random
    ) -> InstanceState | None:
        """One of *candidates*, ``None`` when none of them has a weight."""
        usable = [instance for instance in candidates if instance.weight]
        if len(usable) > 1:
            return self._strategy(usable, key, random)
        return usable[0] if usable else None


def _load(instance: InstanceState) -> float:
    return instance.in_flight / instance.weight


def _hash(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


_MASK = 2**64 - 1


def _rendezvous(key: int, instance: InstanceState) -> float:
    """Score of an instance for a key: ``-weight / ln(u)``, u a uniform hash of both in (0, 1)."""
    mixed = _mix(key ^ instance.seed)
    return -instance.weight / math.log((mixed + 1) / (_MASK + 2))


def _mix(number: int) -> int:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit depends on every bit."""
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
