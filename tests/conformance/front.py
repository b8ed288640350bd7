"""The server under test, whichever it is, and a connection to it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from tests.conformance.origin import BARRIER
from tests.support.raw import RawClient

KEY_MARK = b"<KEY>"
"""Stands for a good API key in bytes to send."""
TRUSTED = "127.0.0.2"
"""A peer that may speak for clients (``TRUSTED_PROXIES``)."""


class Client(RawClient):
    """One connection to 127.0.0.1:*port* from the loopback address *source*."""

    def __init__(self, port: int, timeout: float = 15.0, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=timeout, source_address=(source, 0)
        )
        self._buffer = b""

    def __enter__(self) -> Client:
        return self

    def finish(self) -> None:
        """Send no more, and say so."""
        self.socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Go without a word."""
        self.socket.close()


@dataclass(frozen=True)
class Front:
    """A server that forwards to the origin."""

    port: int
    key: str
    """An API key it accepts."""
    ours: bool = True
    """Whether it is this product, whose own answers have a documented form."""

    def connect(self, source: str = "127.0.0.1") -> Client:
        """A new connection."""
        return Client(self.port, source=source)

    def settle(self) -> None:
        """Return when what was under way to the origin has arrived there."""
        with self.connect() as client:
            client.send(b"GET /open%b HTTP/1.1\r\nHost: h\r\n\r\n" % BARRIER.encode())
            client.read_reply()
