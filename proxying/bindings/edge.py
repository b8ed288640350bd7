"""The edge: the gateway's own HTTP/1.1 server side, as a protocol class for uvicorn.

``uvicorn.Config(application, http=EdgeProtocol, …)``: uvicorn keeps sockets, TLS, signals and
processes. The application needs nothing but a ``gateway``; uvicorn must not wrap it
(``interface="asgi3"``, ``proxy_headers=False``). Leans on ``proxying.wire.server``.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any, Protocol

import uvicorn
from uvicorn.server import ServerState

from proxying.admission import Bounds
from proxying.answering import http_date
from proxying.bindings.asgi import Serves
from proxying.bindings.edge_state import EdgeState, TakesBack
from proxying.errors import RouteNotFound
from proxying.exchange import Answer, Exchange
from proxying.problems import problem_answer, problem_of
from proxying.wire.server import ServerConnection


class Bounded(Serves, Protocol):
    """What the edge needs of the gateway."""

    @property
    def bounds(self) -> Bounds:
        """What is refused while it is read."""
        ...


class EdgeProtocol(ServerConnection):
    """One connection; uvicorn makes it, and stops it with :meth:`shutdown`."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        gateway: Bounded = config.loaded_app.gateway
        super().__init__(_loop or asyncio.get_running_loop(), gateway, gateway.bounds)
        self._gateway = gateway
        self._state = server_state
        self.returns = 0
        """How often the connection asked for what the fast path cannot serve."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be among those the server stops."""
        connections: set[Any] = self._state.connections  # uvicorn names its own classes
        connections.add(self)
        super().connection_made(transport)
        if isinstance(self._state, EdgeState) and self._state.parting:
            self.part()

    def connection_lost(self, exc: Exception | None) -> None:
        """Be no longer."""
        self._state.connections.discard(self)
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: see :meth:`ServerConnection.stop`."""
        self.stop()

    def started(self, task: asyncio.Task[None]) -> None:
        """The server waits for *task* before it ends, and cancels it when its patience does."""
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def given_back(self) -> bool:
        """To the fast path, while there is one and the server is to go on."""
        fast_path = self._fast_path
        return fast_path is not None and fast_path.take_back(self._transport, self.returns)

    @property
    def _fast_path(self) -> TakesBack | None:
        state = self._state
        if not isinstance(state, EdgeState) or state.parting:
            return None
        return state.fast_path

    def served(self) -> None:
        """The server counts requests, it may be told to end after some."""
        self._state.total_requests += 1

    def refused(self, exchange: Exchange) -> Answer | None:
        """What cannot be read is not admitted: the gateway answers, counts and logs its failure."""
        if exchange.failure is not None:
            exchange.started = time.perf_counter()
            exchange.request_id = secrets.token_hex(16).encode()
            return None
        admitted = self._gateway.admit(exchange)
        fast_path = self._fast_path
        exchange.plain = fast_path is not None and fast_path.takes_back(self.returns)
        begun = exchange.begun
        if begun is not None:
            # What the upstream was told already.
            exchange.request_id, exchange.traceparent = begun.request_id, begun.traceparent
            exchange.started -= begun.elapsed
        if admitted:
            return None
        failure = RouteNotFound("no route matches this host and path")
        return problem_answer(exchange, problem_of(failure), [], http_date())
