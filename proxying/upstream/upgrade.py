"""The transport of WebSocket handshakes: each on a new connection, which becomes the tunnel's.

A ``Transport`` like the native one, so that balancer, breakers and retries apply to handshakes as
to requests. An answer other than 101 is read like any other, and its connection is closed after it.
Leans on ``proxying.wire`` for addresses and the rules of reading, on ``proxying.handshake``.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from proxying.exchange import Headers
from proxying.handshake import accepts
from proxying.headers import values_of
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    Origin,
    ProtocolViolation,
    Stage,
    Timeouts,
    UpstreamRequest,
    UpstreamTimeout,
)
from proxying.upstream.pooled import time_to_connect
from proxying.wire.answer import Answer
from proxying.wire.framing import FramingError, request_head
from proxying.wire.parsing import AnswerParser
from proxying.wire.resolve import AddressRule, connected_socket
from proxying.wire.tunnel import FarEnd

UPGRADE: Headers = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade")]
"""What the gateway says on each of its two connections (RFC 6455 4.1, 4.2.2)."""


class UpgradeTransport:
    """Sends handshakes. *allowed* and *tls* as for the native transport.

    Tunnels over the connections it makes end after *idle_seconds* without a byte.
    """

    def __init__(
        self,
        *,
        idle_seconds: float,
        max_header_bytes: int = 65536,
        tls: ssl.SSLContext | None = None,
        allowed: AddressRule | None = None,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._max_header_bytes = max_header_bytes
        self._tls = tls
        self._allowed = allowed

    async def send(
        self, origin: Origin, request: UpstreamRequest, timeouts: Timeouts
    ) -> Answer | Switched:
        """As ``Transport.send``; a 101 that answers the handshake comes back as ``Switched``."""
        head = request_head(request.method, request.target, [*request.headers, *UPGRADE], 0)
        until = asyncio.get_running_loop().time() + timeouts.total
        connection = await self._connected(origin, *time_to_connect(timeouts.connect, until))
        try:
            answer = await connection.send(head, timeouts, until)
        except BaseException:
            connection.abort()
            raise
        if not connection.parser.switched:
            return answer
        if not accepts(answer.headers, *values_of(request.headers, b"sec-websocket-key")):
            connection.abort()
            raise ProtocolViolation("a 101 that does not answer the handshake")
        return Switched(answer, connection.far_end(self._idle_seconds))

    async def _connected(self, origin: Origin, seconds: float, stage: Stage) -> _Connection:
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(origin)
        except TimeoutError as error:
            raise UpstreamTimeout(stage) from error
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(str(error)) from error

    def _context(self) -> ssl.SSLContext:
        """One for all connections: making it reads every authority of the system."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    async def _connect(self, origin: Origin) -> _Connection:
        loop = asyncio.get_running_loop()
        tls: ssl.SSLContext | None = None
        if origin.scheme == "https":
            tls = origin.link.tls or self._context()
        allowed = self._allowed if origin.link.guarded else None
        sock = await connected_socket(origin.host, origin.port, allowed)
        try:
            _, connection = await loop.create_connection(
                lambda: _Connection(loop, self._max_header_bytes),
                sock=sock,
                ssl=tls,
                server_hostname=origin.server_name if tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def close(self) -> None:
        """Nothing is kept: a connection is its exchange's, then its tunnel's."""


class Switched:
    """An ``UpstreamAnswer`` that is a 101: after its head the connection is a tunnel's."""

    __slots__ = ("far_end", "headers", "size", "status", "trailers")

    def __init__(self, answer: Answer, far_end: FarEnd) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.size: int | None = 0
        self.trailers: Headers = []
        self.far_end = far_end

    async def read(self) -> bytes:
        """There is no body."""
        return b""

    def close(self) -> None:
        """Let go; a tunnel that has taken the connection over sees to it itself."""
        if not self.far_end.taken:
            self.far_end.transport.abort()


class _Connection(asyncio.Protocol):
    """Carries one handshake; the ``Source`` of its answer."""

    _transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, max_header_bytes: int) -> None:
        self.loop = loop
        self.parser = AnswerParser(
            to_head=False, max_header_bytes=max_header_bytes, may_switch=True
        )
        self._answer: Answer | None = Answer(self, self.parser)
        self._early = b""
        self._far_end: FarEnd | None = None
        self._closed = False
        self._reading_paused = False
        self._read_seconds = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def send(self, head: bytes, timeouts: Timeouts, until: float) -> Answer:
        """Write the handshake; the answer when its head is here. Raises ``UpstreamError``."""
        self._read_seconds = timeouts.read
        answer = self._answer
        if answer is None:
            raise ConnectFailed("the connection ended as soon as it was made")
        self._transport.write(head)
        left = until - self.loop.time()
        stage: Stage = "first_byte" if timeouts.first_byte <= left else "total"
        try:
            async with asyncio.timeout(min(timeouts.first_byte, left)):
                return await answer.begun()
        except TimeoutError as error:
            raise UpstreamTimeout(stage) from error

    def abort(self) -> None:
        """End the connection, whatever it carries."""
        self._transport.abort()

    def far_end(self, idle_seconds: float) -> FarEnd:
        """This end for a tunnel, after a 101."""
        early, self._early = self._early, b""
        self._far_end = FarEnd(self._transport, early, idle_seconds, lost=self._closed)
        return self._far_end

    # --- what arrives ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket, or the TLS session on it, is ready."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer, or behind a 101."""
        answer = self._answer
        if answer is None:
            self._early += data
            return
        try:
            rest = self.parser.feed(data)
        except FramingError as error:
            self.fail(ProtocolViolation(str(error)))
            return
        if not self.parser.head_done:
            return
        self._expect_nothing()
        if self.parser.switched:
            self._switch(answer, rest)
            return
        if self.parser.complete:
            self._end(answer, None)
        answer.deliver(rest)

    def _switch(self, answer: Answer, rest: bytes) -> None:
        self._answer = None
        self._early = rest
        self.pause_reading()
        answer.detach()
        answer.deliver(b"")

    def eof_received(self) -> None:
        """The upstream has said all it will; the transport closes itself."""
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, by our doing or not."""
        self._closed = True
        if self._far_end is not None:
            self._far_end.lost = True
        self._ended()

    def _ended(self) -> None:
        answer = self._answer
        if answer is None:
            return
        if self.parser.end():
            self._end(answer, None)
        else:
            self.fail(ConnectionReset("the connection ended before the answer did"))

    def _end(self, answer: Answer, error: BaseException | None) -> None:
        self._answer = None
        self._expect_nothing()
        self._transport.abort()
        answer.detach(error)

    # --- what its answer asks for ---------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """End the connection, and the exchange with *error*."""
        if self._answer is not None:
            self._end(self._answer, error)

    def expect_more(self) -> None:
        """More of the answer has to come within the read time-out."""
        self._expect_nothing()
        self._timer = self.loop.call_later(self._read_seconds, self._overdue)

    def _expect_nothing(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _overdue(self) -> None:
        self.fail(UpstreamTimeout("read"))

    def pause_reading(self) -> None:
        """The reader of the answer is slower than the upstream."""
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The reader has caught up."""
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()
