"""What became of the requests of a scenario, as the figures that are printed and asserted."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.load import Outcome


@dataclass(frozen=True)
class Figures:
    """Of one scenario. ``stall`` is the longest wait for an answer in seconds, ``load`` how many
    requests reached the upstreams for each one of a client.
    """

    name: str
    requests: int
    errors: int
    statuses: dict[int | None, int]
    rate: float
    """Requests a second."""
    stall: float
    last_error: float
    """Seconds after *since* of the last error; 0 without one."""
    load: float

    def __str__(self) -> str:
        seen = ", ".join(f"{status}: {n}" for status, n in self.statuses.items())
        last = f", the last {self.last_error:.2f} s after the fault" if self.last_error else ""
        return (
            f"{self.name}: {self.requests} requests, {self.rate:.0f} a second ({seen}), "
            f"{self.errors} errors{last}, longest stall {self.stall:.2f} s, "
            f"upstream load {self.load:.2f}"
        )


def figures(
    name: str, outcomes: Sequence[Outcome], *, received: int, since: float = 0.0
) -> Figures:
    """Count *outcomes*; *since* is when the fault began, *received* what the upstreams saw."""
    statuses = Counter(one.reply.status if one.reply else None for one in outcomes)
    errors = [one for one in outcomes if is_error(one)]
    found = Figures(
        name,
        len(outcomes),
        len(errors),
        dict(statuses),
        _rate(outcomes),
        max((one.answered - one.sent for one in outcomes), default=0.0),
        max((one.answered - since for one in errors), default=0.0) if since else 0.0,
        received / len(outcomes) if outcomes else 0.0,
    )
    say(str(found))
    return found


def _rate(outcomes: Sequence[Outcome]) -> float:
    sent = [one.sent for one in outcomes]
    return len(sent) / (max(sent) - min(sent)) if len(set(sent)) > 1 else 0.0


def say(text: str) -> None:
    """Print what a scenario is run for."""
    sys.stdout.write(f"\n{text}\n")


def is_error(outcome: Outcome) -> bool:
    """Whether the client got no answer, a broken one, or a 5xx."""
    reply = outcome.reply
    return reply is None or not reply.complete or reply.status >= 500
