"""The token bucket: pure integer arithmetic, the time handed in.

A period is cut into N ticks and a token into N units, so that one tick refills exactly ``limit``
units: nothing is rounded and nothing drifts. A tick is a part of a second (1 µs for a limit per
second, 100 µs per minute, 1 ms per hour, 100 ms per day), so one token a second is ready on the
second. N is at most 2^22, hence every product stays below 2^31 x 2^22 = 2^53 and
``token_bucket.lua``, whose numbers are doubles, computes the same values; a differential test
holds the two together.

All times are integer microseconds. Leans on nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

SECOND = 1_000_000
"""Microseconds."""

LARGEST = 2**31 - 1
"""Bound of limit, capacity and cost: keeps every product exact in a double."""

CLOCK_TOLERANCE = 60 * SECOND
"""How far a clock may step back before a bucket takes the new time for its own.

Up to here it waits until the clock has caught up, so jitter adds nothing at all; beyond, waiting
would shut callers out for as long as the step was. Stores keep a full bucket this much longer, so
that a step back cannot turn a forgotten drained bucket into a full one.
"""

_MOST_TICKS = 2**22
_TICKS_US = (1, 10, 100, 1_000, 10_000, 100_000)
_LONGEST_PERIOD = 4 * 86_400 * SECOND

By = Literal["caller", "user", "api_key", "ip", "route", "header"]
Mode = Literal["enforce", "shadow"]
StoreFailurePolicy = Literal["open", "closed"]


class Bucket(NamedTuple):
    """State: units (``Rule.token`` of them are a token), and when (µs) they were counted."""

    level: int
    at: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit of one route, compiled at publish.

    ``capacity`` is the burst in tokens; ``key_prefix`` names the bucket family and does not change
    when limit, burst or mode are edited, so a live edit keeps every level. ``header`` is the
    lower-case name that ``by: header`` looks at.
    """

    key_prefix: str
    limit: int
    period_us: int
    capacity: int
    mode: Mode = "enforce"
    on_store_failure: StoreFailurePolicy = "open"
    by: By = "caller"
    route: str = ""
    header: bytes = b""

    tick_us: int = field(init=False)
    """Microseconds in which ``limit`` units are refilled; follows from the period alone."""
    token: int = field(init=False)
    """Units in a token."""
    full: int = field(init=False)
    """Units in a full bucket."""
    enforced: bool = field(init=False)

    def __post_init__(self) -> None:
        if not (1 <= self.limit <= LARGEST and 1 <= self.capacity <= LARGEST):
            raise ValueError(f"limit and capacity are between 1 and {LARGEST}")
        if not SECOND <= self.period_us <= _LONGEST_PERIOD or self.period_us % SECOND:
            raise ValueError("a period is a whole number of seconds, up to four days")
        tick_us = next(tick for tick in _TICKS_US if self.period_us // tick <= _MOST_TICKS)
        object.__setattr__(self, "tick_us", tick_us)
        object.__setattr__(self, "token", self.period_us // tick_us)
        object.__setattr__(self, "full", self.capacity * self.token)
        object.__setattr__(self, "enforced", self.mode == "enforce")


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one request.

    ``rule`` is the enforced rule that the client is told about: the one that refused (of several,
    the one that makes it wait longest), else the one with the fewest tokens left. It is ``None``
    when every rule is a shadow: then the client is told nothing and the numbers are 0.
    ``reset_seconds`` is ``RateLimit-Reset`` (draft-ietf-httpapi-ratelimit-headers-06, "seconds
    until the quota resets"): the time until the bucket is full again, rounded up. ``retry_after``
    (seconds, rounded up; 0 when allowed) is how long a client that does nothing else has to wait
    to pass; only a cost above a capacity never passes. ``would_refuse`` lists the shadow rules
    that would have refused.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    retry_after: int
    rule: Rule | None
    would_refuse: tuple[Rule, ...] = ()


class Spending(NamedTuple):
    """A decision, and the buckets as they are to be stored (``None``: as they were)."""

    decision: Decision
    buckets: tuple[Bucket | None, ...]


def refill(bucket: Bucket | None, rule: Rule, now: int) -> Bucket:
    """The bucket at *now*: an absent one is full, a lowered capacity clips, nothing is negative."""
    if bucket is None:
        return Bucket(rule.full, now)
    level, at = bucket
    level = max(0, min(level, rule.full))
    if now < at:
        return Bucket(level, now if at - now > CLOCK_TOLERANCE else at)
    ticks = (now - at) // rule.tick_us
    if ticks >= _ticks(rule.full - level, rule):
        return Bucket(rule.full, at + ticks * rule.tick_us)
    return Bucket(level + ticks * rule.limit, at + ticks * rule.tick_us)


def full_at(bucket: Bucket, rule: Rule) -> int:
    """When (µs) an untouched bucket is full."""
    return bucket.at + _ticks(rule.full - bucket.level, rule) * rule.tick_us


def spend(buckets: Sequence[Bucket | None], rules: Sequence[Rule], cost: int, now: int) -> Spending:
    """Take *cost* tokens from the bucket of every rule, or from none.

    A request that an enforced rule refuses drains nothing. A shadow rule never refuses; its bucket
    is spent when the request passes and it has the tokens.
    """
    refilled = [refill(bucket, rule, now) for bucket, rule in zip(buckets, rules, strict=True)]
    decision = judge(refilled, rules, cost, now)
    stored: list[Bucket | None] = []
    for before, after, rule in zip(buckets, refilled, rules, strict=True):
        left = after.level - cost * rule.token
        if decision.allowed and left >= 0:
            stored.append(Bucket(left, after.at))
        elif before is not None and after.at < before.at:
            # A stepped clock that was not written down would be met again at every refusal.
            stored.append(after)
        else:
            stored.append(None)
    return Spending(decision, tuple(stored))


def judge(refilled: Sequence[Bucket], rules: Sequence[Rule], cost: int, now: int) -> Decision:
    """The decision for buckets as :func:`refill` gives them at *now*; every store answers by it."""
    if not 1 <= cost <= LARGEST:
        raise ValueError(f"a request costs between 1 and {LARGEST} tokens")
    refusing: list[tuple[Bucket, Rule]] = []
    passing: list[tuple[Bucket, Rule]] = []
    would_refuse: tuple[Rule, ...] = ()
    for bucket, rule in zip(refilled, rules, strict=True):
        has_enough = bucket.level >= cost * rule.token
        if rule.enforced:
            (passing if has_enough else refusing).append((bucket, rule))
        elif not has_enough:
            would_refuse += (rule,)
    if refusing:
        return _refused(refusing, cost, now, would_refuse)
    if passing:
        return _passed(passing, cost, now, would_refuse)
    return Decision(True, 0, 0, 0, 0, None, would_refuse)


def _refused(
    refusing: list[tuple[Bucket, Rule]], cost: int, now: int, would_refuse: tuple[Rule, ...]
) -> Decision:
    waits = [_wait(bucket, rule, cost, now) for bucket, rule in refusing]
    longest = max(waits)
    bucket, rule = refusing[waits.index(longest)]
    return Decision(
        allowed=False,
        limit=rule.limit,
        remaining=bucket.level // rule.token,
        reset_seconds=_seconds(full_at(bucket, rule) - now),
        retry_after=_seconds(longest),
        rule=rule,
        would_refuse=would_refuse,
    )


def _passed(
    passing: list[tuple[Bucket, Rule]], cost: int, now: int, would_refuse: tuple[Rule, ...]
) -> Decision:
    bucket, rule = min(passing, key=_tokens) if len(passing) > 1 else passing[0]
    left = Bucket(bucket.level - cost * rule.token, bucket.at)
    return Decision(
        allowed=True,
        limit=rule.limit,
        remaining=left.level // rule.token,
        reset_seconds=_seconds(full_at(left, rule) - now),
        retry_after=0,
        rule=rule,
        would_refuse=would_refuse,
    )


def _tokens(pair: tuple[Bucket, Rule]) -> int:
    bucket, rule = pair
    return bucket.level // rule.token


def _wait(bucket: Bucket, rule: Rule, cost: int, now: int) -> int:
    """Microseconds until *cost* tokens are there (until it is full, if they never will be)."""
    missing = min(cost * rule.token, rule.full) - bucket.level
    return max(1, bucket.at + _ticks(missing, rule) * rule.tick_us - now)


def _ticks(missing: int, rule: Rule) -> int:
    """Whole ticks that refill at least *missing* units."""
    return -(-missing // rule.limit)


def _seconds(microseconds: int) -> int:
    return max(0, -(-microseconds // SECOND))
