"""An upgraded connection: bytes both ways between a client and an upstream, unread.

Either side's end is passed on at once, as an end of sending where the socket can say that, so that
what is on its way to the other side still arrives; then both are closed. A side that takes nothing
stops the other one's reading. What the gateway ends itself (idle, drain) ends with a Close frame
where one fits between two frames. Leans on ``proxying.wire.frames`` and ``proxying.wire.pace``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from proxying.admission import Patience
from proxying.wire.frames import GOING_AWAY, Frames, close_frame
from proxying.wire.pace import has_left

_LOOK_SECONDS: Final = 0.5
_UPSTREAM_LINGERS: Final = 0.5
"""Seconds an upstream has to end its side once there is no client, before it is closed."""

IDLE: Final = b"idle for too long"
STOPPING: Final = b"the gateway is stopping"


@dataclass(slots=True)
class FarEnd:
    """The upstream's end of a tunnel that is not begun: its transport, which does not read."""

    transport: asyncio.Transport
    early: bytes
    """What came behind the 101."""
    idle_seconds: float
    taken: bool = False
    lost: bool = False
    """The transport has told its protocol of its end already."""


class Tunnel:
    """Takes over both transports when made.

    *early* is what the client sent behind its handshake; *lost* is told when its connection is
    gone.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        client: asyncio.Transport,
        far_end: FarEnd,
        patience: Patience,
        lost: Callable[[Exception | None], None],
    ) -> None:
        self.moved = loop.time()
        """When a byte came last."""
        self._loop = loop
        self._patience = patience
        self._idle_seconds = far_end.idle_seconds
        self._lost = lost
        self._ended: asyncio.Future[None] = loop.create_future()
        self._far_end = far_end
        self._ends_by: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.client = Side(self, client, loop)
        self.upstream = Side(self, far_end.transport, loop)
        self.client.other, self.upstream.other = self.upstream, self.client
        far_end.taken = True
        client.set_protocol(self.client)
        far_end.transport.set_protocol(self.upstream)

    def begin(self, early: bytes) -> None:
        """Let bytes pass, first those that are here; the 101 is written by now."""
        self._arm(self._idle_seconds)
        if self._far_end.early:
            self.upstream.data_received(self._far_end.early)
        if early:
            self.client.data_received(early)
        if self._far_end.lost:
            self.upstream.connection_lost(None)
        else:
            self.upstream.resume_reading()

    async def over(self) -> None:
        """Until both connections are gone; cancelled while they end, it closes them at once."""
        try:
            await asyncio.wait((self._ended,))
        except asyncio.CancelledError:
            if self._ends_by is not None:
                self._close()
            raise

    async def carry(self, ended: Callable[[], None]) -> None:
        """Until both connections are gone. Cancelled, it says goodbye. *ended* is called once,
        before the last wait.
        """
        try:
            await self.over()
        except asyncio.CancelledError:
            self.end(STOPPING)
            raise
        finally:
            ended()
            await self.over()

    def end(self, reason: bytes) -> None:
        """Close both sides, with a Close frame (1001) where it would be read as one."""
        if self._ends_by is not None:
            return
        for side in (self.client, self.upstream):
            side.say_goodbye(reason, masked=side is self.upstream)
            side.finish()
            side.resume_reading()
        self._end_within(_UPSTREAM_LINGERS)

    # --- told by the sides ----------------------------------------------------------------------

    def held_up(self) -> None:
        """A side takes no more: look often whether it gets on."""
        self._arm(_LOOK_SECONDS)

    def finished(self, side: Side) -> None:
        """*side* will send no more: neither does the gateway to the other one."""
        side.silent = True
        side.other.finish()
        if side.other.silent:
            self._close()
        upstream_left = side is self.upstream
        self._end_within(self._patience.drain if upstream_left else _UPSTREAM_LINGERS)

    def gone(self, side: Side, error: Exception | None) -> None:
        """*side*'s connection is gone."""
        if not side.other.lost:
            self.finished(side)
            side.other.resume_reading()  # nothing waits for what it sends, but for its end
        else:
            self._settle()
        if side is self.client:
            self._lost(error)

    def _settle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._ended.done():
            self._ended.set_result(None)

    def _close(self) -> None:
        """Close both connections when what is written has left."""
        self.client.transport.close()
        self.upstream.transport.close()

    # --- the timer ------------------------------------------------------------------------------

    def _end_within(self, seconds: float) -> None:
        due = self._loop.time() + seconds
        self._ends_by = due if self._ends_by is None else min(due, self._ends_by)
        self._arm(min(seconds, _LOOK_SECONDS))

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        client, upstream = self.client, self.upstream
        client.abort_if_stuck(now, self._patience.write)
        upstream.abort_if_stuck(now, self._patience.write)
        if client.reading_paused and has_left(client.transport):
            # Part of what it sent is lost, so the upstream must not take the rest for the whole.
            client.transport.abort()
            upstream.transport.abort()
        if self._ends_by is not None:
            if now >= self._ends_by:
                self._close()
            self._arm(_LOOK_SECONDS)
        elif now >= self.moved + self._idle_seconds:
            self.end(IDLE)
        elif client.writing_paused or upstream.writing_paused:
            self._arm(_LOOK_SECONDS)
        else:
            self._arm(self.moved + self._idle_seconds - now)


