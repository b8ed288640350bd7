"""The ASGI binding: runs on runserver, daphne, uvicorn, granian and hypercorn.

It stands in front of Django: what the gateway does not admit goes to the ASGI application it was
given. What ASGI hides from it (an empty ``?``, the authority of an
absolute-form target, the raw connection) is listed in docs/architecture.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol
from urllib.parse import quote, unquote

from proxying.errors import ClientGone
from proxying.exchange import Answer, Body, Exchange

Scope = Mapping[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application; frameworks differ in which mappings they call mutable."""


class Serves(Protocol):
    """What a binding needs of the gateway."""

    def admit(self, exchange: Exchange) -> bool:
        """Take the request in; ``False`` when its path is the control plane's."""
        ...

    async def __call__(self, exchange: Exchange) -> Answer:
        """Answer an admitted exchange; every failure is an answer too."""
        ...


class AsgiBinding:
    """Serves HTTP scopes through *gateway*, everything it declines through *control_plane*."""

    def __init__(self, gateway: Serves, control_plane: Application) -> None:
        self._gateway = gateway
        self._control_plane = control_plane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ``http`` scope."""
        body = _RequestBody(scope, receive)
        exchange = exchange_of(scope, body)
        if self._gateway.admit(exchange):
            await self._relay(exchange, body, send)
        else:
            await self._control_plane(_canonical(scope, exchange), receive, send)

    async def _relay(self, exchange: Exchange, body: _RequestBody, send: Send) -> None:
        departure = _Departure(body)
        answer: Answer | None = None
        try:
            answer = await self._gateway(exchange)
            await _write(answer, send)
            answer.close()
        except BaseException as error:
            left = departure.happened or isinstance(error, ClientGone)
            if answer is not None:
                answer.close(ClientGone() if left else error)
            if not left:
                raise
        finally:
            departure.stop()


def exchange_of(scope: Scope, body: Body) -> Exchange:
    """The facts of an ASGI ``http`` scope."""
    client = scope.get("client") or ("", 0)
    server = scope.get("server") or ("", None)
    scheme = scope.get("scheme", "http")
    raw_path = scope.get("raw_path") or quote(scope["path"], safe="/!$&'()*+,;=:@~").encode()
    query = scope.get("query_string") or None
    return Exchange(
        method=scope["method"],
        target=raw_path.partition(b"?")[0],
        query=query,
        headers=[(name.lower(), value) for name, value in scope["headers"]],
        body=body,
        peer=client[0],
        scheme=scheme,
        port=server[1] or (443 if scheme == "https" else 80),
        version=scope.get("http_version", "1.1").encode(),
    )


def _canonical(scope: Scope, exchange: Exchange) -> dict[str, Any]:
    """The scope Django sees: a reserved path in the one spelling it was recognised by."""
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"x-request-id"]
    headers.append((b"x-request-id", exchange.request_id))
    _, port = scope.get("client") or ("", 0)
    return {
        **scope,
        "client": (exchange.client, port),
        "path": unquote(exchange.path),
        "raw_path": exchange.path.encode(),
        "headers": headers,
    }


async def _write(answer: Answer, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": answer.headers,
        }
    )
    while piece := await answer.body.read():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class _RequestBody:
    """The body as ASGI messages; notices when the client leaves in the middle of it."""

    __slots__ = ("_receive", "complete", "on_complete", "size")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self.size = _declared_size(scope)
        self.complete = False
        self.on_complete: Callable[[], None] | None = None

    async def read(self) -> bytes:
        """The next piece, ``b""`` at the end; raises ``ClientGone``."""
        while not self.complete:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if not message.get("more_body", False):
                self.complete = True
                if self.on_complete is not None:
                    self.on_complete()
            if piece := message.get("body", b""):
                return bytes(piece)
        return b""

    async def gone(self) -> None:
        """Return when the client has left; call only when no more of the body is read."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return


def _declared_size(scope: Scope) -> int | None:
    names = dict.fromkeys(name.lower() for name, _ in scope["headers"])
    if b"transfer-encoding" in names:
        return None
    lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    if not lengths:
        return 0 if scope.get("http_version", "1.1") in ("1.0", "1.1") else None
    return int(lengths[0]) if lengths[0].isdigit() else None


class _Departure:
    """Watches for the client leaving once its body is read, and ends the exchange then."""

    __slots__ = ("_body", "_owner", "_watch", "happened")

    def __init__(self, body: _RequestBody) -> None:
        self._body = body
        self._owner = asyncio.current_task()
        self._watch: asyncio.Task[None] | None = None
        self.happened = False
        if body.size == 0:
            self._begin()
        else:
            body.on_complete = self._begin

    def _begin(self) -> None:
        self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        await self._body.gone()
        self.happened = True
        if self._owner is not None:
            self._owner.cancel()

    def stop(self) -> None:
        """End the watch."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
