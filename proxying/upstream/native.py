"""The native transport: HTTP/1.1 to upstreams over connections of our own.

The upper end of ``proxying.wire``: finds the origin's pool, sends on a connection, and tries once
more on a new one where a reused connection proves to have been closed while it was idle.
Proxies the bytes it is given: no header is added but the framing, none is changed.
"""

from __future__ import annotations

import asyncio
import ssl

from proxying.exchange import Begun
from proxying.upstream.base import ConnectionReset, Origin, Timeouts, UpstreamRequest
from proxying.upstream.pooled import OriginKey, PooledTransport, is_repeatable, time_to_connect
from proxying.wire.answer import Answer
from proxying.wire.framing import request_head
from proxying.wire.pool import Pool, PoolLimits, PoolStats
from proxying.wire.resolve import AddressRule


class NativeTransport(PooledTransport[Pool]):
    """A ``Transport``. When *max_waiting_per_origin* requests wait for a connection the next one
    fails at once.
    """

    def __init__(
        self,
        *,
        max_connections_per_origin: int = 256,
        max_waiting_per_origin: int = 1024,
        idle_seconds: float = 60.0,
        max_header_bytes: int = 65536,
        tls: ssl.SSLContext | None = None,
        allowed: AddressRule | None = None,
    ) -> None:
        super().__init__(["http/1.1"], tls=tls, allowed=allowed)
        self._limits = PoolLimits(
            max_connections_per_origin, max_waiting_per_origin, idle_seconds, max_header_bytes
        )

    @property
    def stats(self) -> dict[OriginKey, PoolStats]:
        """Connections and waiting requests of every origin that has any."""
        return {key: pool.stats for key, pool in self._pools.items()}

    async def send(self, origin: Origin, request: UpstreamRequest, timeouts: Timeouts) -> Answer:
        """As ``Transport.send``. Raises ``ValueError`` too: a head that must not be written.

        A request is sent twice only if it is idempotent and has no body (RFC 9112 9.3.1), and
        the first connection was a reused one that ended before any byte of an answer.
        """
        head = request_head(
            request.method,
            request.target,
            request.headers,
            request.body.size,
            force_length=request.force_length,
        )
        method, body = request.method, request.body
        pool = self._pool(origin)
        now = asyncio.get_running_loop().time
        until = now() + timeouts.total
        idle = pool.take()
        if idle is not None:
            try:
                return await idle.send(method, head, body, timeouts, timeouts.total)
            except ConnectionReset:
                if not idle.stale or not is_repeatable(request):
                    raise
        seconds, stage = time_to_connect(timeouts.connect, until)
        made = await pool.acquire(seconds, stage, fresh=idle is not None)
        return await made.send(method, head, body, timeouts, until - now())

    async def resume(self, origin: Origin, begun: Begun, timeouts: Timeouts) -> Answer:
        """As :meth:`send`, of a request that the fast path has sent; *timeouts* count from then."""
        sock = begun.take_upstream()
        if sock is None:
            raise ValueError("nothing was sent")
        connection = await self._pool(origin).adopt(sock, begun, timeouts)
        return await connection.resumed()

    def _new_pool(
        self, origin: Origin, tls: ssl.SSLContext | None, allowed: AddressRule | None
    ) -> Pool:
        return Pool(
            origin.host,
            origin.port,
            tls=tls,
            server_name=origin.server_name,
            limits=self._limits,
            allowed=allowed,
        )
