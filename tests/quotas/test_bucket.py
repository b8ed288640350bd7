"""The token bucket keeps exact accounts whatever the clock and the configuration do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.bucket import (
    CLOCK_TOLERANCE,
    LARGEST,
    SECOND,
    Bucket,
    Decision,
    Mode,
    Rule,
    full_at,
    merge,
    refill,
    share,
    spend,
)

MINUTE = 60 * SECOND


def rule(
    limit: int = 100, seconds: int = 60, burst: int | None = None, mode: Mode = "enforce"
) -> Rule:
    capacity = limit if burst is None else burst
    return Rule(f"{limit}/{seconds}", limit, seconds * SECOND, capacity, mode)


rules = st.builds(
    rule,
    limit=st.integers(1, 1000) | st.integers(1, LARGEST),
    seconds=st.sampled_from([1, 60, 3600, 86_400]),
    burst=st.integers(1, 1000) | st.integers(1, LARGEST),
)


class Account:
    """One request after the other against the same rules, keeping the buckets between."""

    def __init__(self, *rules: Rule) -> None:
        self.rules = rules
        self.buckets: list[Bucket | None] = [None] * len(rules)

    def spend(self, now: int, cost: int = 1) -> Decision:
        decision, stored = spend(self.buckets, self.rules, cost, now)
        self.buckets = [new or old for new, old in zip(stored, self.buckets, strict=True)]
        return decision

    def passed(self, now: int, requests: int) -> int:
        return sum(self.spend(now).allowed for _ in range(requests))


def test_a_full_bucket_gives_its_burst_and_no_more() -> None:
    assert Account(rule(100, burst=20)).passed(0, 50) == 20


def test_a_minute_refills_exactly_the_limit() -> None:
    account = Account(rule(7))
    account.passed(0, 100)
    assert account.passed(MINUTE - 1, 1) + account.passed(MINUTE, 100) == 7


def test_a_refused_request_drains_nothing() -> None:
    account = Account(rule(60))
    account.passed(0, 60)
    refused = [account.spend(now).allowed for now in range(0, SECOND, 1000)]
    assert not any(refused)
    assert account.spend(SECOND).allowed


@pytest.mark.parametrize(("limit", "seconds"), [(7, 60), (60, 60), (1000, 3600), (86_399, 86_400)])
def test_an_empty_bucket_has_exactly_the_limit_after_every_period(limit: int, seconds: int) -> None:
    one, bucket = rule(limit, seconds, burst=LARGEST), Bucket(0, 0)
    for period in range(1, 50):
        for now in range((period - 1) * seconds, period * seconds, max(1, seconds // 9)):
            bucket = refill(bucket, one, now * SECOND)
        bucket = refill(bucket, one, period * seconds * SECOND)
        assert bucket.level == period * limit * one.token


@pytest.mark.parametrize(("limit", "seconds"), [(1, 1), (60, 60), (3600, 3600), (86_400, 86_400)])
def test_one_token_a_second_is_ready_on_the_second(limit: int, seconds: int) -> None:
    account = Account(rule(limit, seconds, burst=1))
    account.spend(0)
    assert account.spend(0).retry_after == 1
    assert account.spend(SECOND).allowed


def test_uneven_looks_at_the_clock_lose_no_part_of_a_tick() -> None:
    often, once = rule(3, burst=10), rule(3, burst=10)
    bucket = Bucket(0, 0)
    for now in range(0, MINUTE, 37_003):
        bucket = refill(bucket, often, now)
    assert refill(bucket, often, MINUTE) == refill(Bucket(0, 0), once, MINUTE)


@given(rules, st.integers(0, 2**50), st.integers(0, 2**40), st.integers(0, 2**40))
def test_refilling_in_two_steps_is_refilling_in_one(
    one: Rule, start: int, first: int, second: int
) -> None:
    bucket = Bucket(0, start)
    halfway = refill(bucket, one, start + first)
    end = start + first + second
    assert refill(halfway, one, end) == refill(bucket, one, end)


@given(rules, st.integers(-(2**60), 2**60), st.integers(0, 2**52), st.integers(0, 2**52))
def test_a_level_is_never_negative_nor_above_capacity(
    one: Rule, level: int, at: int, now: int
) -> None:
    assert 0 <= refill(Bucket(level, at), one, now).level <= one.full


@given(rules, st.integers(0, 2**51), st.integers(0, 2**51))
def test_no_number_passes_what_a_double_holds_exactly(one: Rule, at: int, now: int) -> None:
    empty = Bucket(0, at)
    assert one.full + one.limit < 2**53
    assert (full_at(empty, one) - at) // one.tick_us * one.limit < 2**53
    assert max(refill(empty, one, now)) < 2**53


@given(rules, st.integers(0, 2**40))
def test_an_empty_bucket_holds_the_limit_for_every_tick_up_to_its_capacity(
    one: Rule, elapsed: int
) -> None:
    level = refill(Bucket(0, 0), one, elapsed).level
    assert level == min(one.full, elapsed // one.tick_us * one.limit)


@given(rules, st.integers(0, 2**40))
def test_it_is_full_when_it_is_said_to_be_and_no_tick_earlier(one: Rule, missing: int) -> None:
    bucket = Bucket(max(0, one.full - 1 - missing), 0)
    full = full_at(bucket, one)
    assert bucket.level + full // one.tick_us * one.limit >= one.full
    assert refill(bucket, one, full).level == one.full
    assert refill(bucket, one, full - 1).level < one.full


@given(rules, st.integers(0, 2**50), st.integers(0, 2**40), st.integers(1, 5))
def test_the_wait_that_is_told_is_the_wait_that_is_needed(
    one: Rule, at: int, later: int, cost: int
) -> None:
    account = Account(one)
    account.buckets = [Bucket(0, at)]
    now = at + later
    refusal = account.spend(now, cost)
    if refusal.allowed or cost > one.capacity:
        return
    assert account.spend(now + refusal.retry_after * SECOND, cost).allowed
    account.buckets = [Bucket(0, at)]
    assert not account.spend(now + (refusal.retry_after - 1) * SECOND, cost).allowed


@given(rules, st.lists(st.tuples(st.integers(-(2**30), 2**30), st.integers(1, 50)), max_size=30))
def test_a_clock_that_steps_back_adds_nothing(one: Rule, steps: list[tuple[int, int]]) -> None:
    account, now = Account(one), 2**40
    for step, cost in steps:
        before = account.buckets[0]
        now += step
        account.spend(now, cost)
        after = account.buckets[0]
        if before and after and step < 0 and now < before.at:
            assert after.level <= before.level


def test_jitter_of_the_clock_adds_nothing_in_the_end() -> None:
    account = Account(rule(60))
    account.passed(MINUTE, 60)
    assert sum(account.passed(now, 5) for now in (MINUTE - SECOND, MINUTE) * 10) == 0


def test_a_large_step_back_shuts_nobody_out_for_its_length() -> None:
    account = Account(rule(60))
    account.passed(1000 * MINUTE, 60)
    now = 1000 * MINUTE - CLOCK_TOLERANCE - 1
    assert account.spend(now).retry_after == 1
    assert account.spend(now + SECOND).allowed


def test_raising_the_limit_does_not_refill() -> None:
    account = Account(rule(100))
    account.passed(0, 90)
    account.rules = (rule(200),)
    assert account.passed(0, 200) == 10


def test_lowering_the_limit_clips_the_level() -> None:
    account = Account(rule(200))
    account.passed(0, 20)
    account.rules = (rule(100),)
    assert account.passed(0, 200) == 100


def test_a_request_refused_by_one_rule_takes_nothing_from_the_others() -> None:
    account = Account(rule(100), rule(3))
    account.passed(0, 50)
    account.rules = (rule(100), rule(1000))
    account.buckets[1] = None
    assert account.spend(0).remaining == 96


def test_the_narrowest_rule_is_the_one_that_is_told() -> None:
    wide, narrow = rule(100), rule(10, 1)
    decision = Account(wide, narrow).spend(0)
    assert (decision.rule, decision.limit, decision.remaining) == (narrow, 10, 9)


def test_of_several_refusing_rules_the_longest_wait_is_told() -> None:
    slow, fast = rule(2, 3600), rule(2, 1)
    account = Account(fast, slow)
    account.passed(0, 2)
    refusal = account.spend(0)
    assert (refusal.rule, refusal.retry_after, refusal.remaining) == (slow, 1800, 0)


def test_a_shadow_rule_refuses_nobody_and_says_what_it_would_have_done() -> None:
    shadow = rule(1, mode="shadow")
    account = Account(rule(10), shadow)
    decisions = [account.spend(0) for _ in range(2)]
    assert [(d.allowed, d.would_refuse) for d in decisions] == [(True, ()), (True, (shadow,))]


def test_shadow_rules_alone_tell_the_client_nothing() -> None:
    decision = Account(rule(5, mode="shadow")).spend(0)
    assert (decision.allowed, decision.rule, decision.limit) == (True, None, 0)


def test_a_shadow_bucket_is_not_spent_when_another_rule_refuses() -> None:
    shadow = rule(50, mode="shadow")
    account = Account(rule(1), shadow)
    account.passed(0, 40)
    assert account.buckets[1] == Bucket(49 * shadow.token, 0)


def test_the_reset_is_when_the_bucket_is_full_again() -> None:
    account = Account(rule(60))
    account.passed(0, 30)
    assert account.spend(0).reset_seconds == 31


def test_a_cost_above_the_capacity_is_refused_for_ever() -> None:
    account = Account(rule(10))
    assert [account.spend(now, 11).allowed for now in (0, MINUTE, 99 * MINUTE)] == [False] * 3


@pytest.mark.parametrize("cost", [0, -1, LARGEST + 1])
def test_a_cost_outside_the_bounds_is_an_error(cost: int) -> None:
    with pytest.raises(ValueError, match="costs between"):
        Account(rule()).spend(0, cost)


@pytest.mark.parametrize("wrong", [(0, 60, 1), (1, 60, LARGEST + 1), (1, 0, 1), (1, 600_000, 1)])
def test_a_rule_outside_the_exact_range_cannot_be_made(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"between|whole"):
        rule(*wrong)


def test_a_rule_may_make_requests_cost_more() -> None:
    dear = replace(rule(100), cost=30)
    assert Account(dear).passed(0, 10) == 3


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 50), st.integers(1, 30))
def test_shares_of_a_limit_add_up_to_it(limit: int, burst: int, parts: int) -> None:
    """Of a burst that has less than one request for each part, each part lets one pass."""
    day = 86_400 * SECOND
    one = share(rule(limit, 86_400, burst), parts)
    account = Account(one)
    at_once = account.passed(0, 60)
    later = sum(account.spend(now).allowed for now in range(0, 3 * day + 1, day // 250))
    assert at_once == max(1, burst // parts)
    assert parts * later <= 3 * limit + parts * at_once


def test_a_merged_decision_is_a_refusal_when_one_is() -> None:
    passing, refusing = Account(rule(5)), Account(rule(1, 3600), rule(9, mode="shadow"))
    refusing.spend(0)
    decisions = [passing.spend(0), refusing.spend(0)]
    merged = merge(decisions)
    assert (merged.allowed, merged.limit, merged.retry_after) == (False, 1, 3600)


def test_a_merged_decision_tells_of_the_fewest_left_and_keeps_what_shadows_say() -> None:
    shadow = Account(rule(1, mode="shadow"))
    shadow.spend(0)
    decisions = [Account(rule(5)).spend(0), Account(rule(3)).spend(0), shadow.spend(0)]
    merged = merge(decisions)
    assert (merged.remaining, len(merged.would_refuse)) == (2, 1)
