"""One HTTP/2 connection to an upstream, shared by as many exchanges as the upstream takes.

Frames are the ``h2`` library's business, exchanges those of ``proxying.http2.stream``; here they
meet. The window of the connection is widened as bytes arrive, that of a stream as its reader takes
them, so that one slow reader never holds the others up. After a GOAWAY the streams that the
upstream still answers run to their end.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Protocol, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from proxying.exchange import Body, Headers
from proxying.http2.frames import FrameGate, GoAway
from proxying.http2.messages import answer_head
from proxying.http2.stream import WINDOW, Stream
from proxying.upstream.base import ConnectFailed, ConnectionReset, ProtocolViolation, Timeouts
from proxying.wire.framing import FramingError
from proxying.wire.pace import has_left

_CONNECTION_WINDOW = 16 * 1024 * 1024
_MOST_STREAMS = 1000
"""Exchanges at once, whatever the upstream allows."""
_LAST_NUMBER = 2**31 - 1
_MOST_INTERIM = 10


class Keeper(Protocol):
    """Whoever hands connections out."""

    def roomier(self) -> None:
        """A stream has ended."""
        ...

    def lost(self, connection: Connection) -> None:
        """*connection* takes no stream any more; may be called more than once."""
        ...


class Connection(asyncio.Protocol):
    """Made by a keeper; a ``Line`` for its streams."""

    def __init__(self, loop: asyncio.AbstractEventLoop, keeper: Keeper) -> None:
        self.loop = loop
        self.idle_since = loop.time()
        self.closed = False
        self.failure: Exception | None = None
        """Why it has ended."""
        self.greeted: asyncio.Future[None] = loop.create_future()
        """Done when the upstream has said how many streams it takes, or the connection ended."""
        self._keeper = keeper
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding=None)
        )
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
                h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE: 65536,
            },
        )
        self._gate = FrameGate()
        self._streams: dict[int, Stream] = {}
        self._interim: dict[int, int] = {}
        self._leaving = False
        self._heard = 0.0
        self._unwidened = 0
        self._writing_paused = False

    # --- exchanges ------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether it takes another stream. One that was closed while idle may not know it yet."""
        if self.closed or self._leaving:
            return False
        if not self._streams:
            return not has_left(self._transport)
        most = min(self._h2.remote_settings.max_concurrent_streams, _MOST_STREAMS)
        return len(self._streams) < most

    @property
    def idle(self) -> bool:
        """Whether it has no stream."""
        return not self._streams

    def heard_since(self, moment: float) -> bool:
        """Whether anything came after *moment* of the loop's clock."""
        return self._heard > moment

    def open(
        self, fields: Headers, body: Body, timeouts: Timeouts, total: float, *, to_head: bool
    ) -> Stream:
        """Begin an exchange, only where :attr:`has_room`; *total* seconds are left for its head.

        Raises ``ValueError`` for fields that must not be written.
        """
        number = self._h2.get_next_available_stream_id()
        if number + 2 > _LAST_NUMBER:
            self._leaving = True
        try:
            self._h2.send_headers(number, fields, end_stream=body.size == 0)
        except h2.exceptions.ProtocolError as error:
            raise FramingError(str(error)) from error
        self._flush()
        stream = self._streams[number] = Stream(
            self, number, body, timeouts, total, to_head=to_head
        )
        return stream

    def room(self, number: int) -> int:
        """Bytes that stream *number* may send now."""
        if self._writing_paused or number not in self._streams:
            return 0
        window = self._h2.local_flow_control_window(number)
        return max(0, min(window, self._h2.max_outbound_frame_size))

    def send(self, number: int, data: bytes) -> None:
        """Send a piece of a body."""
        self._h2.send_data(number, data)
        self._flush()

    def end(self, number: int) -> None:
        """A request is whole."""
        if number in self._streams:
            self._h2.end_stream(number)
            self._flush()

    def widen(self, number: int, count: int) -> None:
        """The reader of stream *number* took *count* bytes."""
        if not self.closed and number in self._streams:
            self._h2.increment_flow_control_window(count, number)
            self._flush()

    def leave(self, number: int, *, reset: bool) -> None:
        """Stream *number* is over."""
        if self._streams.pop(number, None) is None:
            return
        self._interim.pop(number, None)
        if self.closed:
            return
        if reset:
            # Its end may have come in the same bytes as what it is refused for.
            with suppress(h2.exceptions.StreamClosedError):
                self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
            self._flush()
        self.idle_since = self.loop.time()
        if self._leaving and not self._streams:
            self.close()
        else:
            self._keeper.roomier()

    def suspect(self, since: float) -> None:
        """Take no new stream if nothing was heard *since*: perhaps nobody is there any more."""
        if not self.heard_since(since):
            self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self._keeper.lost(self)
        if not self._streams:
            self.close()

    def close(self) -> None:
        """Say goodbye and end; streams that run break off."""
        if self.closed:
            return
        self._h2.close_connection()
        self._flush()
        self._end(ConnectionReset("the connection was closed"))

    def _end(self, error: Exception) -> None:
        self.closed = True
        self.failure = error
        self._greeted()
        self._transport.close()
        self._keeper.lost(self)
        for stream in list(self._streams.values()):
            stream.fail(error, reset=False)

    def _greeted(self) -> None:
        if not self.greeted.done():
            self.greeted.set_result(None)

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._transport.write(data)

    # --- the socket -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket, or the TLS session on it, is ready."""
        self._transport = cast(asyncio.Transport, transport)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_CONNECTION_WINDOW)
        self._flush()

    @property
    def agreed(self) -> bool:
        """Whether TLS, where there is any, agreed on HTTP/2 (RFC 9113 3.3)."""
        tls = self._transport.get_extra_info("ssl_object")
        return tls is None or tls.selected_alpn_protocol() == "h2"

    def data_received(self, data: bytes) -> None:
        """Frames, or parts of them."""
        self._heard = self.loop.time()
        if self.closed:
            return
        try:
            passed, farewells = self._gate.feed(data)
            events = self._h2.receive_data(passed) if passed else []
            for event in events:
                self._handle(event)
        except (h2.exceptions.ProtocolError, ValueError) as error:
            self._flush()
            self._end(ProtocolViolation(str(error) or type(error).__name__))
            return
        for farewell in farewells:
            self._part(farewell)
        if not self.closed:
            self._flush()

    def eof_received(self) -> None:
        """The upstream has said all it will."""
        self._ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone, by our doing or not."""
        self._ended()

    def _ended(self) -> None:
        if not self.closed:
            self._end(ConnectionReset("the connection ended before the answer did"))

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        self._writing_paused = False
        self._more_room(0)

    # --- what arrives ---------------------------------------------------------------------------

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.DataReceived():
                self._take_data(event)
            case h2.events.ResponseReceived():
                self._take_head(event)
            case h2.events.TrailersReceived():
                if stream := self._streams.get(event.stream_id):
                    stream.trailers.extend((bytes(n), bytes(v)) for n, v in event.headers)
            case h2.events.StreamEnded():
                if stream := self._streams.get(event.stream_id):
                    stream.finish()
            case _:
                self._handle_rare(event)

    def _handle_rare(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.StreamReset():
                self._take_reset(event)
            case h2.events.InformationalResponseReceived():
                self._count_interim(event.stream_id)
            case h2.events.WindowUpdated():
                self._more_room(event.stream_id or 0)
            case h2.events.RemoteSettingsChanged():
                self._greeted()
                self._more_room(0)
                self._keeper.roomier()

    def _take_head(self, event: h2.events.ResponseReceived) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        fields = [(bytes(name), bytes(value)) for name, value in event.headers]
        try:
            stream.begin(answer_head(fields, to_head=stream.to_head))
        except FramingError as error:
            stream.fail(ProtocolViolation(str(error)))

    def _take_data(self, event: h2.events.DataReceived) -> None:
        counted = event.flow_controlled_length
        self._unwidened += counted
        if self._unwidened >= _CONNECTION_WINDOW // 4:
            self._h2.increment_flow_control_window(self._unwidened)
            self._unwidened = 0
        if stream := self._streams.get(event.stream_id):
            stream.deliver(event.data, counted - len(event.data))

    def _count_interim(self, number: int) -> None:
        self._interim[number] = count = self._interim.get(number, 0) + 1
        if count > _MOST_INTERIM and (stream := self._streams.get(number)):
            stream.fail(ProtocolViolation("interim answers without end"))

    def _take_reset(self, event: h2.events.StreamReset) -> None:
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        if event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM:
            stream.fail(ConnectFailed("the upstream refused the stream"), reset=False)
        else:
            stream.fail(ConnectionReset(f"the stream was reset ({event.error_code})"), reset=False)

    def _part(self, farewell: GoAway) -> None:
        """The upstream takes no new stream; those above its last one it never worked on (6.8)."""
        self._leaving = True
        self._keeper.lost(self)
        for number, stream in list(self._streams.items()):
            if number > farewell.last:
                stream.fail(ConnectFailed("the upstream went away before"), reset=False)
        if not self._streams and not self.closed:
            self.close()

    def _more_room(self, number: int) -> None:
        for stream in list(self._streams.values()):
            if number in (0, stream.number):
                stream.more_room()
