"""One breaker in many workers: what the others saw, and what operators ordered.

Every worker reports its transitions (``proxying.reporting``) and reads those of the others several
times a second; where there is Redis they tell each other at once (``proxying.breaker_news``). Of
two reports the later one counts. Half-open is nobody else's business: who tries an instance is
agreed on the node (``proxying.trial_board``). Orders of operators are rows too. While the database
and Redis are away every worker goes by what it sees itself. Leans on ``runtime.database``.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import Error

from proxying.breaker import Breaker, State
from proxying.breakers import Breakers, Key
from proxying.models import BreakerOverride, BreakerState
from proxying.reporting import BreakerReporter
from runtime.database import DatabaseThread
from runtime.outage import Outage
from runtime.tasks import repeat

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.4
_AHEAD = timedelta(seconds=5)
"""How far the clocks of two nodes may differ. What is reported for later than that was seen before
the clock was set back, and no later report can be compared with it."""
_RECENT = timedelta(seconds=30)
"""Reports older than this are of workers that are gone: the living repeat what is not closed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one other worker last reported of one breaker."""

    key: Key
    node: str
    state: State
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator last ordered of one breaker."""

    key: Key
    action: str
    until: datetime | None
    ordered_at: datetime


class BreakerSharing:
    """Keeps the breakers of one worker, called *node* in the rows, in step with all others."""

    def __init__(
        self, node: str, breakers: Breakers, reporter: BreakerReporter, database: DatabaseThread
    ) -> None:
        self._node = node
        self._breakers = breakers
        self._reporter = reporter
        self._database = database
        self._obeyed: dict[Key, tuple[Breaker, datetime]] = {}
        self._outage = Outage(logger, "breakers are not shared, each worker uses its own: %s")
        self._wake = asyncio.Event()

    async def keep_following(self) -> None:
        """Read and take over until cancelled."""
        await repeat(_LOOK_SECONDS, self._look, wake=self._wake)

    def wake(self) -> None:
        """Read now: there is a new order."""
        self._wake.set()

    async def _look(self) -> None:
        try:
            seen, orders = await self._database.run(_read, self._node)
        except Error as error:
            self._outage.note_failure(error)
            return
        self._outage.note_success()
        self.obey(orders)
        self.follow(seen)

    def follow(self, reports: Iterable[Seen]) -> None:
        """Take over what is newer than what this worker knows."""
        now, wall = time.monotonic(), datetime.now(UTC)
        for one in sorted(reports, key=lambda report: report.changed_at):
            breaker = self._breakers.get(*one.key)
            if breaker is None or not self._is_news(one, wall):
                continue
            age = max(0.0, (wall - one.changed_at).total_seconds())
            with self._reporter.as_of(one.changed_at):
                breaker.follow(one.state, now - age, now, f"seen by {one.node}")

    def _is_news(self, one: Seen, wall: datetime) -> bool:
        known = self._reporter.changed_at(*one.key)
        if one.changed_at > wall + _AHEAD:
            return False
        return one.changed_at > known or known > wall + _AHEAD

    def obey(self, orders: Iterable[Order]) -> None:
        """Carry out what is new, and give back the breakers whose order is withdrawn."""
        current: dict[Key, tuple[Breaker, datetime]] = {}
        for order in orders:
            breaker = self._breakers.get(*order.key)
            if breaker is None:
                continue
            current[order.key] = (breaker, order.ordered_at)
            if self._obeyed.get(order.key) != current[order.key]:
                _carry_out(order, breaker)
        for key, (breaker, _) in self._obeyed.items():
            if key not in current:
                breaker.reset("no longer forced")
        self._obeyed = current


def _carry_out(order: Order, breaker: Breaker) -> None:
    if order.action == BreakerOverride.Action.RESET:
        breaker.reset("reset by an operator")
        return
    left = math.inf
    if order.until is not None:
        left = (order.until - datetime.now(UTC)).total_seconds()
    if left > 0:
        until = f"until {order.until:%Y-%m-%d %H:%M} UTC" if order.until else "for good"
        state = State(order.action)
        breaker.force(state, time.monotonic() + left, f"forced {state.value} {until}")


def _read(node: str) -> tuple[list[Seen], list[Order]]:
    recent = datetime.now(UTC) - _RECENT
    reports = BreakerState.objects.filter(reported_at__gt=recent).exclude(node=node)
    seen = [
        Seen((service, instance), other, State(state), changed_at)
        for service, instance, other, state, changed_at in reports.values_list(
            "service", "instance", "node", "state", "changed_at"
        )
    ]
    orders = [
        Order((service, instance), action, until, ordered_at)
        for service, instance, action, until, ordered_at in BreakerOverride.objects.values_list(
            "service", "instance", "action", "until", "ordered_at"
        )
    ]
    return seen, orders
