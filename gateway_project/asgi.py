"""The ASGI application: the gateway in front of Django, for uvicorn, daphne and runserver."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from django.core.asgi import get_asgi_application

from proxying.bindings.asgi import AsgiBinding, Receive, Scope
from proxying.bindings.asgi_servers import Send
from proxying.bindings.asgi_websocket import refuse_websocket

if TYPE_CHECKING:
    from gateway_project.node import Node
    from proxying.gateway import Gateway

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
control_plane = get_asgi_application()


class Application:
    """Starts the node with the server's lifespan, or, under servers without one, with the first
    request.
    """

    def __init__(self) -> None:
        self._starting: asyncio.Future[Node] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        match scope["type"]:
            case "http":
                node = await self.node()
                await AsgiBinding(node.gateway, control_plane)(scope, receive, send)
            case "lifespan":
                await self._lifespan(receive, send)
            case "websocket":
                node = await self.node()
                await refuse_websocket(node.gateway, scope, receive, send)

    @property
    def gateway(self) -> Gateway:
        """What the edge serves; only once the server's lifespan has begun."""
        if self._starting is None:
            raise RuntimeError("the node is not started")
        return self._starting.result().gateway

    def drain(self) -> None:
        """The server was told to stop: ``/ready`` says so from now on, requests are served on."""
        if self._starting is not None and self._starting.done():
            self._starting.result().probes.draining = True

    async def node(self) -> Node:
        """The running node; the first who asks starts it."""
        if self._starting is None:
            self._starting = asyncio.get_running_loop().create_future()
            try:
                node = await _new_node()
            except BaseException as error:
                failed, self._starting = self._starting, None
                failed.set_exception(error)
                failed.exception()  # those who wait see it; none may wait
                raise
            self._starting.set_result(node)
        return await asyncio.shield(self._starting)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            node = await self.node()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await node.stop()
        await send({"type": "lifespan.shutdown.complete"})


async def _new_node() -> Node:
    # It leans on models, so it can be imported only now that the apps are loaded.
    from gateway_project.node import Node

    node = Node()
    await node.start()
    return node


application = Application()
