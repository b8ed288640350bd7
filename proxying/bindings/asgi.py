"""The ASGI binding: runs on runserver, daphne, uvicorn, granian and hypercorn.

It stands in front of Django: what the gateway does not admit goes to the ASGI application it was
given. What ASGI hides from it (an empty ``?``, the authority of an
absolute-form target, the raw connection) is listed in docs/architecture.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import quote, unquote

from proxying.answering import http_date
from proxying.bindings.asgi_servers import Send
from proxying.bindings.asgi_strict import fault_of
from proxying.bindings.asgi_writing import write
from proxying.errors import ClientGone
from proxying.exchange import Answer, Body, Exchange, Headers

Scope = Mapping[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 application; frameworks differ in which mappings they call mutable."""


_OLD = ("1.0", "1.1")
_ONE_AT_A_TIME = (b"1.0", b"1.1")
_SELDOM_WITH_BODY = frozenset(("GET", "HEAD", "OPTIONS", "DELETE"))
"""In HTTP/2 only their end says that they have none."""


_PASSED_OVER_BYTES = 256 * 1024
_PASSED_OVER_SECONDS = 2.0


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
        if body.size is None and scope["method"] in _SELDOM_WITH_BODY:
            await body.look()
        exchange = exchange_of(scope, body)
        if self._gateway.admit(exchange) or exchange.failure is not None:
            await self._relay(scope, exchange, body, send)
        else:
            await self._control_plane(_canonical(scope, exchange), body.receive, _dated(send))

    async def _relay(
        self, scope: Scope, exchange: Exchange, body: _RequestBody, send: Send
    ) -> None:
        departure = _Departure(body)
        answer: Answer | None = None

        async def before_end() -> None:
            if exchange.version not in _ONE_AT_A_TIME:
                departure.stop()
                await body.pass_over()

        try:
            answer = await self._gateway(exchange)
            await write(scope, exchange, answer, send, before_end)
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
    headers = _headers(scope)
    return Exchange(
        method=scope["method"],
        target=raw_path.partition(b"?")[0],
        query=query,
        headers=headers,
        body=body,
        peer=client[0],
        scheme=scheme,
        port=server[1] or (443 if scheme == "https" else 80),
        version=scope.get("http_version", "1.1").encode(),
        failure=fault_of(scope["method"], query, headers),
    )


def _headers(scope: Scope) -> Headers:
    """HTTP/2 lets a client cut its cookies into lines, HTTP/1.1 does not (RFC 9113 8.2.3)."""
    headers = [(name.lower(), value) for name, value in scope["headers"]]
    cookies = [value for name, value in headers if name == b"cookie"]
    if len(cookies) < 2 or scope.get("http_version", "1.1") in _OLD:
        return headers
    joined = [(name, value) for name, value in headers if name != b"cookie"]
    return [*joined, (b"cookie", b"; ".join(cookies))]


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


def _dated(send: Send) -> Send:
    """Django's answers with the ``Date`` that its server may not add (RFC 9110 §6.6.1)."""

    async def dated(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if all(name.lower() != b"date" for name, _ in headers):
                message = {**message, "headers": [*headers, (b"date", http_date())]}
        await send(message)

    return dated


class _RequestBody:
    """The body as ASGI messages; notices when the client leaves in the middle of it."""

    __slots__ = ("_first", "_receive", "complete", "on_complete", "size")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._first: Message | None = None
        self.size = _declared_size(scope)
        self.complete = False
        self.on_complete: Callable[[], None] | None = None

    async def read(self) -> bytes:
        """The next piece, ``b""`` at the end; raises ``ClientGone``."""
        while not self.complete:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if not message.get("more_body", False):
                self.complete = True
                if self.on_complete is not None:
                    self.on_complete()
            if piece := message.get("body", b""):
                return bytes(piece)
        return b""

    async def pass_over(self) -> None:
        """Take a little of what is left, before the answer ends.

        hypercorn 0.18 ends the whole connection on a byte of a request that was answered already.
        """
        left = _PASSED_OVER_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(_PASSED_OVER_SECONDS):
                while left > 0 and (piece := await self.read()):
                    left -= len(piece)

    async def look(self) -> None:
        """Find out whether there is a body at all, before anything is done for the request."""
        message = self._first = await self._receive()
        more = message.get("more_body", False)
        if message["type"] == "http.request" and not more and not message.get("body"):
            self.size, self.complete = 0, True

    async def receive(self) -> Message:
        """What the server has to say, from the first message on."""
        message, self._first = self._first, None
        return message or await self._receive()

    async def gone(self) -> None:
        """Return when the client has left; call only when no more of the body is read."""
        while True:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                return


def _declared_size(scope: Scope) -> int | None:
    names = dict.fromkeys(name.lower() for name, _ in scope["headers"])
    if b"transfer-encoding" in names:
        return None
    lengths = [value for name, value in scope["headers"] if name.lower() == b"content-length"]
    if not lengths:
        return 0 if scope.get("http_version", "1.1") in _OLD else None
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