class Side(asyncio.Protocol):
    """One end of a tunnel: what it sends goes to the other one."""

    __slots__ = (
        "_frames",
        "_loop",
        "_progress",
        "_tunnel",
        "_unsent",
        "finishing",
        "lost",
        "other",
        "reading_paused",
        "received",
        "silent",
        "transport",
        "writing_paused",
    )

    other: Side

    def __init__(
        self, tunnel: Tunnel, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.transport = transport
        self.received = 0
        """Bytes that came from it."""
        self.finishing = False
        """Nothing more is written to it."""
        self.silent = False
        """It sends no more."""
        self.lost = False
        self.reading_paused = not transport.is_reading()
        self.writing_paused = False
        self._tunnel = tunnel
        self._loop = loop
        self._frames = Frames()
        self._unsent = 0
        self._progress = 0.0

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self._tunnel.moved = self._loop.time()
        self.received += len(data)
        self.other.write(data)

    def write(self, data: bytes) -> None:
        """Send *data*, unless the side has come to its end."""
        if not self.finishing and not self.transport.is_closing():
            self._frames.feed(data)
            self.transport.write(data)

    def say_goodbye(self, reason: bytes, *, masked: bool) -> None:
        """Send a Close frame if nothing is in its way."""
        if self._frames.between and not self._frames.closing:
            self.write(close_frame(GOING_AWAY, reason, masked=masked))

    def finish(self) -> None:
        """Let the side know that nothing more comes, once what is written has left."""
        if self.finishing:
            return
        self.finishing = True
        self._note_progress()
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            with suppress(OSError):  # it is gone, and says so next
                self.transport.write_eof()
        else:
            self.transport.close()

    def eof_received(self) -> bool:
        """It will send no more; it may still read."""
        self._tunnel.finished(self)
        return self.transport.can_write_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, by our doing or not."""
        self.lost = True
        self._tunnel.gone(self, exc)

    # --- back-pressure --------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """It takes less than there is for it."""
        self.writing_paused = True
        self._note_progress()
        self.other.pause_reading()
        self._tunnel.held_up()

    def resume_writing(self) -> None:
        """There is room again."""
        self.writing_paused = False
        self.other.resume_reading()

    def pause_reading(self) -> None:
        """Take nothing more off its socket."""
        if not self.reading_paused and not self.transport.is_closing():
            self.reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on."""
        if self.reading_paused and not self.transport.is_closing():
            self.reading_paused = False
            self.transport.resume_reading()

    def abort_if_stuck(self, now: float, seconds: float) -> None:
        """End a side that has taken nothing of what waits for it for *seconds*."""
        if self.lost or not (self.writing_paused or self.finishing):
            return
        unsent = self.transport.get_write_buffer_size()
        if unsent < self._unsent or not unsent:
            self._unsent, self._progress = unsent, now
        elif now - self._progress >= seconds:
            self.transport.abort()

    def _note_progress(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._progress = self._loop.time()
