"""A running edge in front of a gateway that does what the test tells it to."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import uvicorn

from proxying.admission import Bounds, Patience, admit
from proxying.bindings.edge import EdgeProtocol
from proxying.errors import ProxyError
from proxying.exchange import Answer, Body, Bytes, Exchange, Headers
from proxying.problems import problem_answer, problem_of
from routing.errors import BadPath
from tests.servers import find_free_port

Script = Callable[[Exchange], Awaitable[Answer]]
BOUNDS = Bounds(target=200, header_block=2000, trusted_proxies=())


def answer(
    content: bytes | Body = b"ok", status: int = 200, headers: Headers | None = None
) -> Answer:
    """An answer, and nothing declared that *headers* do not declare."""
    body = Bytes(content) if isinstance(content, bytes) else content
    return Answer(status, headers or [], body)


async def read_all(body: Body) -> bytes:
    """The whole of it."""
    pieces = []
    while piece := await body.read():
        pieces.append(piece)
    return b"".join(pieces)


async def describe(exchange: Exchange) -> Answer:
    """Read the body and say what came: method, target, query and body."""
    body = await read_all(exchange.body)
    return answer(
        b"%s %s %r %s" % (exchange.method.encode(), exchange.target, exchange.query, body)
    )


def _problem(exchange: Exchange, failure: Exception) -> Answer:
    return problem_answer(exchange, problem_of(failure), [], b"today")


@dataclass
class ScriptedGateway:
    """Admits as the product does, then runs :attr:`script`."""

    script: Script = describe
    bounds: Bounds = BOUNDS
    exchanges: list[Exchange] = field(default_factory=list)
    """Those that could be read."""
    ended: queue.Queue[BaseException | None] = field(default_factory=queue.Queue)
    """How each of them ended: what it raised, or what its answer was closed with."""

    def admit(self, exchange: Exchange) -> bool:
        """Never the control plane's."""
        try:
            admit(exchange, self.bounds)
        except (ProxyError, BadPath) as failure:
            exchange.failure = failure
        return True

    async def __call__(self, exchange: Exchange) -> Answer:
        """What the script says, or the problem."""
        if exchange.method:
            self.exchanges.append(exchange)
        try:
            failure = exchange.failure
            given = _problem(exchange, failure) if failure else await self.script(exchange)
        except ProxyError as failure:
            given = _problem(exchange, failure)
        except BaseException as error:
            self.ended.put(error)
            raise
        given.on_close = self.ended.put
        return given


@dataclass
class Application:
    """What uvicorn is given."""

    gateway: ScriptedGateway

    async def __call__(self, scope: object, receive: object, send: object) -> None:
        """Nothing comes this way."""


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self.failures: list[dict[str, Any]] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.failures.append(context))
        self.listening.set()


class Edge:
    """A server in a thread of its own, until :meth:`stop`."""

    def __init__(self, patience: Patience, certificate: tuple[str, str] | None = None) -> None:
        self.gateway = ScriptedGateway(bounds=replace(BOUNDS, patience=patience))
        self.port = find_free_port()
        config = uvicorn.Config(
            Application(self.gateway),
            http=EdgeProtocol,
            port=self.port,
            loop="uvloop",
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            access_log=False,
            log_config=None,
            ssl_certfile=certificate[0] if certificate else None,
            ssl_keyfile=certificate[1] if certificate else None,
        )
        self.server = _Server(config)
        self._thread = threading.Thread(target=self.server.run, daemon=True)
        self._thread.start()
        assert self.server.listening.wait(20)

    def begin_stop(self) -> None:
        """What SIGTERM does."""
        self.server.should_exit = True

    def stop(self) -> None:
        """End the thread; fails when a task or a callback of the server did."""
        self.begin_stop()
        self._thread.join(20)
        assert not self._thread.is_alive()
        assert self.server.failures == [], self.server.failures

    def reset(self) -> None:
        """Forget the last test."""
        self.gateway.script = describe
        self.gateway.exchanges.clear()
        with suppress(queue.Empty):
            while True:
                self.gateway.ended.get_nowait()


@contextmanager
def running(
    patience: Patience | None = None, certificate: tuple[str, str] | None = None
) -> Iterator[Edge]:
    """An edge for the block."""
    edge = Edge(patience or Patience(), certificate)
    try:
        yield edge
    finally:
        edge.stop()
