"""How fast one address may be refused: guessing costs whoever guesses, and nobody else. Pure.

A refusal costs about as much as an answer, an unknown key a place in a query besides. Whoever
collects many of them is not refused sooner, which would shut out good callers behind the same
address, but later: each refusal beyond the rate is held back until it is due. A client that waits
for its answers is thereby held to the rate, whatever the number of its connections; a credential
that is good never waits.
"""

from __future__ import annotations

from keys.bounded import Bounded
from runtime.networks import limit_key

LONGEST_HOLD = 1.0
"""Seconds one refusal is held back at most, so that those held are no more than a second's."""

_BURST_SECONDS = 1.0
_ADDRESSES = 10_000
_ROUNDING = 1e-6
"""Seconds by which sums of floats may be off: who is held for exactly the longest is counted."""


class FailurePace:
    """At most *rate* refusals a second and address (IPv6: a /64), and as many at once; 0 is any.

    A virtual schedule per address (GCRA): the time its next refusal would be due at that rate.
    """

    def __init__(self, rate: int) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._due: Bounded[str, float] = Bounded(_ADDRESSES)

    def hold(self, address: str, now: float) -> float:
        """Count one refusal at *now*; the seconds to hold it back, 0 while within the rate."""
        if not self._interval:
            return 0.0
        key = limit_key(address)
        due = max(self._due.get(key) or now, now)
        held = due - now - _BURST_SECONDS
        if held > LONGEST_HOLD + _ROUNDING:
            return LONGEST_HOLD
        self._due.put(key, due + self._interval)
        return min(max(held, 0.0), LONGEST_HOLD)
