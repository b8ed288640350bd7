"""One exchange on a shared HTTP/2 connection: its upload, and the answer whoever reads it gets.

An ``UpstreamAnswer``. Both bodies may be on their way at once, for as long as they like; the end of
the answer ends the upload. What the reader has not taken yet is bounded by the stream's window, so
a slow reader stops the upstream and no other stream. Leans on its connection through :class:`Line`.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from proxying.exchange import Body, Headers
from proxying.http2.messages import Head
from proxying.upstream.base import ConnectionReset, Stage, Timeouts, UpstreamTimeout
from proxying.wire.framing import FramingError

WINDOW = 256 * 1024
"""Bytes of an answer that may wait for their reader."""
_REFUSAL = 400
"""From this status on the rest of the request is not wanted."""
_CLOSED = "the answer was closed before its end"


class Line(Protocol):
    """The connection of a stream."""

    loop: asyncio.AbstractEventLoop

    def room(self, number: int) -> int:
        """Bytes of a body that stream *number* may send now."""
        ...

    def send(self, number: int, data: bytes) -> None:
        """Send a piece no longer than :meth:`room` says."""
        ...

    def end(self, number: int) -> None:
        """The request is whole."""
        ...

    def widen(self, number: int, count: int) -> None:
        """*count* bytes of the answer were taken."""
        ...

    def leave(self, number: int, *, reset: bool) -> None:
        """Forget the stream; *reset* when the upstream does not know that it is over."""
        ...

    def suspect(self, since: float) -> None:
        """Time ran out: take no new stream if nothing was heard *since*."""
        ...


class Stream:
    """Status 0 until the head is here."""

    def __init__(
        self,
        line: Line,
        number: int,
        body: Body,
        timeouts: Timeouts,
        total: float,
        *,
        to_head: bool,
    ) -> None:
        self.status = 0
        self.headers: Headers = []
        self.size: int | None = None
        self.trailers: Headers = []
        self.number = number
        self.to_head = to_head
        self.opened = line.loop.time()
        self._line: Line | None = line
        self._loop = line.loop
        self._read_seconds = timeouts.read
        self._head_stage: Stage = "first_byte" if timeouts.first_byte <= total else "total"
        self._head_seconds = min(timeouts.first_byte, total)
        self._moved = self.opened
        self._pieces: list[bytes] = []
        self._taken = 0
        self._whole = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._clock: asyncio.Timeout | None = None
        self._upload: asyncio.Task[None] | None = None
        if body.size != 0:
            self._upload = line.loop.create_task(self._send(line, body))
            self._upload.add_done_callback(self._sent)

    # --- the reader -----------------------------------------------------------------------------

    async def begun(self) -> Stream:
        """This answer once its head is here; raises what ended it before."""
        due = None if self._upload is not None else self._loop.time() + self._head_seconds
        try:
            while not self.status and self._error is None:
                async with asyncio.timeout_at(due) as self._clock:
                    await self._arrival()
        except TimeoutError:
            self._time_out(self._head_stage)
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._clock = None
        if self._error is not None and not self.status:
            raise self._error
        return self

    async def read(self) -> bytes:
        """All that is here, at least a byte; ``b""`` at the proper end, trailers are here then."""
        self._moved = max(self._moved, self._loop.time())
        try:
            while not self._pieces and not self._whole and self._error is None:
                await self._next()
        except asyncio.CancelledError:
            self.close()
            raise
        pieces = self._pieces
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._widen(len(data))
            return data
        if self._error is not None:
            raise self._error
        return b""

    async def _next(self) -> None:
        """Something came, or neither body moved for as long as that may take."""
        try:
            async with asyncio.timeout_at(self._moved + self._read_seconds):
                await self._arrival()
        except TimeoutError:
            if self._loop.time() >= self._moved + self._read_seconds:
                self._time_out("read")

    async def _arrival(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _widen(self, count: int) -> None:
        self._taken += count
        if self._line is not None and self._taken >= WINDOW // 4:
            self._line.widen(self.number, self._taken)
            self._taken = 0

    def close(self) -> None:
        """Let go; the upstream is told if it is not done."""
        self._pieces.clear()
        if not self._whole:
            self.fail(ConnectionReset(_CLOSED))

    def _time_out(self, stage: Stage) -> None:
        line = self._line
        self.fail(UpstreamTimeout(stage))
        if line is not None:
            line.suspect(self.opened)

    # --- told by the connection -----------------------------------------------------------------

    def begin(self, head: Head) -> None:
        """The head of the answer."""
        self.status, self.headers, self.size = head.status, head.headers, head.size
        if self.status >= _REFUSAL:
            self._stop_upload()
        self._wake()

    def deliver(self, data: bytes, padding: int) -> None:
        """Bytes of the body, and how many came with them that are none."""
        self._moved = self._loop.time()
        if padding:
            self._widen(padding)
        if data:
            self._pieces.append(data)
            self._wake()

    def finish(self) -> None:
        """The answer is whole; what is left of the request is dropped."""
        self._whole = True
        self._leave(reset=self._upload is not None)

    def fail(self, error: BaseException, *, reset: bool = True) -> None:
        """The exchange is over; the upstream is told unless it knows."""
        if self._line is None:
            return
        self._error = error
        self._leave(reset=reset)

    def more_room(self) -> None:
        """The upstream takes more of the request."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _leave(self, *, reset: bool) -> None:
        line, self._line = self._line, None
        self._stop_upload()
        if line is not None:
            line.leave(self.number, reset=reset)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # --- the upload -----------------------------------------------------------------------------

    def _stop_upload(self) -> None:
        if self._upload is not None:
            self._upload.cancel()

    async def _send(self, line: Line, body: Body) -> None:
        await self._send_whole(line, body)
        line.end(self.number)
        self._upload = None
        if self._clock is not None and not self._clock.expired():
            self._clock.reschedule(self._loop.time() + self._head_seconds)

    def _sent(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(error)

    async def _send_whole(self, line: Line, body: Body) -> None:
        left = body.size
        while left != 0 and (piece := await body.read()):
            if left is not None:
                left -= len(piece)
                if left < 0:
                    break
            await self._send_piece(line, piece)
        if left:
            raise FramingError("the request body is not as long as declared")

    async def _send_piece(self, line: Line, piece: bytes) -> None:
        start = 0
        while start < len(piece):
            room = line.room(self.number)
            if not room:
                await self._wait_for_room()
                continue
            line.send(self.number, piece[start : start + room])
            start += room
            self._moved = self._loop.time()

    async def _wait_for_room(self) -> None:
        self._room = self._loop.create_future()
        try:
            async with asyncio.timeout(self._read_seconds):
                await self._room
        except TimeoutError:
            raise UpstreamTimeout("read") from None
        finally:
            self._room = None
