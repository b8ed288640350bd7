"""One connection of a client: requests in, answers out, in order, one at a time.

A :class:`ServerConnection` reads heads with ``proxying.wire.requests`` and bodies with
``proxying.wire.body``, writes with ``proxying.wire.replies``, and leaves clock and back-pressure to
``proxying.wire.pace``; after a 101 the transport is a ``proxying.wire.tunnel``'s. One task for the
life of the connection runs its exchanges. Bytes that come while an exchange runs are its body, or
wait for their turn; much of either stops the reading. What ends a connection early: a malformed or
slow request (told so if it can be), an answer that breaks off, a client that left or does not read.

A client that closes its sending side counts as gone, as behind nginx: it cannot be told from one
that left.
"""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import cast

from proxying.admission import Bounds
from proxying.errors import BadRequest, ClientGone, ProxyError
from proxying.exchange import EMPTY, Answer, Begun, Body, Bytes, Exchange
from proxying.upstream.base import UpstreamError
from proxying.wire.body import MAX_HELD, RequestBody
from proxying.wire.framing import FramingError
from proxying.wire.pace import Pace
from proxying.wire.replies import last_chunk, reply_head, send_body
from proxying.wire.requests import Ends, HeadReader
from proxying.wire.tunnel import FarEnd, Tunnel

logger = logging.getLogger(__name__)

_EXPECTED = (UpstreamError, ProxyError, ClientGone)


