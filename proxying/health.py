"""What active health checks conclude. Pure: results and the time are handed in.

An instance is well until ``unhealthy_after`` checks in a row failed, and unwell until
``healthy_after`` in a row succeeded; one that was never checked is well, so a new service serves
at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from routing.document import HealthCheckSpec

Key = tuple[str, str]
"""Name of the service, URL of the instance."""


class Verdict(msgspec.Struct, frozen=True, array_like=True):
    """What is known of one instance. Times are epoch seconds."""

    service: str
    instance: str
    healthy: bool
    since: float
    checked_at: float
    reason: str = ""
    """Why its last check failed; empty when it did not."""

    @property
    def key(self) -> Key:
        """The instance it is about."""
        return self.service, self.instance


class Checkup:
    """Turns the results of one instance's checks into its verdict."""

    __slots__ = ("_against", "spec", "verdict")

    def __init__(self, spec: HealthCheckSpec, verdict: Verdict) -> None:
        self.spec = spec
        self.verdict = verdict
        self._against = 0
        """Results in a row that contradict the verdict."""

    def note(self, failure: str, now: float) -> bool:
        """Take one result, *failure* being why it is a bad one; whether the verdict changed."""
        before = self.verdict
        healthy = before.healthy
        self._against = self._against + 1 if healthy is bool(failure) else 0
        needed = self.spec.unhealthy_after if healthy else self.spec.healthy_after
        changed = self._against >= needed
        if changed:
            self._against = 0
            healthy = not healthy
        self.verdict = Verdict(*before.key, healthy, now if changed else before.since, now, failure)
        return changed


def unhealthy(verdicts: Iterable[Verdict]) -> frozenset[Key]:
    """The instances that are not well."""
    return frozenset(verdict.key for verdict in verdicts if not verdict.healthy)


def as_expected(status: int, expect: Iterable[str]) -> bool:
    """Whether *status* is one of ``200``, ``2xx``, …"""
    return any(str(status) == one or f"{status // 100}xx" == one for one in expect)


def first_verdict(key: Key, known: Mapping[Key, Verdict], now: float) -> Verdict:
    """What is known already, else that it is well."""
    return known.get(key) or Verdict(*key, healthy=True, since=now, checked_at=0.0)
