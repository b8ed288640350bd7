"""A circuit breaker of an instance, or of a service. Pure: the time is handed in.

Times are seconds of a clock that does not step back.

::

    CLOSED ── failure_threshold failures in a row, or failure_ratio or slow_ratio
       ▲      of at least min_requests in the window ──► OPEN ── after recovery ──► HALF_OPEN
       │                          ▲                                                     │
       │                          └──────────────────── a probe fails ──────────────────┤
       └──────────────────────── half_open_requests probes succeed ─────────────────────┘

Every request holds a permit, and each change of state begins a new generation: the late result of a
request from an earlier one says nothing about the instance now and moves nothing. An operator can
force a breaker open or closed for a time; what another worker saw is taken over by :meth:`follow`.
Where several workers share an instance, :class:`Trials` lets one of them at a time try it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from proxying.sliding import SlidingCounts

if TYPE_CHECKING:
    from routing.document import BreakerSpec


class State(StrEnum):
    """Whether requests pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Outcome(StrEnum):
    """What a request says about its instance.

    ``IGNORED`` is for what says nothing: the client left, our own refusal. ``ANSWERED`` is a 4xx:
    it proves a probe right, but neither mends nor breaks a closed breaker.
    """

    SUCCESS = "success"
    ANSWERED = "answered"
    FAILURE = "failure"
    IGNORED = "ignored"


class Permit:
    """Leave for one request; given back once, with its outcome."""

    __slots__ = ("generation",)

    def __init__(self, generation: int) -> None:
        self.generation = generation


_RETURNED = -1
_ASK_AGAIN = 0.05
"""Seconds after which it is asked again whether another worker still tries the instance."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a trial ended, in whichever worker: closed or open, and since when."""

    state: State
    since: float


class Trials(Protocol):
    """Whose turn it is to try an instance, among the workers that share it."""

    def begin(self) -> tuple[bool, Verdict | None]:
        """Whether it is this worker's turn, and how the last trial of any worker ended."""

    def end(self, verdict: Verdict | None) -> None:
        """The turn is over, without a *verdict* when none of its requests said anything."""


Observer = Callable[[State, State, str], None]
"""Told of each change of state: before, after, why."""


