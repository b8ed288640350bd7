"""Handshakes on their way up: what fails, and that nothing of it is left open."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxying.exchange import Headers
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    Origin,
    ProtocolViolation,
    Timeouts,
    UpstreamError,
    UpstreamTimeout,
)
from proxying.upstream.upgrade import Switched, UpgradeTransport
from proxying.wire.answer import Answer
from tests.servers import find_free_port
from tests.upstream.certificates import Authority
from tests.wire.scripted import HASTY, PATIENT, Peer, ScriptedUpstream, read_all, request

HANDSHAKE: Headers = [(b"host", b"a"), (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ==")]
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)


async def upstream_saying(said: bytes, *, then_close: bool = False) -> ScriptedUpstream:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(said)
        if not then_close:
            await peer.gone()

    upstream = ScriptedUpstream(script)
    await upstream.start()
    return upstream


async def send(origin: Origin, timeouts: Timeouts = PATIENT) -> Answer | Switched:
    transport = UpgradeTransport(idle_seconds=60, max_header_bytes=1000)
    return await transport.send(origin, request(headers=HANDSHAKE), timeouts)


@pytest.mark.parametrize(
    ("said", "closes", "error"),
    [
        (b"", False, UpstreamTimeout),
        (b"HTTP/1.1 101 Swi", False, UpstreamTimeout),
        (b"", True, ConnectionReset),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: web", True, ConnectionReset),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000, False, ProtocolViolation),
        (SWITCHED.replace(b"HTTP/1.1", b"HTTP/1.0"), False, ProtocolViolation),
        (SWITCHED.replace(b"s3p", b"S3P"), False, ProtocolViolation),
    ],
    ids=["silence", "half a head", "a close", "a cut", "too much", "HTTP/1.0", "wrong accept"],
)
async def test_a_handshake_that_fails_leaves_nothing_open(
    said: bytes, closes: bool, error: type[UpstreamError]
) -> None:
    upstream = await upstream_saying(said, then_close=closes)
    with pytest.raises(error):
        await send(upstream.origin, HASTY if error is UpstreamTimeout else PATIENT)
    async with asyncio.timeout(5):
        await upstream.closed.wait()
    await upstream.stop()


async def test_nobody_listening_is_connect_failed() -> None:
    with pytest.raises(ConnectFailed):
        await send(Origin("http", "127.0.0.1", find_free_port(), b"a"))


async def test_a_caller_that_is_cancelled_takes_the_connection_along() -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    upstream = ScriptedUpstream(script)
    await upstream.start()
    task = asyncio.create_task(send(upstream.origin))
    async with asyncio.timeout(5):
        await asked.wait()
        task.cancel()
        await upstream.closed.wait()
    assert task.cancelled()
    await upstream.stop()


async def test_a_101_nobody_takes_up_is_closed() -> None:
    upstream = await upstream_saying(SWITCHED)
    answer = await send(upstream.origin)
    assert isinstance(answer, Switched)
    assert (await answer.read(), upstream.closed.is_set()) == (b"", False)
    answer.close()
    async with asyncio.timeout(5):
        await upstream.closed.wait()
    await upstream.stop()


@pytest.mark.parametrize("framing", [b"Content-Length: 5\r\n\r\nhello", b"\r\nhello"])
async def test_a_refusal_is_read_to_its_end_and_the_connection_closed(framing: bytes) -> None:
    said = b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 403 Forbidden\r\n" + framing
    upstream = await upstream_saying(said, then_close=framing.startswith(b"\r\n"))
    answer = await send(upstream.origin)
    assert isinstance(answer, Answer)
    assert (answer.status, await read_all(answer)) == (403, b"hello")
    async with asyncio.timeout(5):
        await upstream.closed.wait()
    await upstream.stop()


async def test_a_refusal_that_stalls_is_a_read_timeout() -> None:
    upstream = await upstream_saying(b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhe")
    answer = await send(upstream.origin, Timeouts(20, 20, 0.05, 20))
    assert isinstance(answer, Answer)
    with pytest.raises(UpstreamTimeout) as caught:
        await read_all(answer)
    assert caught.value.stage == "read"
    await upstream.stop()


async def test_an_upstreams_certificate_is_verified(tmp_path: Path) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(SWITCHED)
        await peer.gone()

    authority = Authority(tmp_path)
    upstream = ScriptedUpstream(script, authority.context(authority.issue("127.0.0.1")))
    await upstream.start()
    with pytest.raises(ConnectFailed):
        await send(upstream.origin)
    await upstream.stop()


async def test_addresses_that_are_not_allowed_are_not_connected_to() -> None:
    upstream = await upstream_saying(SWITCHED)
    transport = UpgradeTransport(idle_seconds=60, allowed=lambda _: False)
    with pytest.raises(ConnectFailed):
        await transport.send(upstream.origin, request(headers=HANDSHAKE), PATIENT)
    assert upstream.connections == 0
    await upstream.stop()
