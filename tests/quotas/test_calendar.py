"""Days and months in UTC, as the calendar has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotas.bucket import CLOCK_TOLERANCE, SECOND, Bucket, Decision, Rule, spend
from quotas.calendar import DAY, period_end, period_start

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2200, 1, 1, tzinfo=UTC)
# Hypothesis takes its bounds without a zone.
moments = st.datetimes(
    EPOCH.replace(tzinfo=None), LAST.replace(tzinfo=None), timezones=st.just(UTC)
)
QUOTA = Rule("q:", 100, 86_400 * SECOND, 100, window="month")
MARCH = int(datetime(2028, 3, 1, tzinfo=UTC).timestamp()) * SECOND


def microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@given(moments)
def test_a_month_begins_on_its_first(moment: datetime) -> None:
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    assert period_start(microseconds(moment), "month") == microseconds(first)


@given(moments)
def test_a_month_ends_where_the_next_begins(moment: datetime) -> None:
    start = period_start(microseconds(moment), "month")
    end = period_end(start, "month")
    assert period_start(end, "month") == end
    assert period_start(end - 1, "month") == start


@given(moments)
def test_a_day_is_a_day(moment: datetime) -> None:
    start = period_start(microseconds(moment), "day")
    assert start == microseconds(moment.replace(hour=0, minute=0, second=0, microsecond=0))
    assert period_end(start, "day") == start + DAY


def used(bucket: Bucket | None, now: int, cost: int = 1) -> tuple[Decision, Bucket | None]:
    decision, (stored,) = spend([bucket], [QUOTA], cost, now)
    return decision, stored


def test_a_quota_begins_anew_with_its_month() -> None:
    leap_day = MARCH - 1
    full = Bucket(100, period_start(leap_day, "month"))
    assert not used(full, leap_day)[0].allowed
    assert used(full, MARCH)[0].remaining == 99


def test_a_used_up_quota_is_to_be_tried_again_in_its_next_month() -> None:
    decision, _ = used(Bucket(100, period_start(MARCH - 1, "month")), MARCH - 90 * SECOND)
    assert (decision.retry_after, decision.reset_seconds) == (90, 90)


@pytest.mark.parametrize("back", [1, CLOCK_TOLERANCE + SECOND])
def test_a_clock_that_steps_back_into_last_month_gives_nothing_anew(back: int) -> None:
    _, bucket = used(None, MARCH, cost=100)
    assert not used(bucket, MARCH - back)[0].allowed


def test_a_raised_quota_is_there_at_once_and_a_lowered_one_is_never_negative() -> None:
    bucket = Bucket(100, MARCH)
    lowered = Rule("q:", 50, 86_400 * SECOND, 50, window="month")
    raised = Rule("q:", 150, 86_400 * SECOND, 150, window="month")
    decisions = [spend([bucket], [rule], 1, MARCH).decision for rule in (lowered, raised)]
    assert [(one.allowed, one.remaining) for one in decisions] == [(False, 0), (True, 49)]