class Breaker:
    """Decides by *spec* whether an instance is asked, from the outcomes of those who asked it.

    ``may_open`` is asked before failures open it: the service may have too many left out already.
    """

    __slots__ = (
        "_counts",
        "_forced_until",
        "_generation",
        "_observe",
        "_opened_at",
        "_probes",
        "_probes_succeeded",
        "_refused_until",
        "_slow",
        "_streak",
        "consecutive_failures",
        "may_open",
        "spec",
        "state",
        "trials",
    )

    def __init__(self, spec: BreakerSpec, observe: Observer | None = None) -> None:
        self.spec = spec
        self.state = State.CLOSED
        self.consecutive_failures = 0
        self._streak = 0
        """Failures in a row before the last success."""
        self.may_open: Callable[[], bool] | None = None
        self.trials: Trials | None = None
        self._observe = observe
        self._counts = SlidingCounts(spec.window)
        self._slow = SlidingCounts(spec.window)
        self._generation = 0
        self._opened_at = 0.0
        self._forced_until = 0.0
        self._probes = 0
        self._probes_succeeded = 0
        self._refused_until = 0.0

    def allows(self, now: float) -> bool:
        """Whether :meth:`acquire` would give a permit at *now*, as far as is known here: another
        worker may be trying the instance. Changes nothing.
        """
        if self.state is State.CLOSED:
            return True
        if now < self._refused_until:
            return False
        if self.state is State.OPEN:
            return now >= self._open_until
        return self._probes + self._probes_succeeded < self.spec.half_open_requests

    def acquire(self, now: float) -> Permit | None:
        """A permit for one request, or ``None``: leave the instance alone."""
        if not self.allows(now):
            return None
        if self.state is not State.CLOSED and not self._has_turn(now):
            return None
        if self.state is State.OPEN:
            self._enter(State.HALF_OPEN, "the recovery time has passed")
        if self.state is State.HALF_OPEN:
            self._probes += 1
        return Permit(self._generation)

    def release(self, permit: Permit, outcome: Outcome, now: float, seconds: float = 0.0) -> None:
        """Give *permit* back with what became of the request, which took *seconds* to be answered;
        a second time does nothing.
        """
        generation, permit.generation = permit.generation, _RETURNED
        if generation != self._generation:
            return
        slow = self.spec.slow_seconds is not None and seconds > self.spec.slow_seconds
        if self.state is State.HALF_OPEN:
            self._judge_probe(outcome, slow, now)
        elif outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            self._count(outcome, slow, now)

    def note_successes(self, count: int, slow: int, now: float) -> None:
        """*count* requests succeeded that had no permit, *slow* of them slowly."""
        if self.state is not State.CLOSED:
            return
        self._counts.add(now, count, 0)
        if self.spec.slow_seconds is not None:
            self._slow.add(now, count, slow)
        self._streak, self.consecutive_failures = self.consecutive_failures, 0
        if slow:
            self._open_if_enough(now)

    def retract(self, now: float) -> None:
        """What was counted as a success has failed since: its answer broke off."""
        if self.state is not State.CLOSED:
            return
        self._counts.add(now, 0, 1)
        self.consecutive_failures = max(self.consecutive_failures, self._streak) + 1
        self._open_if_enough(now)

    def retry_after(self, now: float) -> float:
        """Seconds until an open breaker lets a probe through; 0 when it is not open."""
        return max(0.0, self._open_until - now) if self.state is State.OPEN else 0.0

    def forced_open(self, now: float) -> bool:
        """Whether an operator holds it open."""
        return self.state is State.OPEN and now < self._forced_until

    def force(self, state: State, until: float, reason: str) -> None:
        """Hold it open or closed until *until*, whatever happens."""
        self._forced_until = until
        if self.state is not state:
            self._enter(state, reason)

    def reset(self, reason: str) -> None:
        """Close it and forget what it counted and what it was forced to."""
        self._forced_until = 0.0
        if self.state is State.CLOSED:
            self._forget()
        else:
            self._enter(State.CLOSED, reason)

    def follow(self, state: State, since: float, now: float, reason: str) -> bool:
        """Take over what another worker saw at *since*; whether that changed anything."""
        if now < self._forced_until or state is State.HALF_OPEN:
            return False
        if state is State.CLOSED and self.state is not State.CLOSED:
            self._enter(State.CLOSED, reason)
            return True
        fresh = now < since + self.spec.recovery
        if state is State.OPEN and self.state is State.CLOSED and fresh and self._may_open():
            self._opened_at = since
            self._enter(State.OPEN, reason)
            return True
        return False

    @property
    def _open_until(self) -> float:
        return max(self._opened_at + self.spec.recovery, self._forced_until)

    def _has_turn(self, now: float) -> bool:
        """Whether this worker may try the instance now; another one's verdict is taken over."""
        if self.trials is None or self._probes:
            return True
        turn, last = self.trials.begin()
        if turn and last is not None and self._opened_at < last.since <= now:
            self._take_over(last)
            turn = self.state is not State.OPEN or now >= self._open_until
            if not turn or self.state is State.CLOSED:
                self.trials.end(None)
        elif not turn:
            self._refused_until = now + _ASK_AGAIN
        return turn

    def _take_over(self, last: Verdict) -> None:
        if last.state is State.CLOSED:
            self._enter(State.CLOSED, "the trial requests of another worker succeeded")
            return
        self._opened_at = last.since
        if self.state is State.HALF_OPEN:
            self._enter(State.OPEN, "a trial request of another worker failed")

    def _judge_probe(self, outcome: Outcome, slow: bool, now: float) -> None:
        self._probes -= 1
        if outcome is Outcome.FAILURE or (slow and outcome is not Outcome.IGNORED):
            self._end_trial(Verdict(State.OPEN, now))
            self._open(now, "a trial request failed" if not slow else "a trial request was slow")
        elif outcome is not Outcome.IGNORED:
            self._probes_succeeded += 1
            if self._probes_succeeded >= self.spec.half_open_requests:
                self._end_trial(Verdict(State.CLOSED, now))
                self._enter(State.CLOSED, "the trial requests succeeded")
        if self.state is State.HALF_OPEN and not self._probes:
            self._end_trial(None)

    def _end_trial(self, verdict: Verdict | None) -> None:
        if self.trials is not None:
            self.trials.end(verdict)

    def _count(self, outcome: Outcome, slow: bool, now: float) -> None:
        failed = outcome is Outcome.FAILURE
        self._counts.add(now, 1, int(failed))
        if self.spec.slow_seconds is not None:
            self._slow.add(now, 1, int(slow))
        if failed:
            self.consecutive_failures += 1
        else:
            self._streak, self.consecutive_failures = self.consecutive_failures, 0
        if failed or slow:
            self._open_if_enough(now)

    def _open_if_enough(self, now: float) -> None:
        if now < self._forced_until:
            return
        reason = self._enough()
        if reason and self._may_open():
            self._open(now, reason)

    def _enough(self) -> str:
        """Why it should open; empty while it should not."""
        spec = self.spec
        if self.consecutive_failures >= spec.failure_threshold:
            return f"{self.consecutive_failures} failures in a row"
        requests, failures = self._counts.first, self._counts.second
        if requests < spec.min_requests:
            return ""
        if failures >= spec.failure_ratio * requests:
            return f"{failures} of {requests} requests failed"
        if spec.slow_seconds is not None and self._slow.second >= spec.slow_ratio * requests:
            return f"{self._slow.second} of {requests} answers were slow"
        return ""

    def _may_open(self) -> bool:
        return self.may_open is None or self.may_open()

    def _open(self, now: float, reason: str) -> None:
        self._opened_at = now
        self._enter(State.OPEN, reason)

    def _enter(self, state: State, reason: str) -> None:
        before, self.state = self.state, state
        if self._probes:
            # It leaves half-open by an order or by what another worker saw.
            self._end_trial(None)
        self._generation += 1
        self._probes = 0
        self._probes_succeeded = 0
        if state is State.CLOSED:
            self._forget()
        if self._observe is not None:
            self._observe(before, state, reason)

    def _forget(self) -> None:
        self.consecutive_failures = self._streak = 0
        self._counts.clear()
        self._slow.clear()
