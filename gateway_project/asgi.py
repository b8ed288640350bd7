"""The ASGI application: the gateway in front of Django, for uvicorn, daphne and runserver."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from gateway_project.application import Application
from proxying.bindings.asgi import AsgiBinding, Receive, Scope
from proxying.bindings.asgi_servers import Send
from proxying.bindings.asgi_websocket import refuse_websocket

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
control_plane = get_asgi_application()


class AsgiApplication(Application):
    """Under servers without a lifespan, the first request starts the node."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        match scope["type"]:
            case "http":
                node = await self.node()
                await AsgiBinding(node.gateway, control_plane)(scope, receive, send)
            case "lifespan":
                await super().__call__(scope, receive, send)
            case "websocket":
                node = await self.node()
                await refuse_websocket(node.gateway, scope, receive, send)


application = AsgiApplication()
