"""What a worker knows of its upstreams' health: breakers, checks, and what other workers saw."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxying.breakers import Breakers, Transition
from proxying.health_board import Board
from proxying.health_checks import HealthChecks
from proxying.health_probes import Prober
from proxying.health_reporting import HealthReporter
from proxying.reporting import BreakerReporter
from proxying.services import Upstreams
from proxying.sharing import BreakerSharing
from proxying.trial_board import TrialBoard
from proxying.upstream.transports import Transports
from routing.plans import ServicePlan
from runtime.redis_place import configured

if TYPE_CHECKING:
    from gateway_project.env import Settings
    from proxying.wire.resolve import AddressRule
    from runtime.database import DatabaseThread
    from runtime.tasks import TaskOwner

_LONGEST_NAME = 100


class HealthSide:
    """The services a worker sends to, and everything that says which instance may be asked."""

    def __init__(
        self,
        settings: Settings,
        reader: DatabaseThread,
        writer: DatabaseThread,
        allowed: AddressRule | None = None,
    ) -> None:
        self._name = name = worker_name(settings)
        self._reporter = BreakerReporter(name, writer)
        self._breakers = Breakers(
            [self._reporter, self._noted], TrialBoard(settings.var_directory).turn_of
        )
        self._sharing = BreakerSharing(name, self._breakers, self._reporter, reader)
        self._applied = settings.circuit_breaker_enabled
        self.upstreams = Upstreams(self._breakers if self._applied else None)
        self._health = HealthReporter(node_name(settings), writer)
        self._prober = Prober(Transports(allowed=allowed), allowed)
        self._checks = HealthChecks(
            Board(settings.var_directory), self._prober, self.upstreams.judge, self._health
        )

    def _noted(self, _: Transition) -> None:
        self.upstreams.tell()

    def adjust(self, services: Mapping[str, ServicePlan]) -> None:
        """Check the instances of a new revision."""
        self._checks.adjust(services)

    def start(self, owner: TaskOwner) -> None:
        """Begin to check, to report and to follow."""
        owner.start("health checks", self._checks.run)
        owner.start("health reports", self._health.keep_writing)
        if self._applied:
            owner.start("breaker reports", self._reporter.keep_writing)
            owner.start("breaker sharing", self._sharing.keep_following)
            if configured():
                self._start_news(owner)

    def _start_news(self, owner: TaskOwner) -> None:
        from proxying.breaker_news import BreakerNews  # with Redis's library

        news = BreakerNews(self._name, self._sharing)
        self._reporter.heard = news
        owner.start("breaker news", news.keep_telling)
        owner.start("breaker subscription", news.keep_listening)

    async def close(self) -> None:
        """Close the checks' connections."""
        await self._prober.close()


def node_name(settings: Settings) -> str:
    """What this node is called in rows that people read."""
    return (settings.node_name or f"{socket.gethostname()}:{settings.listen_port}")[-_LONGEST_NAME:]


def worker_name(settings: Settings) -> str:
    """What this process of the node is called there."""
    return f"{node_name(settings)}/{os.getpid()}"[-_LONGEST_NAME:]
