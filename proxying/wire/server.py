"""One connection of a client: requests in, answers out, in order, one at a time.

A :class:`ServerConnection` reads heads with ``proxying.wire.requests`` and bodies with
``proxying.wire.body``, and writes heads with ``proxying.wire.replies``. One task for the life of the
connection runs its exchanges. Bytes that come while an exchange runs are its body, or wait for
their turn; much of either stops the reading. What ends a connection early: a malformed or slow
request (told so if it can be), an answer that breaks off, a client that left or does not read.

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
from typing import cast

from proxying.errors import BadRequest, ClientGone, ProxyError
from proxying.exchange import EMPTY, Answer, Body, Bytes, Exchange
from proxying.upstream.base import UpstreamError
from proxying.wire.body import MAX_HELD, RequestBody
from proxying.wire.deadlines import NEVER, Deadlines
from proxying.wire.framing import LAST_CHUNK, FramingError, chunk
from proxying.wire.replies import reply_head
from proxying.wire.requests import HeadBounds, HeadReader

logger = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)
_LOOK_SECONDS = 0.5
_LEFT = select.POLLRDHUP | select.POLLHUP | select.POLLERR
_EXPECTED = (UpstreamError, ProxyError, ClientGone)


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

    _transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[Exchange], Awaitable[Answer]],
        bounds: HeadBounds,
    ) -> None:
        self.loop = loop
        self._handle = handle
        self._head = HeadReader(bounds)
        self._deadlines = Deadlines(loop, self._overdue)
        self._peer, self._scheme, self._port = "", "http", 80
        self._task: asyncio.Task[None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._exchange: Exchange | None = None
        """The next one for the task."""
        self._body: RequestBody | None = None
        """What arrives belongs to it; ``None`` once it is complete."""
        self._awaited: RequestBody | None = None
        self._inbox = b""
        self._spare = 0
        self._busy = False
        """From the end of a request's head to the end of its answer."""
        self._deaf = False
        """What arrives is dropped."""
        self._answering = False
        self._gone = False
        self._stopping = False
        self._keep_alive = True
        self._reading_head = True
        self._reading_paused = False
        self._writing_paused = False
        self._unsent = 0
        self._writable: asyncio.Future[None] | None = None

    # What a binding adds to a connection.

    @abstractmethod
    def refused(self, exchange: Exchange) -> Answer | None:
        """The answer to an exchange that is not to be handled, one with a failure above all."""

    @abstractmethod
    def started(self, task: asyncio.Task[None]) -> None:
        """*task* runs the connection's exchanges."""

    @abstractmethod
    def served(self) -> None:
        """An exchange has ended."""

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
        self._deadlines.expect_input(self.header_seconds)

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
            self._deadlines.expect_input(self.header_seconds)

    def _begin(self, head: HeadReader, rest: bytes) -> None:
        self._busy = True
        self._answering = False
        self._reading_head = False
        self._deadlines.input = NEVER
        self._keep_alive = head.keep_alive
        body: Body = EMPTY
        if head.size != 0:
            body = self._body = RequestBody(self, head.size, head.expects_continue)
            if rest:
                rest = self._take_body(self._body, rest)
        self._inbox = rest
        self._run(
            Exchange(
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
        )

    def _take_body(self, body: RequestBody, data: bytes) -> bytes:
        """What lies behind the end of *body*."""
        try:
            rest = body.feed(data)
        except FramingError as error:
            self._fail_body(body, BadRequest(str(error)))
            return b""
        if body.complete:
            self._body = None
        if not self._busy:
            self._pass_over(len(data) - len(rest))
            if body.complete:
                self._deadlines.expect_input(self.idle_seconds)
        return rest

    def _fail_body(self, body: RequestBody, error: BadRequest) -> None:
        self._stop_listening()
        body.fail(error)
        if not self._busy:
            self._close()

    def _pass_over(self, count: int) -> None:
        self._spare -= count
        if self._spare < 0 and not self._busy:
            self._close()

    def _stop_listening(self) -> None:
        """What is yet to come cannot be understood: this exchange is the last."""
        self._deaf = True
        self._keep_alive = False
        self.pause_reading()

    def _refuse(self, error: ProxyError) -> None:
        self._stop_listening()
        self._busy = True
        self._deadlines.input = NEVER
        self._run(Exchange("", b"/", None, [], EMPTY, self._peer, failure=error))

    def _run(self, exchange: Exchange) -> None:
        self._exchange = exchange
        if self._task is None:
            self._task = self.loop.create_task(self._serve())
            self.started(self._task)
        elif self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def eof_received(self) -> None:
        """The client will send no more; the transport closes itself."""
        self._depart()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, by our doing or not."""
        self._depart()
        if self._task is not None:
            self._task.cancel()
        self._head.close()
        self._deadlines.stop()

    def _depart(self) -> None:
        self._gone = True
        if self._body is not None:
            self._body.fail(ClientGone())
        if self._busy and self._task is not None:
            self._task.cancel()

    # --- one exchange after the other -----------------------------------------------------------

    async def _serve(self) -> None:
        """Answer requests until the connection is to end.

        A task for each request would be dearer: making one costs a ``WeakSet`` entry in Python.
        """
        while self._exchange is not None:
            exchange, self._exchange = self._exchange, None
            await self._respond(exchange)
            del exchange
            if not self._go_on():
                return
            if self._exchange is None:
                self._arrival = self.loop.create_future()
                await self._arrival

    async def _respond(self, exchange: Exchange) -> None:
        answer: Answer | None = None
        try:
            answer = self.refused(exchange) or await self._handle(exchange)
            await self._send(exchange, answer)
        except BaseException as error:
            if answer is not None:
                answer.close(ClientGone() if self._gone else error)
            self._break_off(exchange, answer)
            if not isinstance(error, Exception):
                raise
            if not isinstance(error, _EXPECTED):
                logger.exception("an exchange ended without its answer")
        else:
            answer.close()

    async def _send(self, exchange: Exchange, answer: Answer) -> None:
        transport, body = self._transport, answer.body
        if self._stopping or not self._worth_draining():
            self._keep_alive = False
        self._answering = True
        head, left, chunked = reply_head(
            answer,
            exchange.method,
            http11=exchange.version != b"1.0",
            keep_alive=self._keep_alive,
        )
        if left == 0:
            transport.write(head)
        elif isinstance(body, Bytes):
            piece = await body.read()
            if len(piece) != left:
                raise FramingError("an answer is not as long as it declares")
            transport.write(head + piece)
        else:
            transport.write(head)
            await self._send_pieces(body, left, chunked=chunked)
        if self._writing_paused:
            await self._room_to_write()

    async def _send_pieces(self, body: Body, left: int | None, *, chunked: bool) -> None:
        """Whatever is written within one turn of uvloop leaves in one system call."""
        write = self._transport.write
        if left is None and not chunked:
            self._keep_alive = False
        while left != 0 and (piece := await body.read()):
            if left is not None:
                left -= len(piece)
                if left < 0:
                    raise FramingError("an answer is longer than it declares")
            write(chunk(piece) if chunked else piece)
            if self._writing_paused:
                await self._room_to_write()
        if left:
            raise FramingError("an answer is shorter than it declares")
        if chunked:
            write(LAST_CHUNK)

    def _worth_draining(self) -> bool:
        return self._body is None or self._body.is_short(self.drain_bytes)

    def _go_on(self) -> bool:
        """After an exchange: whether there may be another."""
        self._busy = False
        self.served()
        if self._transport.is_closing():
            return False
        if self._stopping or not self._keep_alive:
            self._linger()
            return False
        if self._body is not None:
            self._awaited = None
            self._body.discard()
            self._pass_over_from_now()
            return True
        self._deadlines.expect_input(self.idle_seconds)
        inbox, self._inbox = self._inbox, b""
        self.resume_reading()
        if inbox:
            self._take_head(inbox)
        return True

    def _pass_over_from_now(self) -> None:
        self._spare = self.drain_bytes
        self._deadlines.expect_input(self.drain_seconds)
        self.resume_reading()

    def _linger(self) -> None:
        """Close so that a client still sending can read its answer (RFC 9112 9.6)."""
        unread = self._deaf or self._body is not None or self._inbox
        if unread and self._transport.can_write_eof():
            self._deaf = True
            self._transport.write_eof()
            self._pass_over_from_now()
        else:
            self._close()

    def _close(self) -> None:
        """Close when what is written has left; a client has to take it in time."""
        self._deadlines.input = NEVER
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self.pause_writing()

    def _break_off(self, exchange: Exchange, answer: Answer | None) -> None:
        """End the connection so that what was sent of *answer* does not look whole."""
        lasts_until_close = exchange.version == b"1.0" and self._answering
        if lasts_until_close and not self._transport.is_closing():
            sock: socket.socket = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._transport.abort()
        else:
            self._close()

    # --- pace -----------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Take nothing more off the socket. That hides a close, which is looked for instead."""
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
            self._deadlines.look_after(_LOOK_SECONDS)

    def resume_reading(self) -> None:
        """Go on."""
        if self._reading_paused:
            self._reading_paused = False
            self._deadlines.look = NEVER
            self._transport.resume_reading()

    def expect_body(self, body: RequestBody) -> None:
        """A reader waits for *body*: its rate counts while it does, and only then."""
        if body.awaits_continue and not self._answering:
            body.awaits_continue = False
            self._transport.write(_CONTINUE)
        earned = body.received / self.body_bytes_per_second
        allowance = self.body_grace_seconds + earned - body.waited
        self._awaited = body
        self._deadlines.expect_input(min(self.body_stall_seconds, allowance))

    def body_arrived(self, body: RequestBody) -> None:
        """The wait for *body* is over."""
        if self._awaited is body:
            self._awaited = None
            self._deadlines.input = NEVER

    def pause_writing(self) -> None:
        """The client takes less than there is for it."""
        self._writing_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self._deadlines.expect_write(self.write_seconds)

    def resume_writing(self) -> None:
        """There is room again."""
        self._writing_paused = False
        self._deadlines.write = NEVER
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def _room_to_write(self) -> None:
        self._writable = self.loop.create_future()
        try:
            await self._writable
        finally:
            self._writable = None

    def _overdue(self, now: float) -> None:
        deadlines = self._deadlines
        if now >= deadlines.write:
            self._write_overdue()
        if now >= deadlines.look:
            self._look()
        if now >= deadlines.input:
            deadlines.input = NEVER
            self._input_overdue()

    def _write_overdue(self) -> None:
        unsent = self._transport.get_write_buffer_size()
        if unsent < self._unsent:
            self.pause_writing()
            return
        self._deadlines.write = NEVER
        self._transport.abort()

    def _look(self) -> None:
        """Whether the client left while nothing is read."""
        poll = select.poll()
        poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLRDHUP)
        if any(events & _LEFT for _, events in poll.poll(0)):
            self._deadlines.look = NEVER
            self._depart()
            self._transport.abort()
        else:
            self._deadlines.look_after(_LOOK_SECONDS)

    def _input_overdue(self) -> None:
        late = BadRequest("the request did not come in time", 408, "request_timeout")
        if self._awaited is not None:
            self._fail_body(self._awaited, late)
        elif self._head.begun and not self._busy and not self._deaf:
            self._refuse(late)
        else:
            self._close()
