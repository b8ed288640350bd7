"""An answer as ASGI messages, trailers included where server and client take them.

Trailers go by the ``http.response.trailers`` extension, to clients that said ``TE: trailers``; gRPC
rests on them. An answer that breaks off is ended in a way its client can tell from a proper end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from proxying.bindings.asgi_servers import Send, break_off, room_of
from proxying.exchange import Answer, Exchange, Headers
from proxying.headers import values_of
from proxying.trailers import wanted
from proxying.upstream.base import UpstreamError, UpstreamTimeout

_EXTENSION = "http.response.trailers"
_GRPC = b"application/grpc"
_DEADLINE_EXCEEDED, _UNAVAILABLE = b"4", b"14"
_OF_GRPC = (b"grpc-status", b"grpc-message", b"grpc-status-details-bin")


async def write(
    scope: Mapping[str, Any],
    exchange: Exchange,
    answer: Answer,
    send: Send,
    before_end: Callable[[], Awaitable[None]],
) -> None:
    """Send *answer*; raises what its body raises where that is left to the server to show."""
    trailed = (
        answer.trailers is not None
        and _EXTENSION in (scope.get("extensions") or ())
        and wanted(exchange.headers)
    )
    headers, moved = _without_status(answer.headers) if trailed else (answer.headers, [])
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    await send({**start, "trailers": True} if trailed else start)
    room = room_of(send)
    try:
        while piece := await answer.body.read():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if room is not None:
                await room()
    except UpstreamError as error:
        if trailed and _is_grpc(headers):
            answer.close(error)
            await before_end()
            await _end(send, _broken_call(error))
            return
        answer.close(error)
        sized = bool(values_of(headers, b"content-length"))
        old = scope.get("http_version") == "1.0" and not sized
        if await break_off(send, lasts_until_close=old):
            return
        if scope.get("http_version") == "2" and sized:
            # Shorter than it says, so malformed to every client (RFC 9113 8.1.1): servers leave the
            # stream of an application that failed open.
            await _end(send, None)
            return
        raise
    await before_end()
    await _end(send, [*moved, *answer.trailers()] if trailed and answer.trailers else None)


async def _end(send: Send, trailers: Headers | None) -> None:
    await send({"type": "http.response.body", "body": b""})
    if trailers is not None:
        await send({"type": _EXTENSION, "headers": trailers})


def _is_grpc(headers: Headers) -> bool:
    return any(value.lower().startswith(_GRPC) for value in values_of(headers, b"content-type"))


def _without_status(headers: Headers) -> tuple[Headers, Headers]:
    """Of a gRPC answer that is nothing but trailers: what is the head's, and what is the end's."""
    moved = [pair for pair in headers if pair[0] in _OF_GRPC]
    return [pair for pair in headers if pair[0] not in _OF_GRPC] if moved else headers, moved


def _broken_call(error: UpstreamError) -> Headers:
    late = isinstance(error, UpstreamTimeout)
    return [
        (b"grpc-status", _DEADLINE_EXCEEDED if late else _UNAVAILABLE),
        (b"grpc-message", b"the upstream timed out" if late else b"the upstream broke off"),
    ]
