"""Both event loops for every test here, an authority, and both transports."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from proxying.upstream.httpx import HttpxTransport
from tests.upstream.certificates import Authority, Pair
from tests.upstream.scripts import Serve, h2_servers


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops these tests run on."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that upstreams' certificates are signed by."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def local(authority: Authority) -> Pair:
    """A certificate for 127.0.0.1."""
    return authority.issue("127.0.0.1")


@pytest.fixture
def believing(authority: Authority) -> ssl.SSLContext:
    """What believes the authority."""
    return ssl.create_default_context(cafile=authority.file)


@pytest.fixture
async def transport(believing: ssl.SSLContext) -> AsyncIterator[HttpxTransport]:
    """The httpx transport, with room for two connections an origin."""
    transport = HttpxTransport(max_connections_per_origin=2, tls=believing)
    yield transport
    await transport.close()


@pytest.fixture
async def serve_h2(authority: Authority, local: Pair) -> AsyncIterator[Serve]:
    """Start an HTTP/2 upstream that runs a script."""
    async with h2_servers(authority.context(local, alpn=["h2"])) as start:
        yield start


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A directory for a test's own certificates."""
    return tmp_path
