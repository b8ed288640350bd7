"""An HTTP/2 client whose every frame is the test's: what a library does beside it is no race."""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h2.config
import h2.connection
import h2.events

_SECONDS = 20


@dataclass
class Answer:
    """What came on one stream so far; ``over`` once no more will."""

    status: int = 0
    body: bytes = b""
    over: bool = False


class H2Client:
    """The client's end of *connection*, which agreed on HTTP/2."""

    def __init__(self, connection: ssl.SSLSocket) -> None:
        self.answers: dict[int, Answer] = defaultdict(Answer)
        self._socket = connection
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding=None))
        self._h2.initiate_connection()
        self._flush()

    def begin(self, method: str, path: str, *headers: tuple[str, str], end: bool = False) -> int:
        """Send the head of a request; the number of its stream."""
        number = self._h2.get_next_available_stream_id()
        head = [
            (":method", method), (":path", path), (":scheme", "https"),
            (":authority", "gateway.test"), *headers,
        ]  # fmt: skip
        self._h2.send_headers(number, head, end_stream=end)
        self._flush()
        return number

    def room(self, number: int) -> int:
        """How many bytes the other side takes now on this stream."""
        return self._h2.local_flow_control_window(number)

    def send(self, number: int, data: bytes, *, end: bool = False) -> None:
        """Send *data*, waiting for the other side to have room for it."""
        while data:
            room = min(self.room(number), self._h2.max_outbound_frame_size, len(data))
            if room:
                self._h2.send_data(number, data[:room], end_stream=end and room == len(data))
                self._flush()
                data = data[room:]
            else:
                self._receive()

    def answer(self, number: int) -> Answer:
        """The whole answer on this stream."""
        while not self.answers[number].over:
            self._receive()
        return self.answers[number]

    def _receive(self) -> None:
        data = self._socket.recv(65_536)
        if not data:
            raise ConnectionError("the connection has ended")
        for event in self._h2.receive_data(data):
            self._note(event)
        self._flush()

    def _note(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self.answers[event.stream_id].status = int(dict(event.headers)[b":status"])
        elif isinstance(event, h2.events.DataReceived):
            self.answers[event.stream_id].body += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded | h2.events.StreamReset):
            self.answers[event.stream_id].over = True

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())


@contextmanager
def connected(port: int, authority: Path) -> Iterator[H2Client]:
    """A connection to 127.0.0.1:*port*, whose certificate *authority* has signed."""
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", port), timeout=_SECONDS)
    with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
        yield H2Client(connection)
