"""An HTTP/2 upstream whose every frame is the test's."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame

from proxying.exchange import Headers
from proxying.upstream.base import Origin


@dataclass
class Stream:
    """One request as the upstream sees it."""

    connection: Connection
    number: int
    headers: Headers
    body: bytes = b""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    """The request is here whole."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """A byte of its body is here."""
    was_reset: asyncio.Event = field(default_factory=asyncio.Event)
    """The other side gave it up."""

    def respond(self, *headers: tuple[str, str], end: bool = False) -> None:
        self.connection.h2.send_headers(self.number, list(headers), end_stream=end)
        self.connection.flush()

    def send(self, data: bytes, *, end: bool = False) -> None:
        self.connection.h2.send_data(self.number, data, end_stream=end)
        self.connection.flush()

    def reset(self, code: int = 0) -> None:
        self.connection.h2.reset_stream(self.number, code)
        self.connection.flush()


Script = Callable[[Stream], Awaitable[None]]


class Connection(asyncio.Protocol):
    """Reads frames and runs the script for each request."""

    def __init__(self, server: H2Server) -> None:
        self.server = server
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self.h2 = h2.connection.H2Connection(config)
        self.gone = asyncio.Event()
        self._streams: dict[int, Stream] = {}

    def flush(self) -> None:
        self.transport.write(self.h2.data_to_send())

    def go_away(self, last: int, code: int = 0) -> None:
        """Take no stream after *last*; ``h2`` itself could not go on after that."""
        frame = GoAwayFrame(0)
        frame.last_stream_id, frame.error_code = last, code
        self.transport.write(frame.serialize())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.append(self)
        self.h2.initiate_connection()
        if self.server.most_streams:
            self.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self.server.most_streams})
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            events = self.h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self.transport.close()
            return
        for event in events:
            self._handle(event)
        self.flush()

    def _handle(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = [(bytes(name), bytes(value)) for name, value in event.headers]
            stream = self._streams[event.stream_id] = Stream(self, event.stream_id, headers)
            self.server.streams.append(stream)
            self.server.run(stream)
        elif isinstance(event, h2.events.DataReceived):
            stream = self._streams[event.stream_id]
            stream.body += event.data
            stream.begun.set()
            if self.server.reads:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._streams[event.stream_id].ended.set()
        elif isinstance(event, h2.events.StreamReset):
            self._streams[event.stream_id].was_reset.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()


class H2Server:
    """Runs *script* for every request. ``http/1.1`` is not spoken."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None, host: str = "127.0.0.1") -> None:
        self.most_streams = 0
        """How many at once; 0: any number."""
        self.reads = True
        """Whether it takes more than a window of a request."""
        self._host = host
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: list[Connection] = []
        self.streams: list[Stream] = []
        self.asked = asyncio.Event()
        """There was a request."""

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), self._host, 0, ssl=self._tls
        )
        port = self._server.sockets[0].getsockname()[1]
        scheme = "https" if self._tls else "http"
        self.origin = Origin(scheme, self._host, port, f"{self._host}:{port}".encode())

    def run(self, stream: Stream) -> None:
        self.asked.set()
        task = asyncio.ensure_future(self._script(stream))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            connection.transport.abort()
        await asyncio.sleep(0)
