"""The journey of a request, top to bottom: match, identify, spend, forward, answer, finish.

No protocol library appears here; bindings hand over an ``Exchange`` and write the ``Answer``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from keys.authentication import Authenticator, Caller
from keys.errors import AuthenticationError, KeyStoreUnavailable
from proxying import metrics
from proxying.admission import FORWARDABLE, Bounds, admit, takes_another_hop
from proxying.answering import http_date, limit_headers, options_answer
from proxying.errors import (
    ClientGone,
    MethodNotAllowed,
    NoInstance,
    ProxyError,
    RateLimited,
    RouteMisconfigured,
    RouteNotFound,
)
from proxying.exchange import Answer, Exchange
from proxying.forwarding import Forwarder
from proxying.problems import problem_answer, problem_of
from proxying.snapshot import Plan, Snapshots
from proxying.upstream.base import UpstreamError
from proxying.websockets import WebSockets
from quotas.bucket import Decision
from quotas.errors import LimiterUnavailable
from quotas.meter import Meter
from routing.errors import BadPath
from routing.matching import Result
from routing.reserved import is_administrative, is_reserved
from routing.table import RoutePlan

logger = logging.getLogger(__name__)

LocalHandler = Callable[[Exchange], Awaitable[Answer]]
Observer = Callable[[Exchange, int, float], None]
"""Told of every finished exchange: the exchange, its status (499: the client left), seconds."""
RefusalObserver = Callable[[Exchange, AuthenticationError], None]
"""Told of every exchange whose caller was not identified, and why. Must not wait."""

_EXPECTED = (
    ProxyError,
    AuthenticationError,
    KeyStoreUnavailable,
    LimiterUnavailable,
    UpstreamError,
    BadPath,
)


@dataclass(slots=True)
class Gateway:
    """``await gateway(exchange)`` answers one request that :meth:`admit` has taken in."""

    bounds: Bounds
    snapshots: Snapshots
    authenticator: Authenticator
    meter: Meter | None
    """``None`` when ``RATE_LIMIT_ENABLED`` is off."""
    forwarder: Forwarder
    websockets: WebSockets
    local: Mapping[str, LocalHandler] = field(default_factory=dict)
    """The gateway's own endpoints that are answered in the data plane, by path."""
    control_plane: Plan | None = None
    """Where all other reserved paths go; ``None``: the binding has Django in its own process."""
    admin_exposed: bool = True
    """Whether the admin and the REST API are reached through here."""
    observers: Sequence[Observer] = ()
    refusal_observers: Sequence[RefusalObserver] = ()

    def admit(self, exchange: Exchange) -> bool:
        """Take the request in; ``False`` when its path is for Django in the binding's process.

        A request that cannot be taken in is admitted with its failure, to be answered.
        """
        exchange.started = time.perf_counter()
        try:
            admit(exchange, self.bounds)
        except _EXPECTED as failure:
            exchange.failure = failure
            return True
        if not self.admin_exposed and is_administrative(exchange.path):
            exchange.failure = RouteNotFound("no route matches this host and path")
            return True
        if self.control_plane is not None or exchange.path in self.local:
            return True
        return not is_reserved(exchange.path)

    async def __call__(self, exchange: Exchange) -> Answer:
        """The answer of the upstream, or the problem that kept the request from it.

        Raises only ``ClientGone`` and ``CancelledError``: then nobody is left to answer.
        """
        metrics.in_flight.level += 1
        try:
            answer = await self._journey(exchange)
        except (ClientGone, asyncio.CancelledError):
            self._finish(exchange, metrics.CLIENT_GONE)
            raise
        except Exception as error:
            answer = self._problem(exchange, error)
        self._finish_when_closed(exchange, answer)
        return answer

    async def _journey(self, exchange: Exchange) -> Answer:
        if exchange.failure is not None:
            raise exchange.failure
        local = self.local.get(exchange.path)
        if local is not None:
            return await local(exchange)
        if self.control_plane is not None and is_reserved(exchange.path):
            exchange.route = self.control_plane.route
            return await self.forwarder.forward(exchange, self.control_plane)
        plan = self._match(exchange)
        if plan.route.auth_methods:
            exchange.caller = await self._identify(exchange, plan.route)
        limited = exchange.caller is not None or plan.limits.own or plan.limits.everywhere
        if limited and self.meter is not None:
            exchange.decision = await self._spend(exchange, plan, self.meter)
        if not takes_another_hop(exchange):
            return options_answer(exchange, plan.route.allow or FORWARDABLE)
        if exchange.websocket_key:
            return await self.websockets.open(exchange, plan)
        return await self.forwarder.forward(exchange, plan)

    def _match(self, exchange: Exchange) -> Plan:
        snapshot = self.snapshots.current
        if snapshot is None or exchange.canonical is None:
            raise NoInstance("this node has no configuration yet")
        match = snapshot.table.match(exchange.method, exchange.host, exchange.canonical)
        if match.route is None:
            raise RouteNotFound("no route matches this host and path")
        if match.result is Result.PARTIAL:
            raise MethodNotAllowed(exchange.method, match.allow)
        exchange.route = match.route
        if match.route.fault:
            raise RouteMisconfigured("this route is misconfigured and closed until it is mended")
        return snapshot.plans[match.route.name]

    async def _identify(self, exchange: Exchange, route: RoutePlan) -> Caller:
        try:
            caller = await self.authenticator.authenticate(
                exchange.headers, route.auth_methods, exchange.client, route.name
            )
        except AuthenticationError as error:
            metrics.AUTHENTICATIONS.inc(error.code)
            for observe in self.refusal_observers:
                observe(exchange, error)
            raise
        metrics.AUTHENTICATIONS.inc("ok")
        return caller

    async def _spend(self, exchange: Exchange, plan: Plan, meter: Meter) -> Decision | None:
        begun = exchange.begun
        if begun is not None and begun.spent:
            meter.count(plan.limits, exchange.caller, exchange.client, begun.decision)
            return begun.decision
        decision = await meter.spend(
            plan.limits, exchange.caller, exchange.client, exchange.headers
        )
        if decision is not None and not decision.allowed:
            exchange.decision = decision
            raise RateLimited(decision)
        return decision

    def _problem(self, exchange: Exchange, error: Exception) -> Answer:
        if not isinstance(error, _EXPECTED):
            logger.error("request %s failed", exchange.request_id.decode(), exc_info=error)
        limits = limit_headers(exchange.decision)
        return problem_answer(exchange, problem_of(error), limits, http_date())

    def _finish_when_closed(self, exchange: Exchange, answer: Answer) -> None:
        release = answer.on_close

        def finish(error: BaseException | None) -> None:
            if release is not None:
                release(error)
            gone = isinstance(error, ClientGone | asyncio.CancelledError)
            self._finish(exchange, metrics.CLIENT_GONE if gone else answer.status)

        answer.on_close = finish

    def _finish(self, exchange: Exchange, status: int) -> None:
        metrics.in_flight.level -= 1
        if exchange.begun is not None:
            exchange.begun.close()
        seconds = time.perf_counter() - exchange.started
        for observe in self.observers:
            observe(exchange, status, seconds)
