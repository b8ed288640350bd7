"""What a worker serves from: one revision, compiled, frozen, swapped whole.

A request takes the snapshot once, when it is matched, so no request mixes two revisions (DESIGN
decision 1). What lives longer than a revision (breakers, in-flight counts, budgets) is held by
``proxying.upstreams`` and handed on to the next snapshot.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from proxying import metrics
from proxying.services import Upstreams
from proxying.upstream.base import Timeouts
from proxying.upstreams import Upstream
from quotas.rules import RouteLimits, compile_limits
from routing.table import RoutePlan, Table

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """A route with everything its journey needs, resolved at publish."""

    route: RoutePlan
    limits: RouteLimits
    upstream: Upstream
    timeouts: Timeouts
    ours: bool = False
    """It leads to the control plane."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A revision in the form requests are served from."""

    number: int
    sha256: str
    table: Table
    plans: Mapping[str, Plan]
    """By name of the route; one that is closed because it does not compile has none."""


class Snapshots:
    """Holds the current snapshot of a worker; :meth:`install` swaps it."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self.current: Snapshot | None = None

    def install(self, number: int, sha256: str, table: Table) -> None:
        """Serve *table* from the next request on."""
        upstreams = self._upstreams.adopt(table.services)
        last = self.current
        known = last.plans if last is not None and last.table.limits == table.limits else {}
        plans = {
            name: _plan(route, upstreams[route.service.name], known.get(name), table)
            for name, route in table.routes.items()
            if not route.fault
        }
        self.current = Snapshot(number, sha256, table, plans)
        metrics.REVISION.set(number)
        logger.info("serving revision %d (%s)", number, sha256[:12])


def _plan(route: RoutePlan, upstream: Upstream, known: Plan | None, table: Table) -> Plan:
    """The plan of *route*: *known*, that of the last snapshot, as far as nothing has changed."""
    if known is None:
        return Plan(route, compile_limits(route, table.limits), upstream, _timeouts(*route.seconds))
    if known.route is route and known.upstream is upstream:
        return known
    same = known.route.limits == route.limits
    limits = known.limits if same else compile_limits(route, table.limits)
    return Plan(route, limits, upstream, _timeouts(*route.seconds))


@lru_cache(maxsize=256)
def _timeouts(connect: float, head: float, read: float, total: float) -> Timeouts:
    """One object for all routes with these."""
    return Timeouts(connect, head, read, total)
