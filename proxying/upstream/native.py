"""The native transport: HTTP/1.1 to upstreams over connections of our own.

The upper end of ``proxying.wire``: finds the origin's pool, sends on a connection, and tries once
more on a new one where a reused connection proves to have been closed while it was idle.
Proxies the bytes it is given: no header is added but the framing, none is changed.
"""

from __future__ import annotations

import asyncio
import ssl

from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    Origin,
    Timeouts,
    UpstreamRequest,
)
from proxying.wire.answer import Answer
from proxying.wire.client import Connection
from proxying.wire.framing import request_head
from proxying.wire.pool import Pool, PoolLimits, PoolStats
from proxying.wire.resolve import AddressRule

OriginKey = tuple[str, str, int, str, ssl.SSLContext | None]
"""Scheme, host, port, service, TLS: services share no connections."""

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))


def _verified_tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def is_repeatable(request: UpstreamRequest) -> bool:
    """Whether it may be sent again when nobody knows whether it was worked on."""
    return request.body.size == 0 and request.method in _IDEMPOTENT


class NativeTransport:
    """A ``Transport``. Belongs to the event loop it is first used on.

    *tls* is for origins whose link brings no context; by default it verifies certificates and host
    names against the system's authorities. *allowed* is asked for every address before it is
    connected to, unless the link says otherwise. When *max_waiting_per_origin* requests wait for a
    connection the next one fails at once.
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
        self._limits = PoolLimits(
            max_connections_per_origin, max_waiting_per_origin, idle_seconds, max_header_bytes
        )
        self._tls = tls or _verified_tls()
        self._allowed = allowed
        self._pools: dict[OriginKey, Pool] = {}
        self._closed = False

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
                if not idle.stale or body.size != 0 or method not in _IDEMPOTENT:
                    raise
        made = await self._connection(pool, timeouts.connect, until, fresh=idle is not None)
        return await made.send(method, head, body, timeouts, until - now())

    async def _connection(
        self, pool: Pool, seconds: float, until: float, *, fresh: bool
    ) -> Connection:
        left = until - asyncio.get_running_loop().time()
        if left < seconds:
            return await pool.acquire(left, "total", fresh=fresh)
        return await pool.acquire(seconds, "connect", fresh=fresh)

    def _pool(self, origin: Origin) -> Pool:
        link = origin.link
        key = (origin.scheme, origin.host, origin.port, link.service, link.tls)
        pool = self._pools.get(key)
        if pool is None:
            if self._closed:
                raise ConnectFailed("the transport is closed")
            self._pools = {k: pool for k, pool in self._pools.items() if not pool.unused}
            pool = self._pools[key] = Pool(
                origin.host,
                origin.port,
                tls=(link.tls or self._tls) if origin.scheme == "https" else None,
                server_name=origin.server_name,
                limits=self._limits,
                allowed=self._allowed if link.guarded else None,
            )
        return pool

    async def close(self) -> None:
        """Close every idle connection and abort the exchanges under way."""
        self._closed = True
        for pool in list(self._pools.values()):
            pool.close()
