"""The limit of an instance follows what it can take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxying.adaptive import LEAST, AdaptiveLimit

TOLERANCE = 2.0


def run(
    limit: AdaptiveLimit, capacity: int, windows: int, *, offered: int = 10**6, start: float = 0.0
) -> list[int]:
    """Limits over *windows* of an instance that does *capacity* requests at once in 10 ms each, and
    makes what is more wait; *offered* is how many would be sent at once.
    """
    seen, now = [], start
    for _ in range(windows):
        for _ in range(20):
            under_way = min(limit.limit, offered)
            now += 0.0151
            limit.note(0.01 * max(1.0, under_way / capacity), under_way, False, now)
        seen.append(limit.limit)
    return seen


@given(st.integers(8, 150))
def test_it_finds_what_an_instance_can_take(capacity: int) -> None:
    limit = AdaptiveLimit(1000, TOLERANCE)
    settled = run(limit, capacity, 200)[100:]
    # Half of it while it measures.
    assert min(settled) >= 0.9 * capacity
    assert max(settled) <= 1.5 * TOLERANCE * capacity + 10


@given(st.integers(20, 100), st.integers(2, 5))
def test_it_falls_when_an_instance_can_take_less_and_rises_again(capacity: int, by: int) -> None:
    limit = AdaptiveLimit(1000, TOLERANCE)
    before = run(limit, capacity, 100)[-1]
    less = run(limit, capacity // by, 100, start=1000.0)[-1]
    assert less < before
    assert run(limit, capacity, 200, start=2000.0)[-1] > less


@given(
    most=st.integers(1, 300),
    answers=st.lists(
        st.tuples(st.floats(0, 60), st.integers(0, 400), st.booleans(), st.floats(0, 1)),
        max_size=200,
    ),
)
def test_it_stays_within_its_bounds(
    most: int, answers: list[tuple[float, int, bool, float]]
) -> None:
    limit, now = AdaptiveLimit(most, TOLERANCE), 0.0
    for seconds, in_flight, dropped, pause in answers:
        now += pause
        limit.note(seconds, in_flight, dropped, now)
        assert min(LEAST, most) <= limit.limit <= most


def test_it_does_not_rise_while_it_is_not_reached() -> None:
    limit = AdaptiveLimit(1000, TOLERANCE)
    assert set(run(limit, 100, 50, offered=5)) == {10, 20}


def test_failures_for_overload_cut_it_down() -> None:
    limit, now = AdaptiveLimit(1000, TOLERANCE), 0.0
    run(limit, 100, 50)
    before = limit.limit
    for _ in range(40):
        now += 0.05
        limit.note(0.01, 10, True, 100 + now)
    assert limit.limit < 0.5 * before


def test_a_lower_bound_holds_at_once() -> None:
    limit = AdaptiveLimit(1000, TOLERANCE)
    run(limit, 100, 50)
    limit.adjust(7, TOLERANCE)
    assert limit.limit == 7
