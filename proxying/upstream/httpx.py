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

import ssl

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
from proxying.upstream.httpx_pool import Channel, Pool
from proxying.upstream.httpx_request import Clock, request_of, within
from proxying.upstream.pooled import PooledTransport
from proxying.wire.framing import FramingError, answer_size
from proxying.wire.resolve import AddressRule, look_up


class HttpxTransport(PooledTransport[Pool]):
    """A ``Transport``."""

    def __init__(
        self,
        *,
        max_connections_per_origin: int = 256,
        idle_seconds: float = 60.0,
        tls: ssl.SSLContext | None = None,
        allowed: AddressRule | None = None,
    ) -> None:
        super().__init__((), tls=tls, allowed=allowed)
        self._most = max_connections_per_origin
        self._idle_seconds = idle_seconds

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return sum(pool.idle for pool in self._pools.values())

    async def send(
        self, origin: Origin, request: UpstreamRequest, timeouts: Timeouts
    ) -> HttpxAnswer:
        """As ``Transport.send``, but for an answer that comes early: it is read when the whole
        body is sent. Raises ``ValueError`` too: a head that must not be written.
        """
        pool = self._pool(origin)
        clock = Clock(timeouts, request.body.size == 0)
        await pool.enter(min(timeouts.connect, timeouts.total))
        try:
            return await self._exchange(pool, origin, request, clock)
        except BaseException:
            pool.leave()
            raise

    async def _exchange(
        self, pool: Pool, origin: Origin, request: UpstreamRequest, clock: Clock
    ) -> HttpxAnswer:
        channel = pool.take()
        if channel is not None:
            return await self._ask(pool, channel, origin, request, clock)
        async with within(clock.timeouts.connect, "connect"):
            addresses = await self._look_up(origin)
        for place, address in enumerate(addresses):
            # httpx wants a context for plain HTTP too.
            channel = Channel(address, origin.link.tls or self._context())
            try:
                return await self._ask(pool, channel, origin, request, clock)
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
        self, pool: Pool, channel: Channel, origin: Origin, request: UpstreamRequest, clock: Clock
    ) -> HttpxAnswer:
        try:
            asked = request_of(channel.address, origin, request, clock)
            async with clock.head():
                with translated():
                    response = await channel.transport.handle_async_request(asked)
            channel.stream = response.extensions["network_stream"]
            return HttpxAnswer(pool, channel, response, request.method, clock.timeouts.read)
        except BaseException:
            pool.discard(channel)
            raise

    def _new_pool(
        self, origin: Origin, tls: ssl.SSLContext | None, allowed: AddressRule | None
    ) -> Pool:
        return Pool(self._most, self._idle_seconds)

    async def close(self) -> None:
        """Close every idle connection; those of running exchanges close after them."""
        await super().close()
        for pool in list(self._pools.values()):
            await pool.closed()


class HttpxAnswer:
    """An ``UpstreamAnswer``. Raises ``ProtocolViolation`` when its head is not acceptable."""

    def __init__(
        self,
        pool: Pool,
        channel: Channel,
        response: httpx.Response,
        method: str,
        read_seconds: float,
    ) -> None:
        self.status = response.status_code
        self.headers: Headers = [(name.lower(), value) for name, value in response.headers.raw]
        self.size = _size(response, method)
        self.trailers: Headers = []
        self._pool: Pool | None = pool
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
            while self._pool is not None:
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
        if self._pool is not None:
            self._error = ConnectionReset("the answer was closed before its end")
            self._end(whole=False)

    def _end(self, *, whole: bool) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.leave()
        if whole:
            pool.keep(self._channel)
        else:
            pool.discard(self._channel)


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
