"""The HTTP/2 transport: for services that ask for it, gRPC above all.

Over ``https://`` TLS has to agree on HTTP/2, over ``http://`` it is spoken from the first byte
(prior knowledge, RFC 9113 3.3). Many exchanges share a connection; both bodies stream, trailers are
handed out, and an exchange that is broken off is reset alone. Leans on ``proxying.http2``.
"""

from __future__ import annotations

import asyncio
import ssl

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
from proxying.upstream.pooled import PooledTransport, is_repeatable, time_to_connect
from proxying.wire.resolve import AddressRule

_TRIES = 2


class H2Transport(PooledTransport[Pool]):
    """A ``Transport``."""

    def __init__(
        self,
        *,
        max_connections_per_origin: int = 64,
        tls: ssl.SSLContext | None = None,
        allowed: AddressRule | None = None,
    ) -> None:
        super().__init__(["h2"], tls=tls, allowed=allowed)
        self._most = max_connections_per_origin

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
            connection = await pool.acquire(*time_to_connect(timeouts.connect, until))
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

    def _new_pool(
        self, origin: Origin, tls: ssl.SSLContext | None, allowed: AddressRule | None
    ) -> Pool:
        return Pool(origin, tls=tls, most=self._most, allowed=allowed)
