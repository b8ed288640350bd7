"""Ends an answer that breaks off so that its client sees it. ASGI has no message for that.

Of an application that fails in mid-answer uvicorn and hypercorn close an HTTP/1.1 connection;
daphne waits on, and hypercorn leaves an HTTP/2 stream open. For these two the way leads through
what their ``send`` belongs to (daphne 4.2, hypercorn 0.18). It is recognised by its shape: before
another server, or another version of theirs, nothing is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

_INTERNAL_ERROR = 2
_OF_HYPERCORN = ("stream_buffers", "_flush", "stream_id", "_send_closed")
_LEAVING_SECONDS = 1.0
"""For what was sent of the answer to leave before its stream is reset."""


async def break_off(send: Callable[[Any], Awaitable[None]], *, lasts_until_close: bool) -> bool:
    """End the answer that *send* is for; ``False`` where the server has to.

    *lasts_until_close*: its end is the connection's, so a client can tell by a reset alone.
    """
    if isinstance(send, partial):
        return _close_at_daphne(send, lasts_until_close=lasts_until_close)
    return await _reset_at_hypercorn(send)


def _close_at_daphne(send: partial[Awaitable[None]], *, lasts_until_close: bool) -> bool:
    channel = getattr(send.args[0], "channel", None) if send.args else None
    transport = getattr(channel, "transport", None)
    name = "abortConnection" if lasts_until_close else "loseConnection"
    close = getattr(transport, name, None)
    if close is None:
        return False
    close()
    return True


async def _reset_at_hypercorn(send: Callable[[Any], Awaitable[None]]) -> bool:
    stream: Any = getattr(send, "__self__", None)
    protocol: Any = getattr(getattr(stream, "send", None), "__self__", None)
    if not all(map(hasattr, (protocol, protocol, stream, stream), _OF_HYPERCORN)):
        return False
    number = stream.stream_id
    waiting = protocol.stream_buffers.get(number)
    if waiting is not None and waiting.buffer:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                await waiting.drain()
    # h2 objects where the client has reset the stream, or left, in the meantime.
    with suppress(Exception):
        protocol.connection.reset_stream(number, _INTERNAL_ERROR)
        await protocol._flush()
    await stream._send_closed()
    return True
