"""How fast a client has to be, and how fast it may be: deadlines and back-pressure of a connection.

Three deadlines share one timer, which is moved on when it fires early: setting and lifting one for
every request costs a comparison. Leans on its connection through :class:`Owner`.
"""

from __future__ import annotations

import asyncio
import select
import socket
import struct
from typing import Protocol

from proxying.admission import Patience
from proxying.wire.body import RequestBody

_NEVER = float("inf")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LOOK_SECONDS = 0.5
_RESET = struct.pack("ii", 1, 0)
_LEFT = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class Owner(Protocol):
    """The connection."""

    def input_overdue(self, awaited: RequestBody | None) -> None:
        """Nothing came in time, of *awaited* if a reader waits for it."""
        ...

    def departed(self) -> None:
        """The client has left."""
        ...


class Pace:
    """The clock and the brakes of one connection; a ``Source`` for its bodies."""

    __deletable__ = ("_owner",)
    __slots__ = (
        "_awaited",
        "_due",
        "_input",
        "_look",
        "_owner",
        "_timer",
        "_transport",
        "_unsent",
        "_writable",
        "_write",
        "loop",
        "patience",
        "reading_paused",
        "writing_paused",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        patience: Patience,
        owner: Owner,
    ) -> None:
        self.loop = loop
        self.patience = patience
        self.reading_paused = False
        self.writing_paused = False
        self._transport = transport
        self._owner = owner
        self._awaited: RequestBody | None = None
        self._writable: asyncio.Future[None] | None = None
        self._unsent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = self._input = self._write = self._look = _NEVER

    # --- what the client sends ------------------------------------------------------------------

    def expect_input(self, seconds: float) -> None:
        """Something has to come within *seconds*."""
        self._input = due = self.loop.time() + seconds
        self._arm(due)

    def expect_nothing(self) -> None:
        """The client is not waited for."""
        self._input = _NEVER
        self._awaited = None

    def expect_body(self, body: RequestBody) -> None:
        """A reader waits for *body*: its rate counts while it does, and only then."""
        if body.awaits_continue:
            body.awaits_continue = False
            self._transport.write(_CONTINUE)
        patience = self.patience
        allowance = patience.body_grace + body.received / patience.body_rate - body.waited
        self._awaited = body
        self.expect_input(min(patience.body_stall, allowance))

    def body_arrived(self, body: RequestBody) -> None:
        """The wait for *body* is over."""
        if self._awaited is body:
            self.expect_nothing()

    def pause_reading(self) -> None:
        """Take nothing more off the socket. That hides a close, which is looked for instead."""
        if not self.reading_paused and not self._transport.is_closing():
            self.reading_paused = True
            self._transport.pause_reading()
            self._look_later()

    def resume_reading(self) -> None:
        """Go on."""
        if self.reading_paused and not self._transport.is_closing():
            self.reading_paused = False
            self._look = _NEVER
            self._transport.resume_reading()

    # --- what the client takes ------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The client takes less than there is for it."""
        self.writing_paused = True
        self._unsent = self._transport.get_write_buffer_size()
        self._write = due = self.loop.time() + self.patience.write
        self._arm(due)

    def resume_writing(self) -> None:
        """There is room again."""
        self.writing_paused = False
        self._write = _NEVER
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)

    async def room_to_write(self) -> None:
        """Until there is room again; only where ``writing_paused``."""
        self._writable = self.loop.create_future()
        try:
            await self._writable
        finally:
            self._writable = None

    def close(self) -> None:
        """Close when what is written has left; the client has to take it in time."""
        self.expect_nothing()
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self.pause_writing()

    def reset(self) -> None:
        """End it so that nobody takes what was sent for whole."""
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def stop(self) -> None:
        """The connection is gone: nothing is due any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._due = -_NEVER
        del self._owner  # it refers back to here

    # --- the timer ------------------------------------------------------------------------------

    def _arm(self, due: float) -> None:
        if due >= self._due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = self.loop.call_at(due, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._due = _NEVER
        now = self.loop.time()
        if now >= self._write:
            self._write_overdue()
        if now >= self._look:
            self._look_for_client()
        if now >= self._input:
            awaited = self._awaited
            self.expect_nothing()
            self._owner.input_overdue(awaited)
        due = min(self._input, self._write, self._look)
        if due < _NEVER:
            self._arm(due)

    def _write_overdue(self) -> None:
        if self._transport.get_write_buffer_size() < self._unsent:
            self.pause_writing()
        else:
            self._write = _NEVER
            self._transport.abort()

    def _look_later(self) -> None:
        self._look = due = self.loop.time() + _LOOK_SECONDS
        self._arm(due)

    def _look_for_client(self) -> None:
        if has_left(self._transport):
            self._look = _NEVER
            self._owner.departed()
            self._transport.abort()
        else:
            self._look_later()


def has_left(transport: asyncio.Transport) -> bool:
    """Whether the peer has ended its side, read or not: for transports that do not read."""
    sock = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return True  # It is closed, and its protocol will hear of it.
    poll = select.poll()
    poll.register(sock.fileno(), select.POLLRDHUP)
    return any(events & _LEFT for _, events in poll.poll(0))
