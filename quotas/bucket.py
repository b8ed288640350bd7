"""The token bucket: pure integer arithmetic, the time handed in.

A period is cut into N ticks and a token into N units, so that one tick refills exactly ``limit``
units: nothing is rounded and nothing drifts. A tick is a part of a second (1 µs for a limit per
second, 100 µs per minute, 1 ms per hour, 100 ms per day), so one token a second is ready on the
second. N is at most 2^22, hence every product stays below 2^31 x 2^22 = 2^53 and
``token_bucket.lua``, whose numbers are doubles, computes the same values; a differential test
holds the two together.

A rule with a ``window`` is no bucket but a quota of the calendar day or month (UTC): what is
stored is how much was used and in which period, and the next period begins with nothing used.

All times are integer microseconds. Leans on ``quotas.calendar`` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from quotas.calendar import Window, period_end, period_start

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
StoreFailurePolicy = Literal["open", "closed", "local"]


class Bucket(NamedTuple):
    """State: units (``Rule.token`` of them are a token), and when (µs) they were counted.

    Of a rule with a window, ``at`` is the start of the period; a stored one holds what was used
    in it, a refilled one what is left (below zero when the quota was lowered beneath the use).
    """

    level: int
    at: int


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit, compiled at publish or when its consumer was fetched.

    ``capacity`` is the burst in tokens; ``key_prefix`` names the bucket family and does not change
    when limit, burst, cost or mode are edited, so a live edit keeps every level. ``header`` is the
    lower-case name that ``by: header`` looks at. ``cost`` multiplies what a request costs.
    ``plan`` is the quota plan that a rule with a window belongs to. With ``shared`` the rule counts
    over all routes, and the key begins with the subject.
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
    cost: int = 1
    window: Window | None = None
    plan: str = ""
    shared: bool = False

    tick_us: int = field(init=False)
    """Microseconds in which ``limit`` units are refilled; follows from the period alone."""
    token: int = field(init=False)
    """Units in a token."""
    full: int = field(init=False)
    """Units in a full bucket."""
    price: int = field(init=False)
    """Units that a request of cost 1 takes."""
    enforced: bool = field(init=False)

    def __post_init__(self) -> None:
        if not all(1 <= number <= LARGEST for number in (self.limit, self.capacity, self.cost)):
            raise ValueError(f"limit, capacity and cost are between 1 and {LARGEST}")
        if not SECOND <= self.period_us <= _LONGEST_PERIOD or self.period_us % SECOND:
            raise ValueError("a period is a whole number of seconds, up to four days")
        tick_us = next(tick for tick in _TICKS_US if self.period_us // tick <= _MOST_TICKS)
        token = 1 if self.window else self.period_us // tick_us
        object.__setattr__(self, "tick_us", tick_us)
        object.__setattr__(self, "token", token)
        object.__setattr__(self, "full", self.capacity * token)
        object.__setattr__(self, "price", self.cost * token)
        object.__setattr__(self, "enforced", self.mode == "enforce")


class Usage(NamedTuple):
    """How far a quota is used, the request included, in the period that began at ``start``."""

    rule: Rule
    used: int
    start: int


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
    that would have refused, ``usage`` the quotas of calendar periods that were looked at.
    """

    allowed: bool
    limit: int
    remaining: int
    reset_seconds: int
    retry_after: int
    rule: Rule | None
    would_refuse: tuple[Rule, ...] = ()
    usage: tuple[Usage, ...] = ()


class Spending(NamedTuple):
    """A decision, and the buckets as they are to be stored (``None``: as they were)."""

    decision: Decision
    buckets: tuple[Bucket | None, ...]


def refill(bucket: Bucket | None, rule: Rule, now: int) -> Bucket:
    """The bucket at *now*: an absent one is full, a lowered capacity clips, nothing is negative."""
    if rule.window is not None:
        return _left(bucket, rule, rule.window, now)
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


def _left(bucket: Bucket | None, rule: Rule, window: Window, now: int) -> Bucket:
    """What is left of a quota; a clock that stepped back over the boundary gives nothing anew."""
    start = period_start(now, window)
    if bucket is None or bucket.at < start:
        return Bucket(rule.full, start)
    waits = bucket.at - now <= CLOCK_TOLERANCE
    return Bucket(rule.full - bucket.level, bucket.at if waits else start)


def full_at(bucket: Bucket, rule: Rule) -> int:
    """When (µs) an untouched bucket is full."""
    if rule.window is not None:
        return period_end(bucket.at, rule.window)
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
        left = after.level - cost * rule.price
        if decision.allowed and left >= 0:
            stored.append(_stored(left, after.at, rule))
        elif before is not None and after.at < before.at:
            # A stepped clock that was not written down would be met again at every refusal.
            stored.append(_stored(after.level, after.at, rule))
        else:
            stored.append(None)
    return Spending(decision, tuple(stored))


