"""The request body on its way up: counted against its bound, kept for a second try while small."""

from __future__ import annotations

from proxying.errors import BodyTooLarge
from proxying.exchange import Body, Exchange

REPLAY_BYTES = 64 * 1024
"""A body that outgrew this is not sent a second time once it was read from the client."""


class Upload:
    """A client's body that an attempt reads; :meth:`rewind` readies it for another attempt."""

    __slots__ = ("_at_end", "_exchange", "_kept", "_limit", "_position", "_source", "size")

    def __init__(self, exchange: Exchange, limit: int) -> None:
        self._exchange = exchange
        self._source: Body = exchange.body
        self._limit = limit
        self._kept: list[bytes] | None = []
        self._position = 0
        self._at_end = False
        self.size = exchange.body.size
        if self.size is not None and self.size > limit:
            raise BodyTooLarge(limit)

    @property
    def replayable(self) -> bool:
        """Whether the body can still be sent from its first byte."""
        return self._kept is not None

    def rewind(self) -> None:
        """Start again from the first byte; only where :attr:`replayable`."""
        if self._kept is None:
            raise ValueError("the body was not kept")
        self._position = 0

    async def read(self) -> bytes:
        """The next piece; raises ``BodyTooLarge`` or ``ClientGone``."""
        if self._kept is not None and self._position < len(self._kept):
            piece = self._kept[self._position]
            self._position += 1
            return piece
        if self._at_end:
            return b""
        piece = await self._source.read()
        if not piece:
            self._at_end = True
            return b""
        self._take(piece)
        return piece

    def _take(self, piece: bytes) -> None:
        self._exchange.received += len(piece)
        if self._exchange.received > self._limit:
            raise BodyTooLarge(self._limit)
        if self._kept is None:
            return
        if self._exchange.received > REPLAY_BYTES:
            self._kept = None
        else:
            self._kept.append(piece)
            self._position += 1
