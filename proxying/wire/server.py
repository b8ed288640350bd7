"""One connection of a client: requests in, answers out, in order, one at a time.

A :class:`ServerConnection` reads heads with ``proxying.wire.requests`` and bodies with
``proxying.wire.body``. One task for the life of the connection runs its exchanges: it sleeps on a
future between them, which is cheaper than a task each (see :meth:`ServerConnection._serve`). Bytes
that come while an exchange runs are its body, or wait for their turn; much of either stops the
reading. What ends a connection early: a malformed or slow request (told so if it can be), an answer
that breaks off, a client that left or does not read.

A client that closes its sending side counts as gone, as behind nginx: it cannot be told from one
that left.
"""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import struct
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import cast

from proxying.errors import BadRequest, ClientGone, ProxyError
from proxying.exchange import EMPTY, Answer, Body, Bytes, Exchange
from proxying.upstream.base import UpstreamError
from proxying.wire.body import MAX_HELD, RequestBody
from proxying.wire.framing import LAST_CHUNK, FramingError, chunk, joined
from proxying.wire.requests import HeadBounds, HeadReader

logger = logging.getLogger(__name__)

_NEVER = float("inf")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)
_LOOK_SECONDS = 0.5
_LEFT = select.POLLRDHUP | select.POLLHUP | select.POLLERR
_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in HTTPStatus
}
_BODILESS = frozenset((204, 304))


