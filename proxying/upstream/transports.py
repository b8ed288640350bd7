"""The transports of a worker: each origin is asked by the one its service names.

All but the native one lean on libraries that most gateways have no use for: these are imported
when the first revision asks for them (:func:`load_transports`), before it is served.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from importlib import import_module
from typing import Any, Final

from proxying.exchange import Begun
from proxying.upstream.base import Origin, Timeouts, Transport, UpstreamAnswer, UpstreamRequest
from proxying.upstream.native import NativeTransport
from proxying.wire.resolve import AddressRule
from routing.plans import ServicePlan

_OTHERS: Final = {
    "h2": ("proxying.upstream.h2", "H2Transport"),
    "httpx": ("proxying.upstream.httpx", "HttpxTransport"),
}


def load_transports(services: Iterable[ServicePlan]) -> None:
    """Import what *services* are spoken to with. Takes a moment: not for the loop."""
    for name in {instance.link.transport for plan in services for instance in plan.instances}:
        if name in _OTHERS:
            import_module(_OTHERS[name][0])


class Transports:
    """A ``Transport`` over all of them."""

    def __init__(self, *, allowed: AddressRule | None = None) -> None:
        self._allowed = allowed
        self._native = NativeTransport(allowed=allowed)
        self._others: dict[str, Transport] = {}

    def send(
        self, origin: Origin, request: UpstreamRequest, timeouts: Timeouts
    ) -> Coroutine[Any, Any, UpstreamAnswer]:
        """As ``Transport.send``; what it returns is awaited."""
        name = origin.link.transport
        transport = self._native if name == "native" else self._other(name)
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

    def _other(self, name: str) -> Transport:
        transport = self._others.get(name)
        if transport is None:
            module, made = _OTHERS[name]
            transport = getattr(import_module(module), made)(allowed=self._allowed)
            self._others[name] = transport
        return transport
