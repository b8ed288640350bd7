"""Whether and when a request is tried again. Pure: time and chance are handed in.

The rules are nginx's and RFC 9110 section 9.2.2's: what certainly never arrived may be sent again
whatever the method is; what may have arrived only where the operator lists the method; and nothing
whose body is gone. Sources of the numbers: full jitter (AWS Architecture Blog, "Exponential Backoff
and Jitter", 2015), budget (Google SRE book, chapter 21).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random

from proxying.sliding import SlidingCounts
from routing.document import RetryCause, RetrySpec

__all__ = ["RetryBudget", "RetryCause", "RetryPolicy", "cause_of_status", "parse_retry_after"]

_BUDGET_WINDOW = 10.0
_LEAST_RETRIES = 3
_LONGEST_NUMBER = 10

_STATUS_CAUSES: Mapping[int, RetryCause] = {500: "500", 502: "502", 503: "503", 504: "504"}
_BEFORE_ANSWER = frozenset(("reset", "timeout"))


def cause_of_status(status: int) -> RetryCause | None:
    """The cause an upstream's *status* is, if it is one at all."""
    return _STATUS_CAUSES.get(status)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """A service's rules, compiled. Seconds; ``attempts`` counts the first one too."""

    attempts: int
    backoff: float
    max_backoff: float
    causes: frozenset[RetryCause]
    methods: frozenset[str]
    idempotency_key: bool = False
    hedge_after: float | None = None

    @classmethod
    def of(cls, spec: RetrySpec) -> RetryPolicy:
        """The policy that *spec* describes."""
        return cls(
            attempts=spec.attempts,
            backoff=spec.backoff,
            max_backoff=spec.max_backoff,
            causes=frozenset(spec.on),
            methods=frozenset(spec.methods),
            idempotency_key=spec.idempotency_key,
            hedge_after=spec.hedge_after,
        )

    def may_retry(
        self,
        method: str,
        cause: RetryCause,
        attempt: int,
        *,
        body_replayable: bool,
        bytes_sent: int,
        keyed: bool = False,
    ) -> bool:
        """Whether attempt number *attempt* (from 1), which failed by *cause*, may be followed.

        *body_replayable*: the whole body can be sent again, because it is empty, untouched, or kept
        as far as it was read. *bytes_sent* is how much of the request, head included, may have
        reached the upstream: 0 only when it is certain that nothing did. A failed connection
        counts as nothing sent. *keyed*: it carries an ``Idempotency-Key``.
        """
        if attempt >= self.attempts or cause not in self.causes or not body_replayable:
            return False
        if cause == "connect" or (bytes_sent == 0 and cause in _BEFORE_ANSWER):
            return True
        return method in self.methods or (keyed and self.idempotency_key)

    def delay(self, attempt: int, random: Random, retry_after: float | None = None) -> float:
        """Seconds to wait after attempt number *attempt*: full jitter, doubling, bounded.

        The upstream's *retry_after* (seconds) is waited for as far as ``max_backoff`` allows.
        """
        longest = min(self.max_backoff, self.backoff * 2.0 ** (attempt - 1))
        jittered = random.random() * longest
        if retry_after is None:
            return jittered
        return max(jittered, min(retry_after, self.max_backoff))


class RetryBudget:
    """Bounds the retries of one service, so that they cannot multiply the load on a failing one.

    In any window, retries are at most *ratio* of requests, and a few in any case; a *ratio* of 0
    means none. Times are in seconds of a clock that does not step back.
    """

    __slots__ = ("_counts", "_least", "_ratio")

    def __init__(
        self, ratio: float, *, window: float = _BUDGET_WINDOW, least: int = _LEAST_RETRIES
    ) -> None:
        self._ratio = ratio
        self._least = least if ratio else 0
        self._counts = SlidingCounts(window)

    def note_request(self, now: float, count: int = 1) -> None:
        """A request began, or several (their retries are not requests)."""
        self._counts.add(now, count, 0)

    def withdraw(self, now: float) -> bool:
        """Take one retry from the budget; ``False``, and nothing is taken, when it is spent."""
        self._counts.advance(now)
        requests, retries = self._counts.first, self._counts.second
        if retries >= max(self._least, int(self._ratio * requests)):
            return False
        self._counts.add(now, 0, 1)
        return True


def parse_retry_after(value: bytes, now: float) -> float | None:
    """Seconds from *now* (epoch seconds) that a ``Retry-After`` asks for (RFC 9110 section 10.2.3).

    ``None`` when it is neither a number of seconds nor a date; 0 for a date that has passed.
    """
    text = value.strip()
    if text.isdigit():
        return float(text) if len(text) <= _LONGEST_NUMBER else None
    try:
        date = parsedate_to_datetime(text.decode("ascii"))
    except ValueError:
        return None
    return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now)
