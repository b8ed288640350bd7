"""Refuses WebSocket handshakes that reach the ASGI binding: only the edge has tunnels.

Where the server can carry an answer to a handshake (the ``websocket.http.response`` extension) the
client gets 501 as a problem, counted and logged like any other; else the server's own 403.
"""

from __future__ import annotations

from typing import Any

from proxying.bindings.asgi import Receive, Scope, Serves, exchange_of
from proxying.bindings.asgi_servers import Send
from proxying.errors import BadRequest
from proxying.exchange import EMPTY

_EXTENSION = "websocket.http.response"
_TRY_AGAIN_LATER = 1013


async def refuse_websocket(gateway: Serves, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one ``websocket`` scope."""
    await receive()
    if _EXTENSION not in (scope.get("extensions") or ()):
        await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
        return
    exchange = exchange_of(_as_http(scope), EMPTY)
    gateway.admit(exchange)
    exchange.failure = exchange.failure or BadRequest(
        "WebSocket is not proxied by this server", 501, "not_implemented"
    )
    answer = await gateway(exchange)
    try:
        head = {"status": answer.status, "headers": answer.headers}
        await send({"type": f"{_EXTENSION}.start", **head})
        await send({"type": f"{_EXTENSION}.body", "body": await answer.body.read()})
    finally:
        answer.close()


def _as_http(scope: Scope) -> dict[str, Any]:
    scheme = "https" if scope.get("scheme") == "wss" else "http"
    return {**scope, "method": "GET", "scheme": scheme}
