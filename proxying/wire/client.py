"""One connection to an upstream, and the answer that is read from it.

A :class:`Connection` carries one exchange at a time: it writes the request, lets an
:class:`~proxying.wire.upload.Upload` follow with the body, feeds what arrives to the exchange's
:class:`~proxying.wire.answer.Answer`, and goes back to its :class:`Keeper` when both are whole.
Everything else ends it: an error, a time-out, a byte nobody asked for, an answer let go before its
end, or one that is whole before the request is. Both bodies may be on their way at once; only an
answer that refuses the request (4xx, 5xx) stops the upload. Leans on ``proxying.wire.parsing``; the
errors are those of ``proxying.upstream.base``.

It keeps the socket and the transport in reach, so a later tunnel can take both over after a 101.
"""

from __future__ import annotations

import asyncio
import select
import socket
from contextlib import suppress
from typing import Protocol, cast

from proxying.exchange import Begun, Body, Bytes
from proxying.upstream.base import (
    ConnectionReset,
    ProtocolViolation,
    Stage,
    Timeouts,
    UpstreamTimeout,
)
from proxying.wire.answer import Answer
from proxying.wire.framing import FramingError
from proxying.wire.parsing import AnswerParser
from proxying.wire.upload import SLICE, Upload, whole

_NEVER = float("inf")
_REFUSAL = 400
"""From this status on the rest of the request is not wanted."""
_PIECE = 65536


class Keeper(Protocol):
    """Whoever hands connections out and takes them back."""

    def released(self, connection: Connection) -> None:
        """*connection* is whole and free."""
        ...

    def lost(self, connection: Connection) -> None:
        """*connection* is gone; called once."""
        ...


