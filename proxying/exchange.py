"""The facts of one request and of its answer, free of any protocol library.

A binding makes an :class:`Exchange`, hands it to the gateway, writes the :class:`Answer`, and
closes it. Header names are lower-case bytes; values are bytes as they came; order and duplicates
are kept.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from keys.authentication import Caller
    from proxying.upstream.base import Origin, Timeouts, UpstreamAnswer
    from proxying.wire.tunnel import FarEnd
    from quotas.bucket import Decision
    from routing.paths import CanonicalPath
    from routing.table import RoutePlan

Headers = list[tuple[bytes, bytes]]


class Body(Protocol):
    """A body that is read once, piece by piece, by one reader."""

    size: int | None
    """Declared length in bytes; ``None`` when it is not known before the end."""

    async def read(self) -> bytes:
        """The next piece, ``b""`` at the end. Raises ``ClientGone`` or an ``UpstreamError``."""
        ...


class Bytes:
    """A body that is already here."""

    __slots__ = ("_content", "size")

    def __init__(self, content: bytes = b"") -> None:
        self._content = content
        self.size: int | None = len(content)

    async def read(self) -> bytes:
        """The whole content, then nothing."""
        content, self._content = self._content, b""
        return content


EMPTY = Bytes()
"""No body. It holds nothing, so all exchanges share it."""


class CarryOn(Protocol):
    """Awaits the answer to what the fast path sent: a transport's."""

    def __call__(
        self, origin: Origin, begun: Begun, timeouts: Timeouts
    ) -> Awaitable[UpstreamAnswer]:
        """As ``Transport.send``."""
        ...


@dataclass(slots=True)
class Begun:
    """What the fast path did for an exchange that is to be carried on here. Times in seconds."""

    request_id: bytes
    traceparent: bytes
    elapsed: float
    """Since the request's head was complete."""
    spent: bool
    """Whether its limits were spent from; the client is told of *decision*."""
    decision: Decision | None
    instance: str
    """URL of the one that was asked."""
    upstream: socket.socket | None
    """The connection it was asked on; ``None``: it is yet to be sent."""
    received: bytes
    """What came of the answer."""
    waited: float
    """Since it was sent."""
    reused: bool
    """Whether the connection had carried others before."""
    carry_on: CarryOn

    def take_upstream(self) -> socket.socket | None:
        """The connection; whoever takes it closes it."""
        taken, self.upstream = self.upstream, None
        return taken

    def close(self) -> None:
        """Close the connection, if nobody has taken it."""
        if self.upstream is not None:
            self.upstream.close()


@dataclass(slots=True)
class Exchange:
    """One request. The upper half is the binding's, the lower half is filled on the journey."""

    method: str
    target: bytes
    """Path as it came (origin form, no query)."""
    query: bytes | None
    """Query as it came, without ``?``; ``None`` when there was no ``?``."""
    headers: Headers
    body: Body
    peer: str
    """Address of the other end of the socket; empty when unknown (a UNIX socket)."""
    scheme: str = "http"
    port: int = 80
    """The port the request arrived on."""
    version: bytes = b"1.1"
    upgradable: bool = False
    """Whether the binding can make a tunnel of the connection."""

    started: float = 0.0
    """``time.perf_counter()`` when the request head was complete."""
    request_id: bytes = b""
    traceparent: bytes = b""
    client: str = ""
    """The client's address: the rightmost one that is not a trusted proxy."""
    trusted: bool = False
    """Whether the peer is a trusted proxy."""
    authority: bytes = b""
    """The client's Host, as sent."""
    host: str = ""
    """Host without port, lower-case, no trailing dot: what routes are chosen by."""
    path: str = ""
    """Canonical path."""
    canonical: CanonicalPath | None = None
    failure: Exception | None = None
    """Why the request was not admitted; answered when the journey begins."""
    websocket_key: bytes = b""
    """Of a WebSocket handshake; empty for every other request."""
    route: RoutePlan | None = None
    caller: Caller | None = None
    decision: Decision | None = None
    attempts: int = 0
    instance: str = ""
    upstream_seconds: float = 0.0
    received: int = 0
    """Bytes of the request body, or from a tunnel's client, read so far."""
    sent: int = 0
    """Bytes of the answer's body, or from a tunnel's upstream, handed to the binding so far."""
    error: str = ""
    """Code of the problem the gateway answered with; empty when the upstream answered."""
    begun: Begun | None = None
    """What the fast path did for it; ``None``: nothing."""
    plain: bool = False
    """Its connection may go to the fast path, which could serve the next request like it."""


@dataclass(slots=True)
class Answer:
    """What goes back. ``close`` must be called exactly once, when the last byte left or cannot."""

    status: int
    headers: Headers
    body: Body
    on_close: Callable[[BaseException | None], None] | None = field(default=None)
    far_end: FarEnd | None = None
    """With a 101: the upstream's end of the tunnel that the binding makes."""
    trailers: Callable[[], Headers] | None = field(default=None)
    """What follows the body, once it is read to its end; ``None``: nothing ever does."""

    def close(self, error: BaseException | None = None) -> None:
        """Give back what the exchange holds. *error* is why the body was not delivered whole."""
        on_close, self.on_close = self.on_close, None
        if on_close is not None:
            on_close(error)
