"""The in-process store keeps what it must and no more."""

from __future__ import annotations

from quotas.bucket import CLOCK_TOLERANCE, SECOND, Rule
from quotas.stores.memory import MemoryStore

MINUTELY = Rule("m:", 60, 60 * SECOND, 60)
HOURLY = Rule("h:", 60, 3600 * SECOND, 60)


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def passed(store: MemoryStore, rule: Rule, key: str, requests: int) -> int:
    return sum(store.spend([rule], [key], 1).allowed for _ in range(requests))


def test_every_key_has_a_bucket_of_its_own() -> None:
    store = MemoryStore(clock=Clock())
    assert [passed(store, MINUTELY, key, 100) for key in ("a", "b", "a")] == [60, 60, 0]


def test_rules_of_one_request_are_spent_together_or_not_at_all() -> None:
    store = MemoryStore(clock=Clock())
    narrow = Rule("n:", 5, 60 * SECOND, 5)
    for _ in range(20):
        store.spend([MINUTELY, narrow], ["wide", "narrow"], 1)
    assert passed(store, MINUTELY, "wide", 100) == 55


def test_full_buckets_are_forgotten_in_passing() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    for number in range(1000):
        passed(store, MINUTELY, str(number), 1)
    clock.now += 60 * SECOND + CLOCK_TOLERANCE
    passed(store, MINUTELY, "0", 250)
    assert len(store) <= 1


def test_a_bucket_in_use_is_not_forgotten() -> None:
    clock = Clock()
    store = MemoryStore(clock=clock)
    passed(store, HOURLY, "busy", 60)
    for _ in range(200):
        clock.now += SECOND
        passed(store, MINUTELY, "other", 5)
    assert passed(store, HOURLY, "busy", 60) == 3


def test_the_number_of_buckets_is_bounded() -> None:
    store = MemoryStore(max_buckets=10, clock=Clock())
    for number in range(1000):
        passed(store, MINUTELY, str(number), 1)
    assert len(store) == 10


def test_many_new_callers_do_not_refill_a_drained_one() -> None:
    clock = Clock()
    store = MemoryStore(max_buckets=10, clock=clock)
    passed(store, HOURLY, "drained", 60)
    for number in range(1000):
        passed(store, HOURLY, str(number), 1)
    assert passed(store, HOURLY, "drained", 60) == 0