class Connection(asyncio.Protocol):
    """An HTTP/1.1 client connection; made by a keeper, one exchange at a time."""

    __slots__ = (
        "_answer",
        "_closed",
        "_deadline",
        "_early",
        "_head_seconds",
        "_head_stage",
        "_heard",
        "_keeper",
        "_max_header_bytes",
        "_poll",
        "_read_seconds",
        "_reading_paused",
        "_resumed",
        "_sock",
        "_stage",
        "_timer",
        "_timer_due",
        "_transport",
        "_upload",
        "_used",
        "_writable",
        "_writing_paused",
        "idle_since",
        "loop",
    )

    _transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sock: socket.socket,
        keeper: Keeper,
        max_header_bytes: int,
    ) -> None:
        self.loop = loop
        self.idle_since = 0.0
        self._sock = sock
        self._keeper = keeper
        self._max_header_bytes = max_header_bytes
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)
        self._answer: Answer | None = None
        self._upload: Upload | None = None
        self._closed = False
        self._used = False
        self._heard = False
        self._reading_paused = False
        self._writing_paused = False
        self._writable: asyncio.Future[None] | None = None
        self._head_seconds = 0.0
        self._head_stage: Stage = "first_byte"
        self._read_seconds = 0.0
        self._stage: Stage = "read"
        self._deadline = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._resumed: Answer | None = None
        self._early = b""

    # --- one exchange ---------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether it has ended; its keeper was told then."""
        return self._closed

    def usable(self) -> bool:
        """Whether nothing was heard on it while idle, in the socket's buffer neither.

        The look into the socket (0.4 µs) finds a close or a stray byte that the loop has not
        come to yet, before a request is spent on it.
        """
        return not self._closed and not self._poll.poll(0)

    @property
    def stale(self) -> bool:
        """Whether an exchange that just failed found the connection closed since the one before."""
        return self._used and not self._heard

    async def send(
        self, method: str, head: bytes, body: Body, timeouts: Timeouts, total: float
    ) -> Answer:
        """Write a request and return its answer when the headers are here; *total* seconds are
        left for that, the upload not counted.

        Raises ``UpstreamError``, and whatever ``body.read`` raises while the body is sent.
        """
        parser = AnswerParser(to_head=method == "HEAD", max_header_bytes=self._max_header_bytes)
        answer = self._answer = Answer(self, parser)
        self._heard = False
        self._read_seconds = timeouts.read
        self._bound_head(timeouts.first_byte, total)
        if body.size == 0:
            self._transport.write(head)
            self._expect_head()
        elif isinstance(body, Bytes) and body.size is not None and body.size <= SLICE:
            try:
                self._transport.write(head + await whole(body))
            except FramingError as error:
                self.fail(error)
            else:
                self._expect_head()
        else:
            self._transport.write(head)
            self._upload = Upload(self, body)
        return await answer.begun()

    def expect_rest(self, begun: Begun, timeouts: Timeouts) -> None:
        """Before it is connected: the fast path sent a GET on it; the answer comes here."""
        parser = AnswerParser(to_head=False, max_header_bytes=self._max_header_bytes)
        self._answer = self._resumed = Answer(self, parser)
        self._used = begun.reused
        self._early = begun.received
        self._read_seconds = timeouts.read
        self._bound_head(timeouts.first_byte - begun.waited, timeouts.total - begun.waited)

    async def resumed(self) -> Answer:
        """Once it is connected: the answer to what the fast path sent. Raises ``UpstreamError``."""
        answer, self._resumed = self._resumed, None
        if answer is None:
            raise ValueError("nothing was sent")
        if not answer.status and not self._closed:
            self._expect_head()
        self._take_early()
        return answer if answer.status else await answer.begun()

    def _take_early(self) -> None:
        """What the fast path has read comes before everything that is read here."""
        early, self._early = self._early, b""
        if early:
            self.data_received(early)

    def _bound_head(self, first_byte: float, total: float) -> None:
        if first_byte <= total:
            self._head_seconds, self._head_stage = max(0.0, first_byte), "first_byte"
        else:
            self._head_seconds, self._head_stage = max(0.0, total), "total"

    def expect_more(self) -> None:
        """More of the body has to come, or to be taken, within the read time-out."""
        self._expect(self._read_seconds, "read")

    def _expect_head(self) -> None:
        self._expect(self._head_seconds, self._head_stage)

    def _expect(self, seconds: float, stage: Stage) -> None:
        self._stage = stage
        self._deadline = when = self.loop.time() + seconds
        if self._timer is None:
            self._set_timer(when)
        elif when < self._timer_due:
            self._timer.cancel()
            self._set_timer(when)

    def _set_timer(self, when: float) -> None:
        self._timer_due = when
        self._timer = self.loop.call_at(when, self._tick)

    def _tick(self) -> None:
        """One timer serves many waits: it is moved on when it fires before the deadline."""
        self._timer = None
        if self._answer is None or self._deadline == _NEVER:
            return
        if self._reading_paused:
            # It may wait for us: our reader is the slow one.
            self._stage, self._deadline = "read", self.loop.time() + self._read_seconds
        if self.loop.time() < self._deadline:
            self._set_timer(self._deadline)
            return
        self.fail(UpstreamTimeout(self._stage))

    def _finish(self, answer: Answer) -> None:
        """The answer is whole: keep the connection if everything else is."""
        parser = answer.parser
        sent = self._upload is None and not self._transport.get_write_buffer_size()
        self._answer = None
        self._deadline = _NEVER
        self._used = True
        if sent and parser.keep_alive and not parser.excess:
            self.resume_reading()
            self._keeper.released(self)
        else:
            self.discard()

    def fail(self, error: BaseException) -> None:
        """End the connection, and its exchange with *error*."""
        answer, self._answer = self._answer, None
        self.discard()
        if answer is not None:
            answer.detach(error)

    def discard(self) -> None:
        """End the connection; what is still to be written is dropped."""
        if self._closed:
            return
        self._closed = True
        self._stop_upload()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()
        self._keeper.lost(self)

    # --- the request's body ---------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Send a piece of the body and wait until the upstream takes more.

        That wait is bounded by the read time-out; the wait for the client is not. While the answer
        streams, a piece sent is a sign of life like a piece received.
        """
        self._transport.write(data)
        if self._writing_paused and not self._closed:
            self.expect_more()
            self._writable = self.loop.create_future()
            try:
                await self._writable
            finally:
                self._writable = None
                self._deadline = _NEVER
        answer = self._answer
        if answer is not None and answer.status and answer.awaited:
            self.expect_more()

    def upload_ended(self, error: BaseException | None) -> None:
        """The request's body is sent, or *error* stopped it."""
        self._upload = None
        if error is not None:
            self.fail(error)
        elif self._answer is not None and not self._answer.status:
            self._expect_head()

    def _stop_upload(self) -> None:
        if self._upload is not None:
            self._upload.stop()

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        self._writing_paused = False
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    # --- what arrives ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket, or the TLS session on it, is ready."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; a connection that speaks unasked is dropped."""
        if self._early:
            self._take_early()
        answer = self._answer
        if answer is None:
            self.discard()
            return
        self._heard = True
        parser = answer.parser
        try:
            body = parser.feed(data)
        except FramingError as error:
            self.fail(ProtocolViolation(str(error)))
            return
        if not parser.head_done or (answer.status and not body and not parser.complete):
            return  # the clock of whoever waits runs on
        self._deadline = _NEVER
        if parser.status >= _REFUSAL:
            self._stop_upload()
        if parser.complete:
            self._finish(answer)
            answer.detach()
        answer.deliver(body)

    def pause_reading(self) -> None:
        """The reader of the answer is slower than the upstream."""
        if not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The reader has caught up."""
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def eof_received(self) -> None:
        """The upstream has said all it will."""
        self._take_early()
        self._ended(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, by our doing or not."""
        self._take_early()
        if exc is not None and self._upload is not None:
            self._rescue_answer()
        self._ended(exc)

    def _rescue_answer(self) -> None:
        """Read what came before a write failed: an early answer, where the upstream closed on us.

        The loop gives up a socket that cannot be written; what the kernel received is still there.
        """
        if self._transport.get_extra_info("sslcontext") is not None:
            return
        with suppress(OSError):
            while self._answer is not None and (data := self._sock.recv(_PIECE)):
                self.data_received(data)

    def _ended(self, exc: Exception | None) -> None:
        answer = self._answer
        if answer is None:
            self.discard()
        elif exc is None and answer.parser.end():
            self._finish(answer)
            answer.detach()
        else:
            self.fail(ConnectionReset("the connection ended before the answer did"))
