"""Refusals of one address: at once within the rate, held back beyond it, never for long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keys.pacing import LONGEST_HOLD, FailurePace

ADDRESS = "192.0.2.7"


def test_a_seconds_worth_is_refused_at_once_and_then_one_at_a_time() -> None:
    pace = FailurePace(10)
    held = [pace.hold(ADDRESS, 100.0) for _ in range(14)]
    assert held[:11] == [0.0] * 11
    assert [round(one, 3) for one in held[11:]] == [0.1, 0.2, 0.3]


def test_whoever_is_held_longest_is_counted_all_the_same() -> None:
    pace, now = FailurePace(1), 100.3
    for _ in range(8):
        now += pace.hold(ADDRESS, now)
    assert now >= 105


def test_time_that_passes_is_forgotten_time() -> None:
    pace = FailurePace(10)
    for _ in range(15):
        pace.hold(ADDRESS, 100.0)
    assert pace.hold(ADDRESS, 102.0) == 0.0


def test_addresses_are_apart_and_an_ipv6_customer_is_one() -> None:
    pace = FailurePace(1)
    held = [pace.hold(f"2001:db8::{number:x}", 100.0) for number in range(1, 5)]
    assert held[-1] > 0
    assert pace.hold("2001:db8:0:1::1", 100.0) == 0.0


def test_a_rate_of_nothing_holds_nobody() -> None:
    pace = FailurePace(0)
    assert {pace.hold(ADDRESS, 100.0) for _ in range(1000)} == {0.0}


@given(
    st.integers(1, 1000),
    st.lists(st.floats(0, 0.5), min_size=1, max_size=200),
)
def test_a_client_that_waits_for_its_answers_keeps_to_the_rate(
    rate: int, pauses: list[float]
) -> None:
    pace, now = FailurePace(rate), 100.0
    for number, pause in enumerate(pauses):
        now += pause / rate
        held = pace.hold(ADDRESS, now)
        assert 0 <= held <= LONGEST_HOLD
        now += held
        assert number <= rate * (now - 100.0 + 1) + 1.001
