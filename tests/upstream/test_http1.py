"""HTTP/1.1 to upstreams over the httpx transport."""

from __future__ import annotations

import pytest

from proxying.upstream.httpx import HttpxTransport
from tests.wire.scripted import OK, PATIENT, Peer, ScriptedUpstream, request

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("extra", "connections"),
    [(b"", 1), (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL", 2), (b"\r\n", 2)],
)
@pytest.mark.parametrize("answer", [OK, CHUNKED])
async def test_bytes_beyond_the_end_never_reach_the_next_answer(
    transport: HttpxTransport, answer: bytes, extra: bytes, connections: int
) -> None:
    async def script(peer: Peer) -> None:
        while await peer.request():
            peer.send(answer + extra)

    upstream = ScriptedUpstream(script)
    await upstream.start()
    try:
        for _ in range(2):
            found = await transport.send(upstream.origin, request(), PATIENT)
            assert (await found.read(), await found.read()) == (b"ok", b"")
        assert upstream.connections == connections
    finally:
        await upstream.stop()