def _stored(level: int, at: int, rule: Rule) -> Bucket:
    return Bucket(level if rule.window is None else rule.full - level, at)


def judge(refilled: Sequence[Bucket], rules: Sequence[Rule], cost: int, now: int) -> Decision:
    """The decision for buckets as :func:`refill` gives them at *now*; every store answers by it."""
    if not 1 <= cost <= LARGEST:
        raise ValueError(f"a request costs between 1 and {LARGEST} tokens")
    refusing: list[tuple[Bucket, Rule]] = []
    passing: list[tuple[Bucket, Rule]] = []
    would_refuse: tuple[Rule, ...] = ()
    for bucket, rule in zip(refilled, rules, strict=True):
        has_enough = bucket.level >= cost * rule.price
        if rule.enforced:
            (passing if has_enough else refusing).append((bucket, rule))
        elif not has_enough:
            would_refuse += (rule,)
    usage = _usage(refilled, rules, 0 if refusing else cost)
    if refusing:
        return _refused(refusing, cost, now, would_refuse, usage)
    if passing:
        return _passed(passing, cost, now, would_refuse, usage)
    return Decision(True, 0, 0, 0, 0, None, would_refuse, usage)


def merge(decisions: Sequence[Decision]) -> Decision:
    """One decision for the rules of one request that were judged in several places."""
    if len(decisions) == 1:
        return decisions[0]
    told = max(decisions, key=_weight)
    return replace(
        told,
        would_refuse=tuple(rule for one in decisions for rule in one.would_refuse),
        usage=tuple(used for one in decisions for used in one.usage),
    )


def _weight(decision: Decision) -> tuple[bool, int, bool, int]:
    """The decision a client is told about weighs most: refused, by a rule, fewest left."""
    refused = not decision.allowed
    return refused, decision.retry_after, decision.rule is not None, -decision.remaining


def share(rule: Rule, parts: int) -> Rule:
    """*rule* for one of *parts* that share its limit and cannot ask each other.

    Each request costs as much more as there are parts, so nothing is rounded; a capacity that
    would hold no request holds one.
    """
    cost = min(rule.cost * parts, LARGEST)
    return replace(rule, cost=cost, capacity=max(rule.capacity, cost))


def _usage(refilled: Sequence[Bucket], rules: Sequence[Rule], cost: int) -> tuple[Usage, ...]:
    return tuple(
        Usage(rule, rule.full - bucket.level + cost * rule.price, bucket.at)
        for bucket, rule in zip(refilled, rules, strict=True)
        if rule.window is not None
    )


def _refused(
    refusing: list[tuple[Bucket, Rule]],
    cost: int,
    now: int,
    would_refuse: tuple[Rule, ...],
    usage: tuple[Usage, ...],
) -> Decision:
    waits = [_wait(bucket, rule, cost, now) for bucket, rule in refusing]
    longest = max(waits)
    bucket, rule = refusing[waits.index(longest)]
    return Decision(
        allowed=False,
        limit=rule.limit,
        remaining=max(0, bucket.level // rule.token),
        reset_seconds=_seconds(full_at(bucket, rule) - now),
        retry_after=_seconds(longest),
        rule=rule,
        would_refuse=would_refuse,
        usage=usage,
    )


def _passed(
    passing: list[tuple[Bucket, Rule]],
    cost: int,
    now: int,
    would_refuse: tuple[Rule, ...],
    usage: tuple[Usage, ...],
) -> Decision:
    bucket, rule = min(passing, key=_tokens) if len(passing) > 1 else passing[0]
    left = Bucket(bucket.level - cost * rule.price, bucket.at)
    return Decision(
        allowed=True,
        limit=rule.limit,
        remaining=left.level // rule.token,
        reset_seconds=_seconds(full_at(left, rule) - now),
        retry_after=0,
        rule=rule,
        would_refuse=would_refuse,
        usage=usage,
    )


def _tokens(pair: tuple[Bucket, Rule]) -> int:
    bucket, rule = pair
    return bucket.level // rule.token


def _wait(bucket: Bucket, rule: Rule, cost: int, now: int) -> int:
    """Microseconds until *cost* tokens are there (until it is full, if they never will be)."""
    if rule.window is not None:
        return max(1, full_at(bucket, rule) - now)
    missing = min(cost * rule.price, rule.full) - bucket.level
    return max(1, bucket.at + _ticks(missing, rule) * rule.tick_us - now)


def _ticks(missing: int, rule: Rule) -> int:
    """Whole ticks that refill at least *missing* units."""
    return -(-missing // rule.limit)


def _seconds(microseconds: int) -> int:
    return max(0, -(-microseconds // SECOND))
