"""The transports of a worker: each origin is asked by the one its service names."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from proxying.exchange import Begun
from proxying.upstream.base import Origin, Timeouts, Transport, UpstreamAnswer, UpstreamRequest
from proxying.upstream.h2 import H2Transport
from proxying.upstream.httpx import HttpxTransport
from proxying.upstream.native import NativeTransport
from proxying.wire.resolve import AddressRule


class Transports:
    """A ``Transport`` over all of them."""

    def __init__(self, *, allowed: AddressRule | None = None) -> None:
        self._native = NativeTransport(allowed=allowed)
        self._others: dict[str, Transport] = {
            "h2": H2Transport(allowed=allowed),
            "httpx": HttpxTransport(allowed=allowed),
        }

    def send(
        self, origin: Origin, request: UpstreamRequest, timeouts: Timeouts
    ) -> Coroutine[Any, Any, UpstreamAnswer]:
        """As ``Transport.send``; what it returns is awaited."""
        name = origin.link.transport
        transport = self._native if name == "native" else self._others[name]
        return transport.send(origin, request, timeouts)

    def resume(
        self, origin: Origin, begun: Begun, timeouts: Timeouts
    ) -> Coroutine[Any, Any, UpstreamAnswer]:
        """As :meth:`send`, of a request that the fast path has sent: it speaks to what the native
        transport speaks to.
        """
        return self._native.resume(origin, begun, timeouts)

    async def close(self) -> None:
        """Close every idle connection."""
        await self._native.close()
        for transport in self._others.values():
            await transport.close()
