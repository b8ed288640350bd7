"""The application a server runs: starts the node with the server's lifespan, stops it with it.

Needs the apps loaded: a worker loads those it needs (``worker``), other servers all (``asgi``).
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from gateway_project.env import get_settings
from gateway_project.settings import DATA_PLANE  # before anything of the data plane

if TYPE_CHECKING:
    from gateway_project.node import Node
    from proxying.bindings.asgi import Receive, Scope
    from proxying.bindings.asgi_servers import Send
    from proxying.bindings.edge import EdgeProtocol
    from proxying.fastpath.engine import FastPath
    from proxying.gateway import Gateway

logger = logging.getLogger(__name__)


async def _started_node() -> Node:
    # It leans on models, so it can be imported only now that the apps are loaded.
    from gateway_project.node import Node

    node = Node()
    try:
        await node.start()
    except BaseException:
        await node.stop()
        raise
    return node


class Application:
    """Starts the node with the server's lifespan, or, under servers without one, with the first
    request. A start that failed is tried again with the next.
    """

    def __init__(self, start: Callable[[], Coroutine[Any, Any, Node]] = _started_node) -> None:
        self._start = start
        self._starting: asyncio.Task[Node] | None = None
        self._node: Node | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the server's lifespan, the one ASGI scope of a worker: the edge brings requests."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    @property
    def gateway(self) -> Gateway:
        """What the edge serves; only once the server's lifespan has begun."""
        if self._node is None:
            raise RuntimeError("the node is not started")
        return self._node.gateway

    @property
    def is_fast(self) -> bool:
        """Whether a server that can is to leave accepting to the fast path."""
        # As the node, it leans on the data plane: settings come first.
        from gateway_project.fast_side import fast_path_library

        return fast_path_library(get_settings()) is not None

    def start_fast_path(
        self, listeners: list[socket.socket], connect: Callable[[], EdgeProtocol]
    ) -> FastPath:
        """Serve plain requests from *listeners*; *connect* makes the protocol of a connection that
        asks for more. Raises ``OSError``.
        """
        if self._node is None:
            raise RuntimeError("the node is not started")
        return self._node.start_fast_path(listeners, connect)

    def drain(self) -> None:
        """The server was told to stop: ``/ready`` says so from now on, requests are served on."""
        if self._node is not None:
            self._node.probes.draining = True

    async def node(self) -> Node:
        """The running node; the first who asks starts it, and may leave before it is started."""
        if self._node is not None:
            return self._node
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
            self._starting.add_done_callback(self._end_start)
        return await asyncio.shield(self._starting)

    def _end_start(self, starting: asyncio.Task[Node]) -> None:
        self._starting = None
        if starting.cancelled():
            return
        error = starting.exception()
        if error is None:
            self._node = starting.result()
        else:
            logger.error("the node could not be started", exc_info=error)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            node = await self.node()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        logger.info("compiled data plane: %s", DATA_PLANE.value)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await node.stop()
        await send({"type": "lifespan.shutdown.complete"})
