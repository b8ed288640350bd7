"""The third step of the journey: spend what a request costs, and write down what became of it.

Leans on :mod:`quotas.policies` for the rules that apply, on :mod:`quotas.limiter` for the decision
and on :mod:`quotas.records` and :mod:`quotas.ledger` for what is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from keys.caller import Caller
from quotas import metrics
from quotas.bucket import Decision
from quotas.errors import LimiterUnavailable
from quotas.ledger import PlanLedger
from quotas.limiter import Limiter
from quotas.policies import policy_of, rules_for
from quotas.records import Recorder
from quotas.rules import RouteLimits, caller_of, identifiers

Headers = Iterable[tuple[bytes, bytes]]


class Meter:
    """Measures requests. Without *recorder* nothing is written down, without *ledger* quotas are
    neither restored nor warned of. *write_first*: an answer waits until it is written down.
    """

    def __init__(
        self,
        limiter: Limiter,
        recorder: Recorder | None = None,
        ledger: PlanLedger | None = None,
        *,
        write_first: bool = False,
    ) -> None:
        self._limiter = limiter
        self._recorder = recorder
        self._ledger = ledger
        self._write_first = write_first

    async def spend(
        self, limits: RouteLimits, caller: Caller | None, client: str, headers: Headers
    ) -> Decision | None:
        """The decision, ``None`` where there are no limits or the store cannot be asked.

        *client* is the client's address. Raises ``LimiterUnavailable``.
        """
        policy = policy_of(caller)
        rules = rules_for(limits, policy)
        if policy.fault:
            raise LimiterUnavailable(policy.fault)
        if not rules:
            return None
        keys = identifiers(rules, caller, client, headers, limits.route)
        try:
            decision = await self._limiter.check_rate_limit(rules, keys)
        except LimiterUnavailable:
            metrics.DECISIONS.inc(limits.route, "unavailable")
            raise
        self.count(limits, caller, client, decision)
        if self._recorder is not None and self._write_first:
            await self._recorder.written()
        return decision

    def count(
        self,
        limits: RouteLimits,
        caller: Caller | None,
        client: str,
        decision: Decision | None,
    ) -> None:
        """Count a decision, wherever it was made, and write it down."""
        metrics.DECISIONS.inc(limits.route, _kind(decision))
        self.record(limits, caller, client, decision)

    def record(
        self,
        limits: RouteLimits,
        caller: Caller | None,
        client: str,
        decision: Decision | None,
        times: int = 1,
    ) -> None:
        """Write down a decision, or several alike, that were counted among the metrics already."""
        if decision is not None and decision.usage and self._ledger is not None and caller:
            self._ledger.note(caller.identity, decision.usage)
        if self._recorder is not None:
            self._recorder.note(caller_of(caller, client), limits.route, decision, times)

    def gather_from(self, source: Callable[[], None] | None) -> None:
        """Have *source* record what it has counted before anything is written."""
        if self._recorder is not None:
            self._recorder.gather = source


def _kind(decision: Decision | None) -> str:
    if decision is None:
        return "unchecked"
    if not decision.allowed:
        return "refused"
    return "would_refuse" if decision.would_refuse else "allowed"
