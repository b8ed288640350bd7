"""A breaker opens, probes and closes as its spec says, whatever comes late or twice."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxying.breaker import Breaker, Outcome, Permit, State
from proxying.breakers import Breakers, Transition
from routing.document import BreakerSpec

SPEC = BreakerSpec(
    failure_threshold=5,
    failure_ratio=0.5,
    min_requests=20,
    window=10,
    recovery=30,
    half_open_requests=2,
)
SUCCESS, FAILURE, IGNORED = Outcome.SUCCESS, Outcome.FAILURE, Outcome.IGNORED


def begin(breaker: Breaker, now: float) -> Permit:
    permit = breaker.acquire(now)
    assert permit is not None
    return permit


def run(breaker: Breaker, outcomes: list[Outcome], now: float = 0.0, step: float = 0.0) -> None:
    for number, outcome in enumerate(outcomes):
        at = now + number * step
        breaker.release(begin(breaker, at), outcome, at)


def states(breaker: Breaker, *runs: list[Outcome]) -> list[State]:
    """The state after each of *runs*."""
    seen = []
    for outcomes in runs:
        run(breaker, outcomes)
        seen.append(breaker.state)
    return seen


def opened(now: float = 0.0, spec: BreakerSpec = SPEC) -> Breaker:
    breaker = Breaker(spec)
    run(breaker, [FAILURE] * spec.failure_threshold, now)
    return breaker


def half_open(now: float = 30.0) -> tuple[Breaker, Permit]:
    breaker = opened(now - SPEC.recovery)
    return breaker, begin(breaker, now)


def test_failures_in_a_row_open_it() -> None:
    breaker = Breaker(SPEC)
    assert states(breaker, [FAILURE] * 4, [FAILURE]) == [State.CLOSED, State.OPEN]
    assert breaker.acquire(1.0) is None


def test_a_success_ends_the_row() -> None:
    breaker = Breaker(SPEC)
    run(breaker, [FAILURE] * 4 + [SUCCESS] + [FAILURE] * 4)
    assert breaker.state is State.CLOSED


def test_successes_without_a_permit_count_as_if_each_had_one() -> None:
    counted, gathered = Breaker(SPEC), Breaker(SPEC)
    for breaker in (counted, gathered):
        run(breaker, [FAILURE] * 4)
    run(counted, [SUCCESS] * 20)
    gathered.note_successes(20, 0, 0.0)
    for breaker in (counted, gathered):
        run(breaker, [FAILURE] * 4)
        assert breaker.state is State.CLOSED
    slow = msgspec.structs.replace(SPEC, slow_seconds=1.0)
    for share, state in ((9, State.CLOSED), (10, State.OPEN)):
        breaker = Breaker(slow)
        breaker.note_successes(20, share, 0.0)
        assert breaker.state is state


def test_successes_of_a_time_before_it_opened_move_nothing() -> None:
    breaker = opened()
    breaker.note_successes(100, 0, 1.0)
    assert breaker.state is State.OPEN


def test_what_is_ignored_neither_ends_nor_lengthens_the_row() -> None:
    runs = [FAILURE] * 4 + [IGNORED] * 50, [FAILURE]
    assert states(Breaker(SPEC), *runs) == [State.CLOSED, State.OPEN]


def test_a_ratio_of_failures_opens_it_once_there_are_enough_requests() -> None:
    runs = [SUCCESS, FAILURE] * 9 + [SUCCESS], [FAILURE]
    assert states(Breaker(SPEC), *runs) == [State.CLOSED, State.OPEN]


def test_failures_older_than_the_window_do_not_count() -> None:
    breaker = Breaker(SPEC)
    run(breaker, [SUCCESS, FAILURE] * 9)
    run(breaker, [SUCCESS, FAILURE], now=SPEC.window + 0.1)
    assert breaker.state is State.CLOSED


def test_the_window_slides() -> None:
    breaker = Breaker(SPEC)
    run(breaker, [SUCCESS] * 30, now=0.0)
    run(breaker, [FAILURE, FAILURE, SUCCESS] * 6, now=5.0)
    assert breaker.allows(5.0)
    run(breaker, [FAILURE, SUCCESS, FAILURE], now=11.0)
    assert breaker.state is State.OPEN


def test_an_open_breaker_says_when_to_come_back() -> None:
    breaker = opened(100.0)
    assert [breaker.retry_after(now) for now in (100.0, 110.0, 130.0)] == [30.0, 20.0, 0.0]
    assert [breaker.allows(now) for now in (100.0, 129.9, 130.0)] == [False, False, True]


def test_asking_whether_it_allows_changes_nothing() -> None:
    breaker = opened()
    assert all(breaker.allows(30.0) for _ in range(100))
    assert breaker.state is State.OPEN


def test_half_open_admits_exactly_its_probes() -> None:
    breaker = opened()
    permits = [breaker.acquire(30.0) for _ in range(200)]
    assert sum(permit is not None for permit in permits) == 2
    assert not breaker.allows(30.0)


def test_probes_that_succeed_close_it() -> None:
    breaker, first = half_open()
    second = begin(breaker, 30.0)
    breaker.release(first, SUCCESS, 31.0)
    assert (breaker.state, breaker.allows(31.0)) == (State.HALF_OPEN, False)
    breaker.release(second, SUCCESS, 31.0)
    assert breaker.state is State.CLOSED


def test_a_closed_breaker_has_forgotten_what_opened_it() -> None:
    breaker, probe = half_open()
    breaker.release(probe, SUCCESS, 31.0)
    run(breaker, [SUCCESS] + [FAILURE] * 4, now=31.0)
    assert breaker.state is State.CLOSED


def test_a_closed_breaker_begins_with_an_empty_window() -> None:
    breaker = Breaker(msgspec.structs.replace(SPEC, recovery=1, half_open_requests=1))
    run(breaker, [SUCCESS, FAILURE] * 10)
    run(breaker, [SUCCESS, FAILURE], now=1.0)
    assert breaker.state is State.CLOSED


def test_a_probe_that_fails_opens_it_again_for_the_whole_time() -> None:
    breaker, probe = half_open()
    breaker.release(probe, FAILURE, 35.0)
    assert (breaker.state, breaker.retry_after(35.0)) == (State.OPEN, 30.0)


def test_a_cancelled_probe_gives_its_permit_back() -> None:
    breaker, first = half_open()
    begin(breaker, 30.0)
    breaker.release(first, IGNORED, 31.0)
    assert (breaker.state, breaker.allows(31.0)) == (State.HALF_OPEN, True)


@pytest.mark.parametrize("late", [SUCCESS, FAILURE])
def test_results_from_before_the_change_move_nothing(late: Outcome) -> None:
    breaker = Breaker(SPEC)
    early = [begin(breaker, 0.0) for _ in range(10)]
    run(breaker, [FAILURE] * 5)
    begin(breaker, 30.0)
    for permit in early:
        breaker.release(permit, late, 31.0)
    assert (breaker.state, breaker.allows(31.0)) == (State.HALF_OPEN, True)


def test_a_probe_of_an_earlier_trial_moves_nothing() -> None:
    breaker, old = half_open()
    breaker.release(begin(breaker, 30.0), FAILURE, 30.0)
    run(breaker, [SUCCESS], now=60.0)
    breaker.release(old, SUCCESS, 61.0)
    assert breaker.state is State.HALF_OPEN


def test_a_permit_given_back_twice_counts_once() -> None:
    breaker, probe = half_open()
    breaker.release(probe, SUCCESS, 31.0)
    breaker.release(probe, SUCCESS, 31.0)
    assert breaker.state is State.HALF_OPEN


@given(st.lists(st.tuples(st.sampled_from([*Outcome, None]), st.floats(0, 20)), max_size=60))
def test_probes_never_exceed_their_number(steps: list[tuple[Outcome | None, float]]) -> None:
    breaker, now, held = Breaker(SPEC), 0.0, list[Permit]()
    for outcome, pause in steps:
        now += pause
        if outcome is None or not held:
            allowed = breaker.allows(now)
            permit = breaker.acquire(now)
            assert (permit is not None) is allowed
            held += [permit] if permit else []
        else:
            breaker.release(held.pop(0), outcome, now)
        if breaker.state is State.HALF_OPEN:
            assert sum(p.generation == held[-1].generation for p in held) <= 2 if held else True


def test_every_change_of_state_is_told() -> None:
    told: list[tuple[State, State]] = []
    breaker = Breaker(SPEC, lambda before, after, _: told.append((before, after)))
    run(breaker, [FAILURE] * 5)
    run(breaker, [SUCCESS] * 2, now=30.0)
    assert told == [
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
    ]


A, B = ("billing", "http://10.0.0.1"), ("billing", "http://10.0.0.2")


def test_a_breaker_outlives_a_new_snapshot_with_the_same_spec() -> None:
    breakers = Breakers()
    breakers.update({A: SPEC})
    before = breakers.get(*A)
    breakers.update({A: msgspec.structs.replace(SPEC), B: SPEC})
    assert breakers.get(*A) is before is not breakers.get(*B)


def test_a_changed_spec_makes_a_new_breaker_and_a_removed_instance_none() -> None:
    breakers = Breakers()
    breakers.update({A: SPEC, B: SPEC})
    before = breakers.get(*A)
    breakers.update({A: BreakerSpec(recovery=1)})
    assert breakers.get(*A) is not before
    assert (breakers.get(*B), len(breakers)) == (None, 1)


def test_observers_are_told_which_instance_changed() -> None:
    told: list[Transition] = []
    breakers = Breakers([told.append])
    breakers.update({A: SPEC, B: SPEC})
    breaker = breakers.get(*B)
    assert breaker is not None
    run(breaker, [FAILURE] * 5)
    assert told == [Transition(*B, State.CLOSED, State.OPEN, "5 failures in a row", 5)]


def test_a_forgotten_breaker_is_not_shown_open_for_ever() -> None:
    told: list[Transition] = []
    breakers = Breakers([told.append])
    breakers.update({A: SPEC})
    breaker = breakers.get(*A)
    assert breaker is not None
    run(breaker, [FAILURE] * 5)
    breakers.update({})
    assert (told[-1].before, told[-1].after) == (State.OPEN, State.CLOSED)


def test_slow_answers_open_it_though_they_succeed() -> None:
    spec = BreakerSpec(slow_seconds=1.0, slow_ratio=0.5, min_requests=4)
    breaker = Breaker(spec)
    for seconds in (0.1, 2.0, 0.1, 2.0):
        breaker.release(begin(breaker, 0.0), SUCCESS, 0.0, seconds)
    assert breaker.state is State.OPEN


def test_a_slow_trial_request_opens_it_again() -> None:
    breaker = opened(spec=BreakerSpec(slow_seconds=1.0, recovery=30))
    breaker.release(begin(breaker, 30.0), SUCCESS, 32.0, 2.0)
    assert breaker.state is State.OPEN


def test_it_stays_closed_while_it_may_not_open() -> None:
    breaker = Breaker(SPEC)
    breaker.may_open = lambda: False
    run(breaker, [FAILURE] * 50)
    assert breaker.state is State.CLOSED


def test_forced_open_lets_nothing_through_until_its_time() -> None:
    breaker = Breaker(SPEC)
    breaker.force(State.OPEN, 100.0, "forced")
    assert not breaker.allows(99.0)
    assert breaker.allows(100.0)
    begin(breaker, 100.0)
    assert breaker.state is State.HALF_OPEN


def test_forced_closed_is_not_opened_by_failures_until_its_time() -> None:
    breaker = opened()
    breaker.force(State.CLOSED, 100.0, "forced")
    run(breaker, [FAILURE] * 50, now=50.0)
    assert breaker.allows(50.0)
    run(breaker, [FAILURE], now=101.0)
    assert not breaker.allows(101.0)


def test_a_reset_breaker_begins_anew() -> None:
    breaker = Breaker(SPEC)
    run(breaker, [FAILURE] * 4)
    breaker.reset("reset")
    run(breaker, [FAILURE] * 4)
    assert breaker.state is State.CLOSED
    forced = Breaker(SPEC)
    forced.force(State.OPEN, 1e9, "forced")
    forced.reset("reset")
    assert forced.allows(1.0)


def test_what_another_worker_saw_counts_from_when_it_saw_it() -> None:
    breaker = Breaker(SPEC)
    assert breaker.follow(State.OPEN, 10.0, 15.0, "seen")
    assert (breaker.allows(39.0), breaker.allows(40.0)) == (False, True)
    assert breaker.follow(State.CLOSED, 20.0, 20.0, "seen")
    assert breaker.allows(20.0)


def test_what_another_worker_saw_too_long_ago_is_not_taken_over() -> None:
    breaker = Breaker(SPEC)
    assert not breaker.follow(State.OPEN, 10.0, 40.0, "seen")
    assert not breaker.follow(State.HALF_OPEN, 10.0, 10.0, "seen")


def test_what_an_operator_forced_is_not_overruled_by_another_worker() -> None:
    breaker = Breaker(SPEC)
    breaker.force(State.CLOSED, 100.0, "forced")
    assert not breaker.follow(State.OPEN, 10.0, 10.0, "seen")


def test_the_reason_of_a_change_is_told() -> None:
    told: list[str] = []
    breaker = Breaker(SPEC, lambda _, __, reason: told.append(reason))
    run(breaker, [FAILURE] * 5)
    run(breaker, [FAILURE], now=30.0)
    assert told == [
        "5 failures in a row", "the recovery time has passed", "a trial request failed",
    ]  # fmt: skip


def test_answers_that_break_off_are_failures_in_a_row() -> None:
    breaker = Breaker(BreakerSpec(failure_threshold=3))
    for _ in range(3):
        assert breaker.state is State.CLOSED
        permit = breaker.acquire(0.0)
        assert permit is not None
        breaker.release(permit, Outcome.SUCCESS, 0.0)
        breaker.retract(0.0)
    assert breaker.state is State.OPEN


def test_an_answer_between_that_holds_ends_the_row() -> None:
    breaker = Breaker(BreakerSpec(failure_threshold=2))
    for broke in (True, False, True, False):
        permit = breaker.acquire(0.0)
        assert permit is not None
        breaker.release(permit, Outcome.SUCCESS, 0.0)
        if broke:
            breaker.retract(0.0)
    assert breaker.state is State.CLOSED
