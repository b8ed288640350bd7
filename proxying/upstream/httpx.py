"""The httpx transport: HTTP/2 to upstreams, for services that ask for it.

httpx speaks HTTP/2 where TLS negotiates it and HTTP/1.1 elsewhere. Of httpx only its transport is
used, without the client above it: no cookie jar, no redirects, no proxies from the environment, no
headers of its own. Each connection carries one exchange at a time and is a transport of its own:
httpx cannot give up one stream of a shared connection (it sends no RST_STREAM and leaves the
connection's window used up), so an exchange that is broken off takes its connection along and
nothing else. What is not carried stands in ``docs/upstreams.md``.

Names are looked up here, so that every address is judged before it is connected to; httpx sees
addresses only. Leans on ``proxying.wire`` for resolving and framing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Any

import httpx

from proxying.exchange import Headers
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    Origin,
    ProtocolViolation,
    Timeouts,
    UpstreamError,
    UpstreamRequest,
)
from proxying.upstream.httpx_errors import translated
from proxying.upstream.httpx_request import Clock, request_of, within
from proxying.wire.framing import FramingError, answer_size
from proxying.wire.resolve import AddressRule, look_up

OriginKey = tuple[str, str, int, str, ssl.SSLContext | None]

_IDLE_SECONDS = 60.0


class _Channel:
    """One connection: an httpx transport that never holds more, and what is known of it."""

    def __init__(self, address: str, tls: ssl.SSLContext) -> None:
        self.address = address
        self.idle_since = 0.0
        self.stream: Any = None
        """httpcore's network stream, once an answer came over it."""
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        self.transport = httpx.AsyncHTTPTransport(
            verify=tls, http2=True, trust_env=False, limits=limits
        )

    def spotless(self) -> bool:
        """Whether nothing came beyond the answer: in HTTP/1.1 it would be taken for the next one.

        httpx has no word for that; a connection of a shape that is not known is not used again.
        """
        connections = self.transport._pool.connections
        inner = getattr(connections[0], "_connection", None) if connections else None
        state = getattr(inner, "_h11_state", None)
        return hasattr(inner, "_h2_state") or (state is not None and not state.trailing_data[0])

    def usable(self, now: float) -> bool:
        """Whether it was not idle too long, nor was anything heard on it meanwhile."""
        fresh = now - self.idle_since < _IDLE_SECONDS
        return fresh and self.stream is not None and not self.stream.get_extra_info("is_readable")


