"""What is tried again, after how long, and how much of it a failing service must bear."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxying.retry import RetryBudget, RetryPolicy, cause_of_status, parse_retry_after
from routing.document import RetryCause, RetrySpec

EVERY: tuple[RetryCause, ...] = ("connect", "reset", "timeout", "500", "502", "503", "504")
POLICY = RetryPolicy.of(RetrySpec(on=EVERY, attempts=3, backoff=0.1, max_backoff=1.0))


def may(
    method: str,
    cause: RetryCause,
    attempt: int = 1,
    *,
    replayable: bool = True,
    sent: int = 100,
    policy: RetryPolicy = POLICY,
) -> bool:
    return policy.may_retry(method, cause, attempt, body_replayable=replayable, bytes_sent=sent)


def test_attempts_are_counted_with_the_first_one() -> None:
    assert [may("GET", "502", attempt) for attempt in (1, 2, 3, 4)] == [True, True, False, False]


def test_one_attempt_means_never_again() -> None:
    once = RetryPolicy.of(RetrySpec(attempts=1))
    assert not may("GET", "connect", policy=once, sent=0)


@pytest.mark.parametrize("cause", EVERY)
def test_a_cause_that_is_not_listed_is_not_retried(cause: RetryCause) -> None:
    others = RetryPolicy.of(RetrySpec(on=tuple(other for other in EVERY if other != cause)))
    assert may("GET", cause)
    assert not may("GET", cause, policy=others)


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
def test_a_failed_connection_is_retried_for_every_method(method: str) -> None:
    assert may(method, "connect", sent=0)


@pytest.mark.parametrize("cause", EVERY)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_is_retried_when_its_body_is_gone(method: str, cause: RetryCause) -> None:
    assert not may(method, cause, replayable=False)
    assert not may(method, cause, replayable=False, sent=0)


@pytest.mark.parametrize("cause", ["reset", "timeout"])
def test_a_post_is_retried_only_if_no_byte_of_it_was_sent(cause: RetryCause) -> None:
    assert may("POST", cause, sent=0)
    assert not may("POST", cause, sent=1)


@pytest.mark.parametrize("cause", ["500", "502", "503", "504"])
def test_a_post_that_was_answered_is_not_retried(cause: RetryCause) -> None:
    assert not may("POST", cause, sent=0)


def test_the_operator_may_list_post() -> None:
    listed = RetryPolicy.of(RetrySpec(methods=("POST",)))
    assert may("POST", "502", policy=listed)
    assert not may("GET", "502", policy=listed)


@pytest.mark.parametrize(
    ("status", "cause"), [(500, "500"), (503, "503"), (501, None), (429, None)]
)
def test_some_statuses_are_causes(status: int, cause: str | None) -> None:
    assert cause_of_status(status) == cause


@given(st.integers(1, 10), st.integers(0, 2**32))
def test_the_wait_is_jittered_and_bounded(attempt: int, seed: int) -> None:
    delay = POLICY.delay(attempt, Random(seed))
    assert 0 <= delay <= min(1.0, 0.1 * 2 ** (attempt - 1))


def test_the_wait_doubles_on_average() -> None:
    random = Random(7)
    means = [sum(POLICY.delay(n, random) for _ in range(2000)) / 2000 for n in (1, 2, 3)]
    assert means == pytest.approx([0.05, 0.1, 0.2], rel=0.1)


@pytest.mark.parametrize(("asked", "expected"), [(0.7, 0.7), (30.0, 1.0)])
def test_retry_after_is_honoured_up_to_the_longest_backoff(asked: float, expected: float) -> None:
    assert POLICY.delay(1, Random(7), retry_after=asked) == expected


def test_a_short_retry_after_does_not_shorten_the_wait() -> None:
    assert POLICY.delay(1, Random(7), retry_after=0.0) == POLICY.delay(1, Random(7))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"120", 120.0),
        (b" 0 ", 0.0),
        (b"Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        (b"Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        (b"Thu, 01 Jan 1970 00:01:40 -0000", 40.0),
        (b"-1", None),
        (b"1.5", None),
        (b"9" * 400, None),
        (b"soon", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: bytes, seconds: float | None) -> None:
    assert parse_retry_after(value, now=60.0) == seconds


@given(st.binary(max_size=40))
def test_no_retry_after_is_an_error(value: bytes) -> None:
    assert (parse_retry_after(value, now=0.0) or 0.0) >= 0


def taken(budget: RetryBudget, times: int, now: float = 0.0) -> int:
    return sum(budget.withdraw(now) for _ in range(times))


def test_a_few_retries_are_always_in_the_budget() -> None:
    budget = RetryBudget(0.2)
    budget.note_request(0.0)
    assert taken(budget, 10) == 3


def test_retries_are_at_most_their_share_of_the_requests() -> None:
    budget = RetryBudget(0.2)
    for _ in range(100):
        budget.note_request(0.0)
    assert taken(budget, 100) == 20


def test_the_budget_is_that_of_the_last_seconds() -> None:
    budget = RetryBudget(0.2, window=10.0)
    for _ in range(100):
        budget.note_request(0.0)
    assert [taken(budget, 50, now) for now in (5.0, 11.0, 16.0, 22.0)] == [20, 0, 3, 0]


def test_what_is_exactly_a_window_old_has_left_the_budget() -> None:
    budget = RetryBudget(0.2, window=10.0)
    for _ in range(100):
        budget.note_request(0.0)
    assert taken(budget, 50, 10.0) == 3


def test_a_budget_of_nothing_allows_no_retry() -> None:
    assert not RetryBudget(0.0).withdraw(0.0)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 3)), max_size=200))
def test_retries_never_pass_their_share(steps: list[tuple[bool, float]]) -> None:
    budget, now = RetryBudget(0.5, window=10.0), 0.0
    requests, retries = list[float](), list[float]()
    for is_request, pause in steps:
        now += pause
        if is_request:
            budget.note_request(now)
            requests.append(now)
        elif budget.withdraw(now):
            retries.append(now)
            in_window = sum(now - at <= 10.0 for at in requests)
            recent = sum(now - at < 9.0 for at in retries)
            assert recent <= max(3, 0.5 * in_window)


@pytest.mark.parametrize("trusted", [True, False])
def test_a_post_with_a_key_is_repeated_where_the_policy_trusts_it(trusted: bool) -> None:
    policy = RetryPolicy.of(RetrySpec(idempotency_key=trusted))
    again = policy.may_retry("POST", "503", 1, body_replayable=True, bytes_sent=9, keyed=True)
    assert again is trusted
    assert not policy.may_retry("POST", "503", 1, body_replayable=True, bytes_sent=9)
