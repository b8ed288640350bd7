"""The seam to the upstream: one method, four errors.

::

    UpstreamError
    ├── ConnectFailed      no connection; nothing was sent (safe for every method)
    ├── ConnectionReset    the connection ended before a byte of the answer
    ├── ProtocolViolation  the answer is not HTTP we accept
    └── UpstreamTimeout    connect, first byte, read or total time ran out (``stage``)

A transport translates every foreign exception into one of these at its border; what they mean to
the client is said once, in ``proxying.problems``. ``ClientGone`` and other errors raised by the
request body's ``read`` pass through unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from proxying.exchange import Body, Headers
from routing.plans import InstancePlan, Link

DIRECT = Link()
"""Of no service, with nothing but defaults."""

Stage = Literal["connect", "first_byte", "read", "total"]


class UpstreamError(Exception):
    """Base: the upstream, or the way to it, failed."""


class ConnectFailed(UpstreamError):
    """No connection could be made; nothing was sent."""


class ConnectionReset(UpstreamError):
    """The connection ended before the answer was complete."""


class ProtocolViolation(UpstreamError):
    """The upstream sent something that is not an acceptable HTTP answer."""


class UpstreamTimeout(UpstreamError):
    """Time ran out in *stage*."""

    def __init__(self, stage: Stage, message: str = "") -> None:
        super().__init__(message or f"timed out ({stage})")
        self.stage: Stage = stage


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an instance listens and how it is spoken to, taken apart at publish. ``authority`` is
    its Host header.
    """

    scheme: str
    host: str
    port: int
    authority: bytes
    link: Link = DIRECT

    @classmethod
    def of(cls, plan: InstancePlan) -> Origin:
        """The origin of an instance."""
        address = plan.address
        return cls(address.scheme, address.host, address.port, address.authority, plan.link)

    @property
    def server_name(self) -> str:
        """What is asked for, and verified, in TLS."""
        return self.link.server_name or self.host


@dataclass(slots=True)
class UpstreamRequest:
    """What is sent: ``target`` is path and query; ``headers`` are complete but for framing.

    The transport writes the framing from ``body.size``: ``Content-Length`` when it is known and
    either positive or ``force_length`` is set, ``Transfer-Encoding: chunked`` when it is ``None``.
    ``headers`` carry neither.
    """

    method: str
    target: bytes
    headers: Headers
    body: Body
    force_length: bool = False
    """Write ``Content-Length: 0`` for an empty body (the client sent one)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. ``first_byte`` bounds the wait for the head of the answer once the request is sent,
    ``read`` each pause between two pieces of its body (of either body while both stream), and of
    the upload when the upstream does not take it. ``total`` bounds connecting and the wait for the
    head together; the time a client takes to upload is not counted.
    """

    connect: float
    first_byte: float
    read: float
    total: float


class UpstreamAnswer(Protocol):
    """Status line and headers have arrived; the body streams."""

    status: int
    headers: Headers
    """As received, framing and hop-by-hop headers included."""
    size: int | None
    """Length of the body that will be read; ``None`` when not known before the end."""

    @property
    def trailers(self) -> Headers:
        """What came behind the body; complete when ``read`` has returned ``b""``."""
        ...

    async def read(self) -> bytes:
        """The next piece of the body, ``b""`` at its proper end; else an ``UpstreamError``."""
        ...

    def close(self) -> None:
        """Let go: the connection is reused if the body was read to its end, else discarded."""
        ...


class Transport(Protocol):
    """Sends requests to origins."""

    async def send(
        self, origin: Origin, request: UpstreamRequest, timeouts: Timeouts
    ) -> UpstreamAnswer:
        """Send *request*, return when the answer's headers are here; raises ``UpstreamError``.

        The body is streamed while the answer is awaited and while it streams back. The upload is
        stopped by an answer of 400 or more, and by the end of any answer. What the body's ``read``
        raises while the answer streams is raised by the answer's. Cancelling the caller discards
        the connection.
        """
        ...

    async def close(self) -> None:
        """Close every idle connection."""
        ...
