"""A circuit breaker for one instance. Pure: the time is handed in, seconds that do not step back.

::

    CLOSED ── failure_threshold failures in a row, or failure_ratio of at least min_requests
       ▲      in the window ──► OPEN ── after recovery ──► HALF_OPEN
       │                          ▲                           │ a probe fails
       │                          └───────────────────────────┤
       └──────────────── half_open_requests probes succeed ───┘

Every request holds a permit, and each change of state begins a new generation: the late result of a
request from an earlier one says nothing about the instance now and moves nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING

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

Observer = Callable[[State, State], None]
"""Told of each change of state: before, after."""


class Breaker:
    """Decides by *spec* whether an instance is asked, from the outcomes of those who asked it."""

    __slots__ = (
        "_counts",
        "_generation",
        "_observe",
        "_opened_at",
        "_probes",
        "_probes_succeeded",
        "consecutive_failures",
        "spec",
        "state",
    )

    def __init__(self, spec: BreakerSpec, observe: Observer | None = None) -> None:
        self.spec = spec
        self.state = State.CLOSED
        self.consecutive_failures = 0
        self._observe = observe
        self._counts = SlidingCounts(spec.window)
        self._generation = 0
        self._opened_at = 0.0
        self._probes = 0
        self._probes_succeeded = 0

    def allows(self, now: float) -> bool:
        """Whether :meth:`acquire` would give a permit at *now*. Changes nothing."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN:
            return now >= self._opened_at + self.spec.recovery
        return self._probes + self._probes_succeeded < self.spec.half_open_requests

    def acquire(self, now: float) -> Permit | None:
        """A permit for one request, or ``None``: leave the instance alone."""
        if not self.allows(now):
            return None
        if self.state is State.OPEN:
            self._enter(State.HALF_OPEN)
        if self.state is State.HALF_OPEN:
            self._probes += 1
        return Permit(self._generation)

    def release(self, permit: Permit, outcome: Outcome, now: float) -> None:
        """Give *permit* back with what became of the request; a second time does nothing."""
        generation, permit.generation = permit.generation, _RETURNED
        if generation != self._generation:
            return
        if self.state is State.HALF_OPEN:
            self._judge_probe(outcome, now)
        elif outcome in (Outcome.SUCCESS, Outcome.FAILURE):
            self._count(outcome, now)

    def retry_after(self, now: float) -> float:
        """Seconds until an open breaker lets a probe through; 0 when it is not open."""
        if self.state is not State.OPEN:
            return 0.0
        return max(0.0, self._opened_at + self.spec.recovery - now)

    def _judge_probe(self, outcome: Outcome, now: float) -> None:
        self._probes -= 1
        if outcome is Outcome.FAILURE:
            self._open(now)
        elif outcome is not Outcome.IGNORED:
            self._probes_succeeded += 1
            if self._probes_succeeded >= self.spec.half_open_requests:
                self._enter(State.CLOSED)

    def _count(self, outcome: Outcome, now: float) -> None:
        failed = outcome is Outcome.FAILURE
        self._counts.add(now, 1, int(failed))
        self.consecutive_failures = self.consecutive_failures + 1 if failed else 0
        if failed and self._has_had_enough():
            self._open(now)

    def _has_had_enough(self) -> bool:
        if self.consecutive_failures >= self.spec.failure_threshold:
            return True
        requests, failures = self._counts.first, self._counts.second
        return requests >= self.spec.min_requests and failures >= self.spec.failure_ratio * requests

    def _open(self, now: float) -> None:
        self._opened_at = now
        self._enter(State.OPEN)

    def _enter(self, state: State) -> None:
        before, self.state = self.state, state
        self._generation += 1
        self._probes = 0
        self._probes_succeeded = 0
        if state is State.CLOSED:
            self.consecutive_failures = 0
            self._counts.clear()
        if self._observe is not None:
            self._observe(before, state)
