"""A request as httpx takes it, and the clock of its exchange. Leans on nothing but httpx."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from proxying.exchange import Body
from proxying.upstream.base import Origin, Stage, Timeouts, UpstreamRequest, UpstreamTimeout
from proxying.wire.framing import FramingError

_OF_THE_CONNECTION = frozenset((b"connection", b"keep-alive", b"te", b"upgrade"))
"""Headers that HTTP/2 has no place for (RFC 9113 8.2.2); httpx decides too late which it is."""


class Clock:
    """The time-outs of one exchange; the wait for the head begins when the body is sent."""

    def __init__(self, timeouts: Timeouts, sent: bool) -> None:
        self.timeouts = timeouts
        self._loop = asyncio.get_running_loop()
        self._until = self._loop.time() + timeouts.total
        self._sent = sent
        self._timeout: asyncio.Timeout | None = None

    @asynccontextmanager
    async def head(self) -> AsyncIterator[None]:
        """Bounds the time to the head. Connecting is part of it, bounded by httpx."""
        spare = self.timeouts.connect + self.timeouts.first_byte
        when = min(self._until, self._loop.time() + spare) if self._sent else None
        try:
            async with asyncio.timeout_at(when) as self._timeout:
                yield
        except TimeoutError as error:
            late = self._loop.time() >= self._until
            raise UpstreamTimeout("total" if late else "first_byte") from error

    def body_sent(self) -> None:
        """Nothing is left to send: from now on the upstream is waited for."""
        if self._timeout is not None:
            wait = min(self.timeouts.first_byte, self.timeouts.total)
            self._timeout.reschedule(self._loop.time() + wait)

    @property
    def for_httpx(self) -> dict[str, float | None]:
        """What httpx itself watches: each step on the socket."""
        longest = max(self.timeouts.read, self.timeouts.first_byte, self.timeouts.total)
        return {
            "connect": min(self.timeouts.connect, self.timeouts.total),
            "write": self.timeouts.read,
            "read": longest,
            "pool": self.timeouts.connect,
        }


class Upload(httpx.AsyncByteStream):
    """A request's body as httpx reads it. What the body raises passes through httpx unchanged."""

    def __init__(self, body: Body, clock: Clock) -> None:
        self._body = body
        self._clock = clock

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._body.size
        while left != 0 and (piece := await self._body.read()):
            if left is not None:
                left -= len(piece)
                if left < 0:
                    break
            yield piece
        if left:
            raise FramingError("the request body is not as long as declared")
        self._clock.body_sent()


def request_of(
    address: str, origin: Origin, request: UpstreamRequest, clock: Clock
) -> httpx.Request:
    """The request with its target and headers as they are; httpx adds none."""
    headers = [pair for pair in request.headers if pair[0].lower() not in _OF_THE_CONNECTION]
    size = request.body.size
    if size is None:
        headers.append((b"transfer-encoding", b"chunked"))
    elif size or request.force_length:
        headers.append((b"content-length", b"%d" % size))
    shown = f"[{address}]" if ":" in address else address
    return httpx.Request(
        request.method,
        f"{origin.scheme}://{shown}:{origin.port}",
        headers=headers,
        stream=Upload(request.body, clock),
        extensions={
            "target": request.target,
            "sni_hostname": origin.server_name,
            "timeout": clock.for_httpx,
        },
    )


@asynccontextmanager
async def within(seconds: float, stage: Stage) -> AsyncIterator[None]:
    """Raise ``UpstreamTimeout`` of *stage* when *seconds* are over."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise UpstreamTimeout(stage) from error
