"""The HTTP/2 transport: for services that ask for it, gRPC above all.

Over ``https://`` TLS has to agree on HTTP/2, over ``http://`` it is spoken from the first byte
(prior knowledge, RFC 9113 3.3). Many exchanges share a connection; both bodies stream, trailers are
handed out, and an exchange that is broken off is reset alone. Leans on ``proxying.http2``.
"""

from __future__ import annotations

import asyncio
import ssl

from proxying.http2.connection import Connection
from proxying.http2.messages import request_fields
from proxying.http2.pool import Pool
from proxying.http2.stream import Stream
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    Origin,
    Timeouts,
    UpstreamRequest,
)
from proxying.upstream.native import OriginKey, is_repeatable
from proxying.wire.resolve import AddressRule

_TRIES = 2


class H2Transport:
    """A ``Transport``. Belongs to the event loop it is first used on.

    *tls* is for origins whose link brings no context. *allowed* is asked for every address before
    it is connected to, unless the link says otherwise.
    """

    def __init__(
        self,
        *,
        max_connections_per_origin: int = 64,
        tls: ssl.SSLContext | None = None,
        allowed: AddressRule | None = None,
    ) -> None:
        self._most = max_connections_per_origin
        self._tls = tls
        self._allowed = allowed
        self._pools: dict[OriginKey, Pool] = {}
        self._closed = False

    @property
    def open(self) -> int:
        """Connections there are."""
        return sum(pool.open for pool in self._pools.values())

    async def send(self, origin: Origin, request: UpstreamRequest, timeouts: Timeouts) -> Stream:
        """As ``Transport.send``. Raises ``ValueError`` too: a head that must not be written.

        What the upstream says it never worked on is sent once more if it has no body; what ended
        with its connection before a byte came, if it is idempotent too (RFC 9113 8.7).
        """
        fields = request_fields(origin.scheme, request)
        until = asyncio.get_running_loop().time() + timeouts.total
        pool = self._pool(origin)
        tries = _TRIES if request.body.size == 0 else 1
        while True:
            tries -= 1
            connection = await self._connection(pool, timeouts.connect, until)
            stream = connection.open(
                fields,
                request.body,
                timeouts,
                until - connection.loop.time(),
                to_head=request.method == "HEAD",
            )
            try:
                return await stream.begun()
            except ConnectFailed:
                if not tries:
                    raise
            except ConnectionReset:
                heard = connection.heard_since(stream.opened)
                if not tries or heard or not is_repeatable(request):
                    raise

    async def _connection(self, pool: Pool, seconds: float, until: float) -> Connection:
        left = until - asyncio.get_running_loop().time()
        if left < seconds:
            return await pool.acquire(left, "total")
        return await pool.acquire(seconds, "connect")

    def _pool(self, origin: Origin) -> Pool:
        link = origin.link
        key = (origin.scheme, origin.host, origin.port, link.service, link.tls)
        pool = self._pools.get(key)
        if pool is None:
            if self._closed:
                raise ConnectFailed("the transport is closed")
            self._pools = {k: pool for k, pool in self._pools.items() if not pool.unused}
            pool = self._pools[key] = Pool(
                origin,
                tls=(link.tls or self._context()) if origin.scheme == "https" else None,
                most=self._most,
                allowed=self._allowed if link.guarded else None,
            )
        return pool

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["h2"])
        return self._tls

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for pool in self._pools.values():
            pool.close()