class ServerConnection(asyncio.Protocol):
    """An HTTP/1.1 server connection; a binding subclasses it."""

    _transport: asyncio.Transport
    _pace: Pace

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handle: Callable[[Exchange], Awaitable[Answer]],
        bounds: Bounds,
    ) -> None:
        self._loop = loop
        self._handle = handle
        self._patience = bounds.patience
        self._head = HeadReader(bounds)
        self._ends = Ends()
        self._task: asyncio.Task[None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._exchange: Exchange | None = None
        """The next one for the task."""
        self._body: RequestBody | None = None
        """What arrives belongs to it; ``None`` once it is complete."""
        self._inbox = b""
        self._spare = 0
        self._busy = False
        """From the end of a request's head to the end of its answer."""
        self._tunnel: Tunnel | None = None
        """It has taken the transport over."""
        self._deaf = False
        """What arrives is dropped."""
        self._gone = False
        self._stopping = False
        self._answering = False
        self._keep_alive = True
        self._reading_head = True
        self._brought: tuple[bytes, bytes] | None = None
        self._begun: Begun | None = None

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

    def given_back(self) -> bool:
        """Whether somebody else has taken the idle connection over."""
        return False

    def bring(self, early: bytes, unsent: bytes, begun: Begun | None) -> None:
        """Before it is connected: what the fast path has read of the client, what it has not
        written yet, and what it did for the exchange.
        """
        self._brought, self._begun = (early, unsent), begun

    def part(self) -> None:
        """Go on answering, but close after the next answer: the client is told so in it."""
        self._stopping = True

    def stop(self) -> None:
        """Close when idle, else after the exchange that runs or the head that has begun."""
        self._stopping = True
        if not self._busy and not self._head.begun:
            self._pace.close()

    # --- what arrives ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket, or the TLS session on it, is ready."""
        self._transport = cast(asyncio.Transport, transport)
        self._pace = Pace(self._loop, self._transport, self._patience, self)
        self._ends = Ends.of(transport)
        self._pace.expect_input(self._patience.header)

    def go_on(self) -> None:
        """It is connected: go on from where the fast path was, unless the client has left."""
        brought, self._brought = self._brought, None
        if brought is None:
            return
        if self._gone:
            if self._begun is not None:
                self._begun.close()
            return
        early, unsent = brought
        if unsent:
            self._transport.write(unsent)
        if early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Bytes of a body, of a head, or of a request whose turn has not come."""
        if self._brought is not None:
            self.go_on()
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
                self._pace.pause_reading()
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
            self._pace.expect_input(self._patience.header)

    def _begin(self, head: HeadReader, rest: bytes) -> None:
        self._keep_alive = head.keep_alive
        self._reading_head = False
        self._busy = True
        body: Body = EMPTY
        if head.size != 0:
            body = self._body = RequestBody(self._pace, head.size, head.expects_continue)
            if rest:
                rest = self._take_body(self._body, rest)
        self._inbox = rest
        exchange = head.exchange(body, self._ends)
        exchange.begun, self._begun = self._begun, None
        self._run(exchange)

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
                self._pace.expect_input(self._patience.idle)
        return rest

    def _fail_body(self, body: RequestBody, error: BadRequest) -> None:
        self._stop_listening()
        body.fail(error)
        if not self._busy:
            self._pace.close()

    def _pass_over(self, count: int) -> None:
        self._spare -= count
        if self._spare < 0 and not self._busy:
            self._pace.close()

    def _stop_listening(self) -> None:
        """What is yet to come cannot be understood: this exchange is the last."""
        self._deaf = True
        self._keep_alive = False
        self._pace.pause_reading()

    def _refuse(self, error: ProxyError) -> None:
        self._stop_listening()
        self._busy = True
        self._run(Exchange("", b"/", None, [], EMPTY, self._ends.peer, failure=error))

    def _run(self, exchange: Exchange) -> None:
        self._pace.expect_nothing()
        self._answering = False
        self._exchange = exchange
        if self._task is None:
            self._task = self._loop.create_task(self._serve())
            self.started(self._task)
        elif self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def input_overdue(self, awaited: RequestBody | None) -> None:
        """Nothing came in time, of *awaited* if a reader waits for it."""
        late = BadRequest("the request did not come in time", 408, "request_timeout")
        if awaited is not None:
            self._fail_body(awaited, late)
        elif self._head.begun and not self._deaf:
            self._refuse(late)
        else:
            self._pace.close()

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self._pace.pause_writing()

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        self._pace.resume_writing()

    def eof_received(self) -> None:
        """The client will send no more; the transport closes itself."""
        self.departed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, by our doing or not."""
        self.departed()
        self._head.close()
        self._pace.stop()

    def departed(self) -> None:
        """The client has left: end what is done for it."""
        if self._gone:
            return
        self._gone = True
        if self._body is not None:
            self._body.fail(ClientGone())
        if self._task is not None and self._tunnel is None:
            self._task.cancel()

    # --- one exchange after the other -----------------------------------------------------------

    async def _serve(self) -> None:
        """Answer requests until the connection is to end.

        A task for each request costs the same (16.5 µs a request, all told); with one task,
        pipelined requests need no queue.
        """
        while True:
            exchange = self._taken()
            if exchange is None:
                self._arrival = self._loop.create_future()
                await self._arrival
                continue
            await self._respond(exchange)
            plain = exchange.plain
            del exchange
            if not self._go_on(plain):
                return

    def _taken(self) -> Exchange | None:
        exchange, self._exchange = self._exchange, None
        return exchange

    async def _respond(self, exchange: Exchange) -> None:
        answer: Answer | None = None
        try:
            answer = self.refused(exchange) or await self._handle(exchange)
            if answer.far_end is not None:
                await self._carry(exchange, answer, answer.far_end)
            else:
                await self._send(exchange, answer)
        except BaseException as error:
            if answer is not None:
                answer.close(ClientGone() if self._gone else error)
            self._break_off(exchange)
            if not isinstance(error, Exception):
                raise
            if not isinstance(error, _EXPECTED):
                logger.exception("an exchange ended without its answer")
        else:
            answer.close()

    async def _send(self, exchange: Exchange, answer: Answer) -> None:
        http11 = exchange.version != b"1.0"
        rest, most = self._body, self._patience.drain_bytes
        if self._stopping or (rest is not None and not rest.is_soon_over(most)):
            self._keep_alive = False
        head, left, chunked = reply_head(
            answer, exchange.method, http11=http11, keep_alive=self._keep_alive
        )
        self._answering = True
        if left is None and not chunked:
            self._keep_alive = False
        transport, body = self._transport, answer.body
        if left and isinstance(body, Bytes):
            piece = await body.read()
            if len(piece) != left:
                raise FramingError("an answer is not as long as it declares")
            head += piece
            left = 0
        transport.write(head)
        if left != 0:
            await send_body(transport, self._pace, body, left, chunked=chunked)
            if chunked:
                transport.write(last_chunk(answer, exchange.headers))
        if self._pace.writing_paused:
            await self._pace.room_to_write()

    async def _carry(self, exchange: Exchange, answer: Answer, far_end: FarEnd) -> None:
        """Make a tunnel of the connection; until it has ended. Cancelled, it says goodbye."""
        head, _, _ = reply_head(answer, exchange.method, http11=True, keep_alive=True)
        self._pace.resume_reading()
        tunnel = Tunnel(self._loop, self._transport, far_end, self._patience, self.connection_lost)
        self._tunnel = tunnel
        self._transport.write(head)
        early, self._inbox = self._inbox, b""
        tunnel.begin(early)

        def ended() -> None:
            exchange.received, exchange.sent = tunnel.client.received, tunnel.upstream.received
            answer.close()

        await tunnel.carry(ended)

    def _go_on(self, plain: bool) -> bool:
        """After an exchange, a *plain* one or not: whether there may be another here."""
        self._busy = False
        self.served()
        if self._transport.is_closing():
            return False
        if self._stopping or not self._keep_alive:
            self._end()
            return False
        if self._body is not None:
            self._body.discard()
            self._drain()
            return True
        inbox, self._inbox = self._inbox, b""
        if plain and not inbox and self.given_back():
            return False
        self._pace.expect_input(self._patience.idle)
        self._pace.resume_reading()
        if inbox:
            self._take_head(inbox)
        return True

    def _drain(self) -> None:
        self._pace.expect_nothing()
        self._pace.expect_input(self._patience.drain)
        self._spare = self._patience.drain_bytes
        self._pace.resume_reading()

    def _end(self) -> None:
        """Close so that a client still sending can read its answer (RFC 9112 9.6)."""
        unread = self._deaf or self._body is not None or self._inbox
        if unread and self._transport.can_write_eof():
            self._deaf = True
            self._transport.write_eof()
            self._drain()
        else:
            self._pace.close()

    def _break_off(self, exchange: Exchange) -> None:
        """End the connection so that what was sent of an answer does not look whole."""
        if self._tunnel is not None:
            return  # it closes both of its ends
        lasts_until_close = exchange.version == b"1.0" and self._answering
        if lasts_until_close and not self._transport.is_closing():
            self._pace.reset()
        else:
            self._pace.close()
