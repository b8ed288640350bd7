"""One try at one instance: what it holds, how it went, and giving back on every way out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from proxying import metrics
from proxying.breaker import Breaker, Outcome, Permit
from proxying.retry import RetryCause, cause_of_status
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    UpstreamAnswer,
    UpstreamError,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from proxying.overload import Gate
    from proxying.upstreams import Instance

Permits = tuple[tuple[Breaker, Permit], ...]

_CAUSES: dict[type[UpstreamError], RetryCause] = {
    ConnectFailed: "connect",
    ConnectionReset: "reset",
    UpstreamTimeout: "timeout",
}
_OVERLOAD: frozenset[RetryCause | None] = frozenset(("timeout", "503"))
_CLIENT_ERROR = 400
_SERVER_ERROR = 500


class Attempt:
    """Counts as in flight at its instance and service, and holds permits of the breakers it
    passed, until closed.

    After :meth:`wait` exactly one of ``answer`` and ``failure`` is set.
    """

    __slots__ = ("_gate", "_held", "_permits", "answer", "failure", "instance", "seconds")

    def __init__(self, instance: Instance, permits: Permits, gate: Gate) -> None:
        self.instance = instance
        self.answer: UpstreamAnswer | None = None
        self.failure: UpstreamError | None = None
        self.seconds = 0.0
        """From the start of the attempt to the head of its answer, or to its failure."""
        self._permits = permits
        self._gate = gate
        self._held = True
        instance.state.enter()
        gate.enter()

    async def wait(self, sending: Awaitable[UpstreamAnswer], waited: float = 0.0) -> None:
        """Await the answer that *sending* leads to, *waited* seconds being over already. What the
        client or its body does wrong is raised, and is no failure of the upstream's.
        """
        started = time.perf_counter() - waited
        try:
            self.answer = await sending
        except UpstreamError as failure:
            self.failure = failure
        self.seconds = time.perf_counter() - started
        self._settle(self._outcome)
        self._count()
        if self.instance.state.limit is not None:
            self.instance.adapt(self.seconds, self.cause in _OVERLOAD)

    @property
    def cause(self) -> RetryCause | None:
        """Why another attempt may be worth it; ``None`` when this one stands."""
        if self.answer is not None:
            return cause_of_status(self.answer.status)
        return _CAUSES.get(type(self.failure)) if self.failure is not None else None

    def broke(self, failure: UpstreamError) -> None:
        """The answer's body did not arrive whole: that counts as *failure* does, and once."""
        cause = _CAUSES.get(type(failure), "protocol")
        for breaker in self.instance.judges:
            if cause in breaker.spec.failures and self._outcome(breaker) is not Outcome.FAILURE:
                self.instance.retract(breaker)

    def close(self) -> None:
        """Give everything back; harmless when done already."""
        if not self._held:
            return
        self._held = False
        self.instance.state.leave()
        self._settle(lambda _: Outcome.IGNORED)
        if self.answer is not None:
            self.answer.close()
        self._gate.leave()

    def _outcome(self, breaker: Breaker) -> Outcome:
        """What the attempt says by the policy of *breaker*."""
        failures = breaker.spec.failures
        if self.answer is None:
            cause = _CAUSES.get(type(self.failure), "protocol") if self.failure else ""
            return Outcome.FAILURE if cause in failures else Outcome.IGNORED
        status = self.answer.status
        if status >= _SERVER_ERROR and ("5xx" in failures or str(status) in failures):
            return Outcome.FAILURE
        return Outcome.ANSWERED if status >= _CLIENT_ERROR else Outcome.SUCCESS

    def _settle(self, outcome: Callable[[Breaker], Outcome]) -> None:
        permits, self._permits = self._permits, ()
        for breaker, permit in permits:
            self.instance.settle(breaker, permit, outcome(breaker), self.seconds)

    def _count(self) -> None:
        service, url = self.instance.service, self.instance.url
        if self.answer is not None:
            outcome = metrics.status_class(self.answer.status)
            metrics.UPSTREAM_DURATION.observe(self.seconds, service, url)
        else:
            outcome = _CAUSES.get(type(self.failure), "protocol") if self.failure else ""
        metrics.ATTEMPTS.inc(service, url, outcome)
