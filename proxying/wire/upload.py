"""A request's body on its way to the upstream while the answer is awaited or already streams.

One task per upload, none for a request without a body. It ends in one of three ways, each told to
the connection or asked for by it: everything sent, an error (the body's own, passed through
unchanged), or stopped because nobody wants the rest. Leans on ``proxying.wire.framing``.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from proxying.exchange import Body
from proxying.upstream.base import ConnectionReset
from proxying.wire.framing import LAST_CHUNK, FramingError, chunk

SLICE = 65536
"""Bytes written at once, so that a large piece makes progress that a time-out can see."""


class Sink(Protocol):
    """Where an upload goes: the connection."""

    loop: asyncio.AbstractEventLoop

    async def write(self, data: bytes) -> None:
        """Send; returns when there is room for more."""
        ...

    def upload_ended(self, error: BaseException | None) -> None:
        """Called once unless the upload was stopped."""
        ...


async def whole(body: Body) -> bytes:
    """All of a body that is one piece."""
    content = await body.read()
    if len(content) != body.size:
        raise FramingError("the request body is not as long as declared")
    return content


class Upload:
    """Sends *body* to *sink* from now on; :meth:`stop` cancels it."""

    __slots__ = ("_body", "_sink", "_stopped", "_task")

    def __init__(self, sink: Sink, body: Body) -> None:
        self._sink = sink
        self._body = body
        self._stopped = False
        self._task = sink.loop.create_task(self._run())
        self._task.add_done_callback(self._ended)

    def stop(self) -> None:
        """The rest of the body is not wanted; nothing is reported."""
        self._stopped = True
        self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            error: BaseException | None = ConnectionReset("the upload was cancelled")
        else:
            error = task.exception()
        if not self._stopped:
            self._sink.upload_ended(error)

    async def _run(self) -> None:
        size = self._body.size
        if size is None:
            await self._send_chunks()
        else:
            await self._send_counted(size)

    async def _send_counted(self, left: int) -> None:
        """Exactly *left* bytes: the end is known without asking the body for it."""
        while left:
            piece = await self._body.read()
            if not piece or len(piece) > left:
                raise FramingError("the request body is not as long as declared")
            left -= len(piece)
            for start in range(0, len(piece), SLICE):
                await self._sink.write(piece[start : start + SLICE])

    async def _send_chunks(self) -> None:
        while piece := await self._body.read():
            for start in range(0, len(piece), SLICE):
                await self._sink.write(chunk(piece[start : start + SLICE]))
        await self._sink.write(LAST_CHUNK)
