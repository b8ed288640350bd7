"""One health check of one instance: a GET, or only a TCP connection, each on a new connection.

A transport of its own keeps checks apart from requests: a service whose connections all hang is
still asked. Leans on ``proxying.upstream`` and ``proxying.wire.resolve``.
"""

from __future__ import annotations

import asyncio
import os
from socket import gaierror
from ssl import SSLError

from proxying.exchange import EMPTY, Headers
from proxying.headers import GATEWAY_NAME
from proxying.health import as_expected
from proxying.upstream.base import Origin, Timeouts, Transport, UpstreamError, UpstreamRequest
from proxying.wire.resolve import AddressRule, connected_socket
from routing.document import HealthCheckSpec
from routing.plans import InstancePlan

_MOST_BODY = 65_536
"""Bytes of an answer that are read; one that says more is as well."""


class Prober:
    """Asks instances how they are. *allowed* is asked for every address that is connected to."""

    def __init__(self, transport: Transport, allowed: AddressRule | None = None) -> None:
        self._transport = transport
        self._allowed = allowed

    async def __call__(self, plan: InstancePlan, spec: HealthCheckSpec) -> str:
        """Why the instance is not well; empty when it is. Takes ``spec.timeout`` at most."""
        try:
            async with asyncio.timeout(spec.timeout):
                if spec.type == "tcp":
                    return await self._connect(plan)
                return await self._ask(plan, spec)
        except TimeoutError:
            return f"no answer within {spec.timeout:g} s"
        except (UpstreamError, OSError, UnicodeError, ValueError) as error:
            return _told(error)

    async def close(self) -> None:
        """Close every connection."""
        await self._transport.close()

    async def _connect(self, plan: InstancePlan) -> str:
        address = plan.address
        sock = await connected_socket(address.host, address.port, self._allowed)
        sock.close()
        return ""

    async def _ask(self, plan: InstancePlan, spec: HealthCheckSpec) -> str:
        address = plan.address
        origin = Origin.of(plan)
        headers: Headers = [
            (b"host", address.authority),
            (b"user-agent", GATEWAY_NAME + b"-health-check"),
            (b"connection", b"close"),
        ]
        request = UpstreamRequest("GET", spec.path.encode("ascii"), headers, EMPTY)
        times = Timeouts(spec.timeout, spec.timeout, spec.timeout, spec.timeout)
        answer = await self._transport.send(origin, request, times)
        try:
            read = 0
            while read < _MOST_BODY and (piece := await answer.read()):
                read += len(piece)
        finally:
            answer.close()
        return "" if as_expected(answer.status, spec.expect) else f"status {answer.status}"


def _told(error: Exception) -> str:
    """In words: of what the system refused, asyncio says how it called the system."""
    cause = error.__context__ or error
    if isinstance(cause, OSError) and not isinstance(cause, (SSLError, gaierror)) and cause.errno:
        return os.strerror(cause.errno)
    return str(error) or type(error).__name__