class HttpxTransport:
    """A ``Transport``. Belongs to the event loop it is first used on.

    *tls* is for origins whose link brings no context. *allowed* is asked for every address before
    it is connected to, unless the link says otherwise.
    """

    def __init__(
        self,
        *,
        max_connections_per_origin: int = 256,
        tls: ssl.SSLContext | None = None,
        allowed: AddressRule | None = None,
    ) -> None:
        self._most = max_connections_per_origin
        self._tls = tls
        self._allowed = allowed
        self._idle: dict[OriginKey, deque[_Channel]] = {}
        self._turns: dict[OriginKey, asyncio.Semaphore] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return sum(map(len, self._idle.values()))

    async def send(
        self, origin: Origin, request: UpstreamRequest, timeouts: Timeouts
    ) -> HttpxAnswer:
        """As ``Transport.send``, but for an answer that comes early: it is read when the whole
        body is sent. Raises ``ValueError`` too: a head that must not be written.
        """
        if self._closed:
            raise ConnectFailed("the transport is closed")
        key = (origin.scheme, origin.host, origin.port, origin.link.service, origin.link.tls)
        turns = self._turns.setdefault(key, asyncio.Semaphore(self._most))
        clock = Clock(timeouts, request.body.size == 0)
        async with within(min(timeouts.connect, timeouts.total), "connect"):
            await turns.acquire()
        try:
            return await self._exchange(key, origin, request, clock)
        except BaseException:
            turns.release()
            raise

    async def _exchange(
        self, key: OriginKey, origin: Origin, request: UpstreamRequest, clock: Clock
    ) -> HttpxAnswer:
        channel = self._take(key)
        if channel is not None:
            return await self._ask(channel, key, origin, request, clock)
        async with within(clock.timeouts.connect, "connect"):
            addresses = await self._look_up(origin)
        for place, address in enumerate(addresses):
            channel = _Channel(address, self._context(origin))
            try:
                return await self._ask(channel, key, origin, request, clock)
            except ConnectFailed:
                if place + 1 == len(addresses):
                    raise
        raise ConnectFailed("no address")

    async def _look_up(self, origin: Origin) -> list[str]:
        allowed = self._allowed if origin.link.guarded else None
        try:
            found = await look_up(origin.host, origin.port, allowed)
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(str(error)) from error
        return [str(address[0]) for _, address in found]

    async def _ask(
        self,
        channel: _Channel,
        key: OriginKey,
        origin: Origin,
        request: UpstreamRequest,
        clock: Clock,
    ) -> HttpxAnswer:
        try:
            asked = request_of(channel.address, origin, request, clock)
            async with clock.head():
                with translated():
                    response = await channel.transport.handle_async_request(asked)
            channel.stream = response.extensions["network_stream"]
            return HttpxAnswer(self, key, channel, response, request.method, clock.timeouts.read)
        except BaseException:
            self._discard(channel)
            raise

    def _take(self, key: OriginKey) -> _Channel | None:
        idle = self._idle.get(key)
        now = asyncio.get_running_loop().time()
        while idle:
            channel = idle.pop()
            if channel.usable(now):
                return channel
            self._discard(channel)
        return None

    def _context(self, origin: Origin) -> ssl.SSLContext:
        if origin.link.tls is not None:
            return origin.link.tls
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def give_back(self, key: OriginKey, channel: _Channel, *, whole: bool) -> None:
        """An exchange is over; its connection is kept if it is *whole*."""
        self._turns[key].release()
        if not whole or self._closed or not channel.spotless():
            self._discard(channel)
            return
        idle = self._idle.setdefault(key, deque())
        channel.idle_since = asyncio.get_running_loop().time()
        idle.append(channel)
        while idle and channel.idle_since - idle[0].idle_since >= _IDLE_SECONDS:
            self._discard(idle.popleft())

    def _discard(self, channel: _Channel) -> None:
        task = asyncio.get_running_loop().create_task(_close(channel))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every idle connection; those of running exchanges close after them."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                self._discard(idle.pop())
        while self._closing:
            await asyncio.wait(self._closing)


class HttpxAnswer:
    """An ``UpstreamAnswer``. Raises ``ProtocolViolation`` when its head is not acceptable."""

    def __init__(
        self,
        owner: HttpxTransport,
        key: OriginKey,
        channel: _Channel,
        response: httpx.Response,
        method: str,
        read_seconds: float,
    ) -> None:
        self.status = response.status_code
        self.headers: Headers = [(name.lower(), value) for name, value in response.headers.raw]
        self.size = _size(response, method)
        self.trailers: Headers = []
        self._owner: HttpxTransport | None = owner
        self._key = key
        self._channel = channel
        self._response = response
        stream = response.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise ProtocolViolation("no stream")
        self._pieces = aiter(stream)
        self._seconds = read_seconds
        self._error: UpstreamError | None = None

    async def read(self) -> bytes:
        """The next piece, ``b""`` at the end."""
        if self._error is not None:
            raise self._error
        try:
            while self._owner is not None:
                async with within(self._seconds, "read"):
                    with translated():
                        piece = await anext(self._pieces, b"")
                        if not piece:
                            await self._response.aclose()
                if piece:
                    return piece
                self._end(whole=True)
        except UpstreamError as error:
            self._error = error
            self._end(whole=False)
            raise
        except BaseException:
            self.close()
            raise
        return b""

    def close(self) -> None:
        """Let go; an answer that was not read whole takes its connection with it."""
        if self._owner is not None:
            self._error = ConnectionReset("the answer was closed before its end")
            self._end(whole=False)

    def _end(self, *, whole: bool) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.give_back(self._key, self._channel, whole=whole)


async def _close(channel: _Channel) -> None:
    """Close, whatever state httpx is in: nobody is left who could be told."""
    try:
        await channel.transport.aclose()
    except (httpx.HTTPError, OSError, RuntimeError):
        if channel.stream is not None:
            await channel.stream.aclose()


def _size(response: httpx.Response, method: str) -> int | None:
    if response.status_code < 200:
        raise ProtocolViolation("an upgrade nobody asked for")
    of = response.headers.get_list
    try:
        return answer_size(
            [value.encode("latin-1") for value in of("content-length")],
            [value.encode("latin-1") for value in of("transfer-encoding")],
            status=response.status_code,
            to_head=method == "HEAD",
            http11=True,
        )
    except FramingError as error:
        raise ProtocolViolation(str(error)) from error
