"""One try at one instance: what it holds, how it went, and giving back on every way out."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from proxying import metrics
from proxying.breaker import Outcome, Permit
from proxying.retry import RetryCause, cause_of_status
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    Timeouts,
    Transport,
    UpstreamAnswer,
    UpstreamError,
    UpstreamRequest,
    UpstreamTimeout,
)

if TYPE_CHECKING:
    from proxying.upstreams import Instance

_CAUSES: dict[type[UpstreamError], RetryCause] = {
    ConnectFailed: "connect",
    ConnectionReset: "reset",
    UpstreamTimeout: "timeout",
}


class Attempt:
    """Counts as in flight at its instance, and holds a permit of its breaker, until closed.

    After :meth:`send` exactly one of ``answer`` and ``failure`` is set.
    """

    __slots__ = ("_held", "_permit", "answer", "failure", "instance", "seconds")

    def __init__(self, instance: Instance, permit: Permit | None) -> None:
        self.instance = instance
        self.answer: UpstreamAnswer | None = None
        self.failure: UpstreamError | None = None
        self.seconds = 0.0
        """From the start of the attempt to the head of its answer, or to its failure."""
        self._permit = permit
        self._held = True
        instance.state.in_flight += 1

    async def send(
        self, transport: Transport, request: UpstreamRequest, timeouts: Timeouts
    ) -> None:
        """Send *request*. What the client or its body does wrong is raised, and is no failure of
        the upstream's.
        """
        started = time.perf_counter()
        try:
            self.answer = await transport.send(self.instance.origin, request, timeouts)
        except UpstreamError as failure:
            self.failure = failure
        self.seconds = time.perf_counter() - started
        self._settle(self._outcome())
        self._count()

    @property
    def cause(self) -> RetryCause | None:
        """Why another attempt may be worth it; ``None`` when this one stands."""
        if self.answer is not None:
            return cause_of_status(self.answer.status)
        return _CAUSES.get(type(self.failure)) if self.failure is not None else None

    def broke(self) -> None:
        """The answer's body did not arrive whole: that counts against the instance."""
        self.instance.note_failure()

    def close(self) -> None:
        """Give everything back; harmless when done already."""
        if not self._held:
            return
        self._held = False
        self.instance.state.in_flight -= 1
        self._settle(Outcome.IGNORED)
        if self.answer is not None:
            self.answer.close()

    def _outcome(self) -> Outcome:
        if self.answer is None or self.answer.status >= 500:
            return Outcome.FAILURE
        return Outcome.ANSWERED if self.answer.status >= 400 else Outcome.SUCCESS

    def _settle(self, outcome: Outcome) -> None:
        permit, self._permit = self._permit, None
        if permit is not None:
            self.instance.settle(permit, outcome)

    def _count(self) -> None:
        service, url = self.instance.service, self.instance.url
        if self.answer is not None:
            outcome = f"{self.answer.status // 100}xx"
            metrics.upstream_child(service, url).observe(self.seconds)
        else:
            outcome = _CAUSES.get(type(self.failure), "protocol") if self.failure else ""
        metrics.attempts_child(service, url, outcome).inc()
