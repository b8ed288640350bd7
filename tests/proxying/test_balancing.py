"""Each strategy spreads requests as it says."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxying.balancing import Balancer, InstanceState
from routing.document import BalancerName

NAMES = get_args(BalancerName)
weights = st.lists(st.integers(0, 20), min_size=1, max_size=12)


def instances(*weights: int) -> list[InstanceState]:
    return [InstanceState("s", f"http://10.0.0.{n}:80", w) for n, w in enumerate(weights)]


def picks(
    name: BalancerName, candidates: list[InstanceState], times: int, key: bytes = b""
) -> list[int]:
    """Positions of the instances that were picked, one after the other."""
    balancer, random = Balancer(name), Random(7)
    chosen = [balancer.select_instance(candidates, key, random) for _ in range(times)]
    return [candidates.index(instance) for instance in chosen if instance]


@pytest.mark.parametrize("name", NAMES)
def test_nobody_to_pick_is_no_error(name: BalancerName) -> None:
    assert Balancer(name).select_instance([], b"key", Random(7)) is None
    assert Balancer(name).select_instance(instances(0, 0), b"key", Random(7)) is None


@given(st.sampled_from(NAMES), weights, st.binary(max_size=4), st.integers(0, 2**32))
def test_weight_0_gets_nothing(
    name: BalancerName, weights: list[int], key: bytes, seed: int
) -> None:
    candidates, random = instances(*weights), Random(seed)
    for _ in range(30):
        picked = Balancer(name).select_instance(candidates, key, random)
        assert picked is None if not any(weights) else picked and picked.weight > 0


def test_round_robin_takes_turns() -> None:
    assert picks("round_robin", instances(1, 1, 1), 6) == [0, 1, 2, 0, 1, 2]


def test_round_robin_spreads_a_heavy_instance_evenly() -> None:
    assert picks("round_robin", instances(5, 1, 1), 7) == [0, 0, 1, 0, 2, 0, 0]


@given(weights.filter(any))
def test_round_robin_is_exact_over_a_cycle(weights: list[int]) -> None:
    counts = Counter(picks("round_robin", instances(*weights), 3 * sum(weights)))
    assert [counts[n] for n in range(len(weights))] == [3 * weight for weight in weights]


def test_round_robin_goes_on_when_an_instance_comes_and_goes() -> None:
    candidates = instances(1, 1, 1)
    picks("round_robin", candidates, 4)
    picks("round_robin", candidates[:2], 5)
    counts = Counter(picks("round_robin", candidates, 300))
    assert all(95 <= counts[n] <= 105 for n in range(3))


@pytest.mark.parametrize("name", ["weighted", "consistent_hash"])
def test_chance_follows_the_weights(name: BalancerName) -> None:
    counts = Counter(picks(name, instances(1, 3, 6), 10_000))
    assert [round(counts[n] / 1000) for n in range(3)] == [1, 3, 6]


def test_random_pays_no_heed_to_weights() -> None:
    counts = Counter(picks("random", instances(1, 3, 6), 9_000))
    assert [round(counts[n] / 1000) for n in range(3)] == [3, 3, 3]


def test_the_least_loaded_is_picked() -> None:
    candidates = instances(1, 1, 1)
    for instance, in_flight in zip(candidates, (4, 2, 3), strict=True):
        instance.in_flight = in_flight
    assert picks("least_connections", candidates, 3) == [1, 1, 1]


def test_load_is_measured_against_weight() -> None:
    candidates = instances(1, 10)
    candidates[0].in_flight, candidates[1].in_flight = 1, 9
    assert picks("least_connections", candidates, 1) == [1]


def test_equally_loaded_instances_take_turns() -> None:
    assert Counter(picks("least_connections", instances(1, 1, 2), 8)) == {0: 2, 1: 2, 2: 4}


def test_among_many_instances_the_load_stays_even() -> None:
    candidates, random = instances(*[1] * 20), Random(7)
    for _ in range(2_000):
        picked = Balancer("least_connections").select_instance(candidates, b"", random)
        assert picked is not None
        picked.in_flight += 1
    assert max(i.in_flight for i in candidates) - min(i.in_flight for i in candidates) <= 10


def test_among_many_instances_weights_still_count() -> None:
    candidates, random = instances(*[1] * 10, *[5] * 10), Random(7)
    for _ in range(6_000):
        picked = Balancer("least_connections").select_instance(candidates, b"", random)
        assert picked is not None
        picked.in_flight += 1
    assert sum(i.in_flight for i in candidates[:10]) == pytest.approx(1_000, rel=0.1)


@given(st.binary(min_size=1), weights.filter(any), st.randoms(use_true_random=False))
def test_a_key_has_one_instance_whatever_the_order(
    key: bytes, weights: list[int], random: Random
) -> None:
    candidates = instances(*weights)
    shuffled = random.sample(candidates, len(candidates))
    balancer = Balancer("consistent_hash")
    assert balancer.select_instance(candidates, key, random) is balancer.select_instance(
        shuffled, key, random
    )


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=50), st.integers(0, 9))
def test_keys_of_other_instances_do_not_move_when_one_goes(keys: list[bytes], gone: int) -> None:
    candidates, random = instances(*range(1, 11)), Random(7)
    fewer = [instance for n, instance in enumerate(candidates) if n != gone]
    balancer = Balancer("consistent_hash")
    for key in keys:
        before = balancer.select_instance(candidates, key, random)
        if before is not candidates[gone]:
            assert balancer.select_instance(fewer, key, random) is before


def test_a_heavier_instance_only_gains_keys() -> None:
    candidates, random = instances(1, 1, 1), Random(7)
    balancer = Balancer("consistent_hash")
    keys = [b"%d" % number for number in range(2_000)]
    before = [balancer.select_instance(candidates, key, random) for key in keys]
    candidates[0].weight = 2
    after = [balancer.select_instance(candidates, key, random) for key in keys]
    moved = [new for old, new in zip(before, after, strict=True) if new is not old]
    assert set(moved) == {candidates[0]}


def test_keys_are_shared_by_weight() -> None:
    candidates, random = instances(1, 3, 6), Random(7)
    balancer = Balancer("consistent_hash")
    picked = [
        balancer.select_instance(candidates, b"%d" % number, random) for number in range(10_000)
    ]
    counts = Counter(picked)
    assert [round(counts[instance] / 1000) for instance in candidates] == [1, 3, 6]