class ServerConnection(asyncio.Protocol):
    """An HTTP/1.1 server connection. Seconds and bytes here are those of a production node."""

    header_seconds = 10.0
    """For a head, from its first byte or the connection's start."""
    idle_seconds = 75.0
    """Between an answer and the next request."""
    body_stall_seconds = 10.0
    """Without a byte of the body while it is waited for."""
    body_grace_seconds = 10.0
    """Waiting that every body is allowed before its rate is looked at."""
    body_bytes_per_second = 256
    write_seconds = 30.0
    """Without the client taking a byte of what waits for it."""
    drain_seconds = 5.0
    drain_bytes = 256 * 1024
    """What is passed over of a request that was answered early."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[Exchange], Awaitable[Answer]],
        bounds: HeadBounds,
    ) -> None:
        self.loop = loop
        self._handle = handle
        self._head = HeadReader(bounds)
        self._transport = cast(asyncio.Transport, None)
        self._peer, self._scheme, self._port = "", "http", 80
        self._task: asyncio.Task[None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._exchange: Exchange | None = None
        self._body: RequestBody | None = None
        self._inbox = b""
        self._spare = self.drain_bytes
        self._busy = False
        self._deaf = False
        self._gone = False
        self._stopping = False
        self._keep_alive = True
        self._reading_head = True
        self._reading_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._writing_paused = False
        self._unsent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = _NEVER
        self._input_due = _NEVER
        self._write_due = _NEVER
        self._look_due = _NEVER

    @abstractmethod
    def refused(self, exchange: Exchange) -> Answer | None:
        """The answer to an exchange that is not to be handled, one with a failure above all."""

    @abstractmethod
    def served(self) -> None:
        """An exchange ended."""

    @abstractmethod
    def start_task(self) -> asyncio.Task[None]:
        """Run :meth:`serve`."""

    def stop(self) -> None:
        """Close when idle, else after the exchange that runs or the head that has begun."""
        self._stopping = True
        if not self._busy and not self._head.begun:
            self._close()

    # --- what arrives ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket, or the TLS session on it, is ready."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        if transport.get_extra_info("sslcontext") is not None:
            self._scheme, self._port = "https", 443
        if isinstance(peer, tuple):
            self._peer = peer[0]
        if isinstance(local, tuple):
            self._port = local[1]
        self._expect_input(self.header_seconds)

    def data_received(self, data: bytes) -> None:
        """Bytes of a body, of a head, or of a request whose turn has not come."""
        if self._deaf:
            self._pass_over(len(data))
            return
        if self._body is not None:
            data = self._take_body(self._body, data)
        if not data:
            return
        if self._busy:
            self._inbox += data
            if len(self._inbox) > MAX_HELD:
                self.pause_reading()
        else:
            self._take_head(data)

    def _take_head(self, data: bytes) -> None:
        head = self._head
        try:
            rest = head.feed(data)
        except ProxyError as error:
            self._refuse(error)
            return
        if rest is not None:
            self._begin(head, rest)
        elif not self._reading_head and head.begun:
            self._reading_head = True
            self._expect_input(self.header_seconds)

    def _begin(self, head: HeadReader, rest: bytes) -> None:
        self._busy = True
        self._reading_head = False
        self._input_due = _NEVER
        self._keep_alive = head.keep_alive
        body: Body = EMPTY
        if head.size != 0:
            body = self._body = RequestBody(
                self, head.size, awaits_continue=head.expects_continue
            )
            if rest:
                rest = self._take_body(self._body, rest)
        self._inbox = rest
        self._exchange = Exchange(
            head.method,
            head.target,
            head.query,
            head.headers,
            body,
            self._peer,
            self._scheme,
            self._port,
            b"1.1" if head.http11 else b"1.0",
        )
        self._run()

    def _take_body(self, body: RequestBody, data: bytes) -> bytes:
        try:
            rest = body.feed(data)
        except FramingError as error:
            self._stop_listening()
            body.fail(BadRequest(str(error)))
            if not self._busy:
                self._close()
            return b""
        if body.complete:
            self._body = None
        if not self._busy:
            self._pass_over(len(data) - len(rest))
            if body.complete:
                self._expect_input(self.idle_seconds)
        return rest

    def _pass_over(self, count: int) -> None:
        self._spare -= count
        if self._spare < 0:
            self._close()

    def _stop_listening(self) -> None:
        """What is yet to come cannot be understood; this exchange is the last."""
        self._deaf = True
        self._keep_alive = False
        self.pause_reading()

    def _refuse(self, error: ProxyError) -> None:
        self._stop_listening()
        self._busy = True
        self._input_due = _NEVER
        self._exchange = Exchange("", b"/", None, [], EMPTY, self._peer, failure=error)
        self._run()

    def _run(self) -> None:
        if self._task is None:
            self._task = self.start_task()
        elif self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def eof_received(self) -> None:
        """The client will send no more."""
        self._depart()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, by our doing or not."""
        self._depart()
        self._head.close()
        if self._task is not None:
            self._task.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def _depart(self) -> None:
        self._gone = True
        if self._body is not None:
            self._body.fail(ClientGone())
        if self._busy and self._task is not None:
            self._task.cancel()

    def pause_reading(self) -> None:
        """Take nothing more off the socket. That hides a close, which is looked for instead."""
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
            self._look_due = self.loop.time() + _LOOK_SECONDS
            self._arm(self._look_due)

    def resume_reading(self) -> None:
        """Go on."""
        if self._reading_paused:
            self._reading_paused = False
            self._look_due = _NEVER
            self._transport.resume_reading()

    def expect_body(self, body: RequestBody) -> None:
        """A reader waits for *body*."""
        if body.awaits_continue and self._exchange is not None:
            body.awaits_continue = False
            self._transport.write(_CONTINUE)
        earned = body.received / self.body_bytes_per_second
        allowance = self.body_grace_seconds + earned - body.waited
        self._expect_input(min(self.body_stall_seconds, allowance))

    def body_arrived(self) -> None:
        """The wait is over."""
        if self._busy:
            self._input_due = _NEVER

    # --- one exchange after the other -----------------------------------------------------------

    async def serve(self) -> None:
        """Answer the requests of this connection until it is to end.

        One task a connection: a task a request costs 3.11 a registration in a ``WeakSet`` each.
        """
        while self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            await self._respond(exchange)
            if not self._go_on():
                return
            del exchange
            if self._exchange is None:
                self._arrival = self.loop.create_future()
                await self._arrival

    async def _respond(self, exchange: Exchange) -> None:
        answer: Answer | None = None
        try:
            answer = self.refused(exchange)
            if answer is None:
                answer = await self._handle(exchange)
            await self._send(exchange, answer)
        except BaseException as error:
            if answer is not None:
                answer.close(ClientGone() if self._gone else error)
            self._break_off(answer)
            if not isinstance(error, Exception):
                raise
            if not isinstance(error, UpstreamError | ProxyError | ClientGone):
                logger.exception("an exchange ended without its answer")
        else:
            answer.close()

    async def _send(self, exchange: Exchange, answer: Answer) -> None:
        transport, body = self._transport, answer.body
        head, left, chunked = self._head_of(exchange, answer)
        if left == 0:
            transport.write(head)
        elif isinstance(body, Bytes):
            piece = await body.read()
            if len(piece) != left:
                raise FramingError("an answer's length is not the one it declares")
            transport.write(head + piece)
        else:
            transport.write(head)
            await self._send_pieces(body, left, chunked=chunked)
        if self._writing_paused:
            await self._writable()

    async def _send_pieces(self, body: Body, left: int | None, *, chunked: bool) -> None:
        write = self._transport.write
        while left != 0 and (piece := await body.read()):
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise FramingError("an answer is longer than it declares")
            write(chunk(piece) if chunked else piece)
            if self._writing_paused:
                await self._writable()
        if left:
            raise FramingError("an answer is shorter than it declares")
        if chunked:
            write(LAST_CHUNK)
