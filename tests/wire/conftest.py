"""Both event loops for every test here, and an upstream that says what the test tells it to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import uvloop

from proxying.upstream.native import NativeTransport
from tests.wire.edges import Edge, running
from tests.wire.scripted import Peer, Script, ScriptedUpstream


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops these tests run on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module")
def server() -> Iterator[Edge]:
    """An edge for the tests of one file."""
    with running() as edge:
        yield edge


@pytest.fixture
def edge(server: Edge) -> Edge:
    """It, fresh for the test."""
    server.reset()
    return server


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Script | bytes], Awaitable[ScriptedUpstream]]]:
    """Start an upstream that runs a script, or gives the same bytes for every request."""
    started: list[ScriptedUpstream] = []

    async def start(script: Script | bytes) -> ScriptedUpstream:
        if isinstance(script, bytes):
            answer = script

            async def again_and_again(peer: Peer) -> None:
                while await peer.request():
                    peer.send(answer)

            script = again_and_again
        upstream = ScriptedUpstream(script)
        await upstream.start()
        started.append(upstream)
        return upstream

    yield start
    for upstream in started:
        await upstream.stop()


@pytest.fixture
async def transport() -> AsyncIterator[NativeTransport]:
    """A transport with room for two connections an origin; it trusts no authority at all."""
    trusting_nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default takes 25 ms to load
    transport = NativeTransport(max_connections_per_origin=2, tls=trusting_nobody)
    yield transport
    await transport.close()
    await asyncio.sleep(0)
