"""What ASGI has no message for, and some servers do not do by themselves.

To end an answer that breaks off so that its client sees it: of an application that fails in
mid-answer uvicorn and hypercorn close an HTTP/1.1 connection, but daphne waits on, and hypercorn
leaves an HTTP/2 stream open. To hold an answer back while its client takes none of it: daphne and
hypercorn's HTTP/2 keep all of it in memory. For these two the way leads through what their
``send`` belongs to (daphne 4.2, hypercorn 0.18). It is recognised by its shape: before another
server, or another version of theirs, nothing is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]
Room = Callable[[], Awaitable[None]]

MOST_HELD = 256 * 1024
"""Bytes of an answer that wait for a slow client."""
_INTERNAL_ERROR = 2
_LEAVING_SECONDS = 1.0
"""For what was sent of the answer to leave before its stream is reset."""
_LOOK_SECONDS = 0.02
_OF_PROTOCOL = ("stream_buffers", "connection", "_flush")
_OF_STREAM = ("stream_id", "_send_closed")


def room_of(send: Send) -> Room | None:
    """What to wait for after each piece of an answer; ``None`` where the server waits itself."""
    if isinstance(send, partial):
        transport = _transport_of_daphne(send)
        return partial(_room_at_daphne, transport) if hasattr(transport, "_tempDataLen") else None
    stream, protocol = _at_hypercorn(send)
    held = protocol.stream_buffers.get(stream.stream_id) if protocol is not None else None
    return partial(_room_at_hypercorn, held) if held is not None else None


async def break_off(send: Send, *, lasts_until_close: bool) -> bool:
    """End the answer that *send* is for; ``False`` where the server has to.

    *lasts_until_close*: its end is the connection's, so a client can tell by a reset alone.
    """
    if isinstance(send, partial):
        return _close_at_daphne(send, lasts_until_close=lasts_until_close)
    return await _reset_at_hypercorn(send)


# --- daphne ---------------------------------------------------------------------------------------


def _transport_of_daphne(send: partial[Any]) -> Any:
    channel = getattr(send.args[0], "channel", None) if send.args else None
    return getattr(channel, "transport", None)


async def _room_at_daphne(transport: Any) -> None:
    # Twisted tells a producer, which daphne's request is not.
    while True:
        if not transport.connected or _waiting_at_daphne(transport) <= MOST_HELD:
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _waiting_at_daphne(transport: Any) -> int:
    waiting: int = len(transport.dataBuffer) - transport.offset + transport._tempDataLen
    return waiting


def _close_at_daphne(send: partial[Any], *, lasts_until_close: bool) -> bool:
    name = "abortConnection" if lasts_until_close else "loseConnection"
    close = getattr(_transport_of_daphne(send), name, None)
    if close is None:
        return False
    close()
    return True


# --- hypercorn ------------------------------------------------------------------------------------


def _at_hypercorn(send: Send) -> tuple[Any, Any]:
    """The HTTP/2 stream that *send* writes to, and its connection; ``None`` for both elsewhere."""
    stream = getattr(send, "__self__", None)
    protocol = getattr(getattr(stream, "send", None), "__self__", None)
    known = all(hasattr(protocol, name) for name in _OF_PROTOCOL)
    known = known and all(hasattr(stream, name) for name in _OF_STREAM)
    return (stream, protocol) if known else (None, None)


async def _room_at_hypercorn(held: Any) -> None:
    if len(held.buffer) >= MOST_HELD:
        await held.drain()


async def _reset_at_hypercorn(send: Send) -> bool:
    stream, protocol = _at_hypercorn(send)
    if protocol is None:
        return False
    held = protocol.stream_buffers.get(stream.stream_id)
    if held is not None and held.buffer:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                await held.drain()
    # h2 objects where the client has reset the stream, or left, in the meantime.
    with suppress(Exception):
        protocol.connection.reset_stream(stream.stream_id, _INTERNAL_ERROR)
        await protocol._flush()
    await stream._send_closed()
    return True
