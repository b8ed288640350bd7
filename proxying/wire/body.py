"""The body of a request: decoded as it arrives, held until it is asked for.

Leans on ``proxying.wire.framing`` for what a chunk is, and on its connection, through
:class:`Source`, for back-pressure, the clock and ``100 Continue``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from proxying.errors import BadRequest
from proxying.wire.framing import FramingError, check_trailers, chunk_size

_LINE_END = b"\r\n"
_MAX_LINE = 256
"""Bytes of a chunk's size line, its extensions included."""
_MAX_TRAILERS = 8192
MAX_HELD = 65536
"""Bytes that wait for their reader before nothing more is taken off the socket."""


_Step = Callable[["ChunkReader", bytes, int, list[bytes]], int]


class ChunkReader:
    """Takes the framing off a chunked body; its trailers are checked and dropped."""

    __slots__ = ("_held", "_left", "_step", "complete")

    def __init__(self) -> None:
        self.complete = False
        """The blank line after the last chunk was seen."""
        self._held = b""
        self._left = 0
        self._step: _Step = ChunkReader._read_size

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The content in *data*, and what lies behind the end. Raises :class:`FramingError`."""
        pieces: list[bytes] = []
        data = self._held + data
        position = 0
        while not self.complete:
            following = self._step(self, data, position, pieces)
            if following < 0:
                break
            position = following
        self._held = b"" if self.complete else data[position:]
        rest = data[position:] if self.complete else b""
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), rest

    # Each step reads one element at *position* and gives the position after it, or -1 when it is
    # not all here.

    def _read_size(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        end = data.find(_LINE_END, position, position + _MAX_LINE)
        if end < 0:
            line = data[position : position + _MAX_LINE]
            if len(line) == _MAX_LINE or b"\n" in line or b"\r" in line[:-1]:
                raise FramingError("a chunk's size line does not end")
            return -1
        self._left = chunk_size(data[position:end])
        self._step = ChunkReader._read_content if self._left else ChunkReader._read_trailers
        return end + 2

    def _read_content(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        piece = data[position : position + self._left]
        if piece:
            pieces.append(piece)
            self._left -= len(piece)
        elif self._left:
            return -1
        if not self._left:
            self._step = ChunkReader._read_end
        return position + len(piece)

    def _read_end(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        end = data[position : position + 2]
        if end == _LINE_END:
            self._step = ChunkReader._read_size
            return position + 2
        if _LINE_END.startswith(end):
            return -1
        raise FramingError("a chunk is longer than its size")

    def _read_trailers(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        if data.startswith(_LINE_END, position):
            self.complete = True
            return position + 2
        end = data.find(b"\r\n\r\n", position, position + _MAX_TRAILERS) + 4
        if end < 4:
            block = data[position : position + _MAX_TRAILERS]
            if len(block) == _MAX_TRAILERS or block.count(b"\n") != block.count(_LINE_END):
                raise FramingError("the trailers do not end")
            return -1
        check_trailers(data[position:end])
        self.complete = True
        return end


class Source(Protocol):
    """Where a body comes from: the pace of its connection."""

    loop: asyncio.AbstractEventLoop

    def expect_body(self, body: RequestBody) -> None:
        """A reader starts to wait: let the client send, and start its clock."""
        ...

    def body_arrived(self, body: RequestBody) -> None:
        """The wait is over."""
        ...

    def pause_reading(self) -> None:
        """Take nothing more off the socket."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...


class RequestBody:
    """An ``exchange.Body``; *size* is ``None`` when it is chunked."""

    __slots__ = (
        "_chunks",
        "_discarding",
        "_error",
        "_held",
        "_pieces",
        "_source",
        "_waiter",
        "awaits_continue",
        "complete",
        "left",
        "received",
        "size",
        "waited",
    )

    def __init__(self, source: Source, size: int | None, awaits_continue: bool) -> None:
        self.size = size
        self.received = 0
        """Bytes of content that arrived."""
        self.waited = 0.0
        """Seconds its readers waited for the client."""
        self.complete = False
        """The last byte arrived; it may still be held."""
        self.awaits_continue = awaits_continue
        """The client waits for ``100 Continue`` before it sends."""
        self._source = source
        self._chunks = ChunkReader() if size is None else None
        self.left = size or 0
        """Bytes still to come where that is known."""
        self._pieces: list[bytes] = []
        self._held = 0
        self._discarding = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """All that is here, at least a byte of it; ``b""`` at the end.

        Raises ``ClientGone``, or ``BadRequest`` when the body is malformed (400) or slow (408).
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._arrival()
        pieces, self._pieces = self._pieces, []
        if self._held > MAX_HELD:
            self._source.resume_reading()
        self._held = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _arrival(self) -> None:
        loop = self._source.loop
        since = loop.time()
        waiter = self._waiter = loop.create_future()
        self._source.expect_body(self)
        try:
            await waiter
        finally:
            self._waiter = None
            self.waited += loop.time() - since
            self._source.body_arrived(self)

    def feed(self, data: bytes) -> bytes:
        """Take what arrived; what lies behind the end. Raises :class:`FramingError`."""
        self.awaits_continue = False
        if self._chunks is None:
            piece, rest = data[: self.left], data[self.left :]
            self.left -= len(piece)
            self.complete = not self.left
        else:
            piece, rest = self._chunks.feed(data)
            self.complete = self._chunks.complete
        self.received += len(piece)
        if piece and not self._discarding:
            self._pieces.append(piece)
            self._held += len(piece)
            if self._held > MAX_HELD:
                self._source.pause_reading()
        if piece or self.complete:
            self._wake()
        return rest

    def fail(self, error: Exception) -> None:
        """Nothing more will come; what is held is worth nothing."""
        self._error = error
        self._pieces.clear()
        self._wake()

    def is_soon_over(self, most: int) -> bool:
        """Whether no more than *most* bytes are left, for all that is known, to be passed over. No
        ``100 Continue`` after this.
        """
        soon = not self.awaits_continue and self.left <= most
        self.awaits_continue = False
        return soon

    def discard(self) -> None:
        """The answer is sent: the rest is passed over, and whoever still reads is told so."""
        self._discarding = True
        self.fail(BadRequest("the request was answered before its end"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
