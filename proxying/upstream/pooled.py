"""What the transports share that keep a pool of connections for each origin.

Which origins have one, which TLS context and address rule a new one gets, and when one that nobody
uses is forgotten. What a connection is, is the pools' own business.
"""

from __future__ import annotations

import asyncio
import ssl
from abc import abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from proxying.upstream.base import ConnectFailed, Origin, Stage, UpstreamRequest
from proxying.wire.resolve import AddressRule

OriginKey = tuple[str, str, int, str, ssl.SSLContext | None]
"""Scheme, host, port, service, TLS: services share no connections."""

_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))


class OriginPool(Protocol):
    """The connections to one origin."""

    @property
    def unused(self) -> bool:
        """Whether it has no connection and nobody asks for one."""
        ...

    def close(self) -> None:
        """End every connection that it holds, and hand out no more."""
        ...


PoolT = TypeVar("PoolT", bound=OriginPool)


class PooledTransport(Generic[PoolT]):
    """Belongs to the event loop it is first used on.

    *tls* is for origins whose link brings no context; by default it verifies certificates and host
    names against the system's authorities and offers *protocols* (none: the pool says which).
    *allowed* is asked for every address before it is connected to, unless the link says otherwise.
    """

    def __init__(
        self,
        protocols: Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        allowed: AddressRule | None = None,
    ) -> None:
        self._protocols = protocols
        self._tls = tls
        self._allowed = allowed
        self._pools: dict[OriginKey, PoolT] = {}
        self._closed = False

    @abstractmethod
    def _new_pool(
        self, origin: Origin, tls: ssl.SSLContext | None, allowed: AddressRule | None
    ) -> PoolT:
        """A pool for *origin*; *tls* is ``None`` where it is spoken to without."""

    def _pool(self, origin: Origin) -> PoolT:
        """The pool of *origin*. Raises ``ConnectFailed`` when there is none and none is made."""
        link = origin.link
        key = (origin.scheme, origin.host, origin.port, link.service, link.tls)
        pool = self._pools.get(key)
        if pool is None:
            if self._closed:
                raise ConnectFailed("the transport is closed")
            self._pools = {k: pool for k, pool in self._pools.items() if not pool.unused}
            pool = self._pools[key] = self._new_pool(
                origin,
                (link.tls or self._context()) if origin.scheme == "https" else None,
                self._allowed if link.guarded else None,
            )
        return pool

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            if self._protocols:
                self._tls.set_alpn_protocols(self._protocols)
        return self._tls

    async def close(self) -> None:
        """Close every pool."""
        self._closed = True
        for pool in list(self._pools.values()):
            pool.close()


def time_to_connect(connect: float, until: float) -> tuple[float, Stage]:
    """Seconds that are left to connect, *until* being the end of the whole by the loop's clock,
    and what has run out when they are over."""
    left = until - asyncio.get_running_loop().time()
    return (left, "total") if left < connect else (connect, "connect")


def is_repeatable(request: UpstreamRequest) -> bool:
    """Whether it may be sent again when nobody knows whether it was worked on."""
    return request.body.size == 0 and request.method in _IDEMPOTENT
