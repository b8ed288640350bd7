"""All peers in alternating rounds: throughput of both workloads, latency at fixed rates.

In each round every target is measured once, for a moment unmeasured before that; every other
round goes backwards, so that no peer always follows the same one.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from benchmarks import gateway
from benchmarks.facts import OURS, LatencyRow, Memory, Sample, Steady, Target, Throughput, Workload
from benchmarks.load import Wrk, check, steady
from benchmarks.machine import CannotRun, memory
from benchmarks.peers import Packaged
from benchmarks.surroundings import Surroundings

Measured = TypeVar("Measured")
FIXED_RATES = (500.0, 1000.0, 2000.0)
_HALF = 0.5
_SUSTAINED = 0.9
_WARM_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    seconds: float


def in_rounds(
    targets: Sequence[Target], rounds: int, measure: Callable[[Target], Measured]
) -> dict[str, list[Measured]]:
    """Measurements by name of target, in order of the rounds."""
    found: dict[str, list[Measured]] = {target.name: [] for target in targets}
    for number in range(rounds):
        for target in targets if number % 2 == 0 else reversed(targets):
            try:
                found[target.name].append(measure(target))
            except CannotRun as error:
                raise Lost(target.name, str(error)) from error
    return found


class Lost(CannotRun):
    """A target that answered when it started and does not any more."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name


def start_all(
    workload: Workload, peers: Sequence[Packaged], around: Surroundings, *, ours: bool
) -> tuple[list[Target], dict[str, str]]:
    """The targets that start and answer rightly, and why the others are absent."""
    starts: list[tuple[str, Callable[[], Target | None]]] = []
    if ours:
        starts.append((OURS, partial(gateway.start, workload, around)))
    starts += [(peer.name, partial(peer.start, workload, around)) for peer in peers]
    redis = {OURS, *(peer.name for peer in peers if peer.uses_redis)}
    targets: list[Target] = []
    absent: dict[str, str] = {}
    for name, start in starts:
        try:
            if target := start():
                _check(target, around, uses_redis=workload is Workload.FULL and name in redis)
                targets.append(target)
        except CannotRun as error:
            absent[name] = str(error)
        state = absent.get(name) or ("started" if target else "has no such workload")
        print(f"{workload}: {name}: {state}", flush=True)
    return targets, absent


def _check(target: Target, around: Surroundings, *, uses_redis: bool) -> None:
    """Raise ``CannotRun`` unless answers are right and the limit is where it is said to be."""
    before = around.script_calls()
    check(target)
    if uses_redis and around.script_calls() == before:
        raise CannotRun("its limit did not reach Redis")


def throughput(
    workload: Workload,
    targets: Sequence[Target],
    absent: Mapping[str, str],
    around: Surroundings,
    effort: Effort,
) -> Throughput:
    """Requests a second of every target, and its memory afterwards."""
    wrk = Wrk(around.cores.rest)

    def measure(target: Target) -> Sample:
        wrk.run(target, _WARM_UP_SECONDS)
        sample = wrk.run(target, effort.seconds)
        print(f"{workload}: {target.name}: {sample.rate:,.0f}/s", flush=True)
        return sample

    samples = in_rounds(targets, effort.rounds, measure)
    sizes: dict[str, Memory] = {}
    for target in targets:
        try:
            check(target)
        except CannotRun as error:
            raise Lost(target.name, f"after the rounds: {error}") from error
        sizes[target.name] = memory(target.session, target.aside)
    return Throughput(workload, samples, sizes, absent)


def without_the_lost(
    targets: list[Target], absent: dict[str, str], measure: Callable[[], Measured]
) -> Measured:
    """What *measure* gives; begun anew without each target that is lost, which becomes absent."""
    while True:
        try:
            return measure()
        except Lost as lost:
            print(f"begun anew without {lost}", flush=True)
            absent[lost.name] = str(lost)
            left = [target for target in targets if target.name != lost.name]
            if len(left) == len(targets):
                raise
            targets[:] = left


def latency(
    found: Throughput, targets: Sequence[Target], around: Surroundings, effort: Effort
) -> list[LatencyRow]:
    """Every target at the fixed rates it can keep and at half of its own maximum."""
    rows: list[LatencyRow] = []
    for rate in FIXED_RATES:
        able = [each for each in targets if _maximum(found, each) * _SUSTAINED >= rate]
        rows += _at_rate(able, rate, f"{rate:,.0f}/s", around, effort)
    for target in targets:
        rate = round(_maximum(found, target) * _HALF)
        rows += _at_rate([target], rate, "half of its maximum", around, effort)
    return rows


def _at_rate(
    targets: Sequence[Target], rate: float, label: str, around: Surroundings, effort: Effort
) -> list[LatencyRow]:
    if not targets:
        return []

    def measure(target: Target) -> Steady:
        result = steady(target, around.cores.rest, rate, effort.seconds)
        print(f"latency: {target.name} at {rate:,.0f}/s: p99 {result.p99_ms:.2f} ms", flush=True)
        return result

    found = in_rounds([around.direct, *targets], effort.rounds, measure)
    direct = found[around.direct.name]
    return [LatencyRow(each.name, label, found[each.name], direct) for each in targets]


def _maximum(found: Throughput, target: Target) -> float:
    return statistics.median(sample.rate for sample in found.samples[target.name])
