"""HTTP/2 to upstreams: what our own transport and httpx's have in common."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import pytest

from proxying.upstream.base import ConnectFailed, ConnectionReset, Origin
from proxying.upstream.h2 import H2Transport
from proxying.upstream.httpx import HttpxTransport
from tests.upstream.scripts import Serve, body_of, hold, ok
from tests.wire.scripted import PATIENT, request

Transport = H2Transport | HttpxTransport
BOTH = pytest.mark.parametrize("kind", [H2Transport, HttpxTransport])


@pytest.fixture
async def transport(kind: type[Transport], believing: ssl.SSLContext) -> AsyncIterator[Transport]:
    """With room for two connections an origin."""
    believing.set_alpn_protocols(["h2"])
    transport = kind(max_connections_per_origin=2, tls=believing)
    yield transport
    await transport.close()


@BOTH
@pytest.mark.parametrize("how", ["reset", "abort"])
async def test_what_breaks_off_upstream_breaks_the_answer_off(
    serve_h2: Serve, transport: Transport, how: str
) -> None:
    upstream = await serve_h2(hold)
    answer = await transport.send(upstream.origin, request(), PATIENT)
    assert await answer.read() == b"begun"
    if how == "reset":
        upstream.streams[0].reset(2)
    else:
        upstream.connections[0].transport.abort()
    for _ in range(2):
        with pytest.raises(ConnectionReset):
            await answer.read()


@BOTH
async def test_an_idle_connection_that_was_closed_is_not_used(
    serve_h2: Serve, transport: Transport
) -> None:
    upstream = await serve_h2(ok)
    for used in (1, 2):
        answer = await transport.send(upstream.origin, request("POST"), PATIENT)
        assert await body_of(answer) == b"ok"
        assert len(upstream.connections) == used
        upstream.connections[-1].transport.abort()
        await upstream.connections[-1].gone.wait()


@BOTH
async def test_a_refused_address_is_not_connected_to(
    serve_h2: Serve, kind: type[Transport]
) -> None:
    upstream = await serve_h2(ok)
    asked: list[str] = []

    def refuse(address: str) -> bool:
        asked.append(address)
        return False

    transport = kind(allowed=refuse)
    origin = Origin("https", "localhost", upstream.origin.port, b"localhost")
    with pytest.raises(ConnectFailed):
        await transport.send(origin, request(), PATIENT)
    assert "127.0.0.1" in asked
    assert not upstream.connections
    await transport.close()


@BOTH
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_nobody_listening_is_a_failed_connection(transport: Transport, scheme: str) -> None:
    with pytest.raises(ConnectFailed):
        await transport.send(Origin(scheme, "127.0.0.1", 1, b"a"), request(), PATIENT)
