"""The answer an exchange gets: what has arrived of it, and whoever reads it.

An ``UpstreamAnswer``. It holds what its reader has not asked for yet, stops the connection when
that is much, and lets go of the connection as soon as the last byte is here: a slow client does
not keep a connection from the next request. Leans on its connection only through :class:`Source`.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from proxying.exchange import Headers
from proxying.upstream.base import ConnectionReset
from proxying.wire.parsing import AnswerParser

_MAX_HELD = 65536
"""Body bytes that wait for their reader before reading from the socket pauses."""
_CLOSED = "the answer was closed before its end"


class Source(Protocol):
    """Where an answer comes from: the connection."""

    loop: asyncio.AbstractEventLoop

    def expect_more(self) -> None:
        """Start the clock of the next piece."""
        ...

    def pause_reading(self) -> None:
        """Take nothing more off the socket."""
        ...

    def resume_reading(self) -> None:
        """Go on."""
        ...

    def fail(self, error: BaseException) -> None:
        """End the connection, and the exchange with *error*."""
        ...


class Answer:
    """The answer of one exchange: status 0 until its head is here."""

    __slots__ = (
        "_error",
        "_held",
        "_pieces",
        "_source",
        "_waiter",
        "headers",
        "parser",
        "size",
        "status",
    )

    def __init__(self, source: Source, parser: AnswerParser) -> None:
        self.parser = parser
        self.status = 0
        self.headers: Headers = []
        self.size: int | None = None
        self._source: Source | None = source
        self._pieces: list[bytes] = []
        self._held = 0
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether its reader waits for more."""
        return self._waiter is not None

    @property
    def trailers(self) -> Headers:
        """What came behind the body, once it is here whole."""
        return self.parser.trailers

    async def read(self) -> bytes:
        """All of the body that is here, at least a byte of it; ``b""`` at its proper end."""
        if not self._pieces and self._source is not None:
            self._source.expect_more()
            await self.wait()
        pieces = self._pieces
        if pieces:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._held = 0
            if self._source is not None:
                self._source.resume_reading()
            return data
        if self._error is not None:
            raise self._error
        return b""

    def close(self) -> None:
        """Let go; an answer that is not here whole takes its connection with it."""
        if self._source is not None:
            self._source.fail(ConnectionReset(_CLOSED))
        elif self._pieces:
            self._error = ConnectionReset(_CLOSED)
        self._pieces.clear()

    async def wait(self) -> None:
        """Until something arrived; whoever is cancelled here discards the connection."""
        if self._source is None:
            return
        self._waiter = self._source.loop.create_future()
        try:
            await self._waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None

    async def begun(self) -> Answer:
        """This answer once its headers are here; raises what ended it before."""
        await self.wait()
        if self._error is not None and not self.status:
            raise self._error
        return self

    def deliver(self, body: bytes) -> None:
        """Bytes of the body arrived, or the head alone did."""
        parser = self.parser
        if not self.status:
            self.status = parser.status
            self.headers = parser.headers
            self.size = parser.size
        if body:
            self._pieces.append(body)
            self._held += len(body)
            if self._held > _MAX_HELD and self._source is not None:
                self._source.pause_reading()
        self._wake()

    def detach(self, error: BaseException | None = None) -> None:
        """Nothing more will come: the answer is whole, or *error* cut it short."""
        self._source = None
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
