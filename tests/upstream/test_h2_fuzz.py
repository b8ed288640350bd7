"""Whatever an HTTP/2 upstream sends, an exchange ends: with an answer or with one of our errors."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from proxying.upstream.base import Timeouts, UpstreamError
from proxying.upstream.h2 import H2Transport
from tests.wire.scripted import Peer, ScriptedUpstream, request

_SETTINGS = b"\0\0\0\4\0\0\0\0\0"
_FRAMES = st.builds(
    lambda kind, flags, stream, payload: (
        len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload
    ),
    st.integers(0, 10),
    st.integers(0, 255),
    st.sampled_from([0, 1, 3, 2**31 - 1]),
    st.binary(max_size=30),
)
_TIMES = Timeouts(connect=0.3, first_byte=0.05, read=0.05, total=0.3)


async def _asked(sent: bytes) -> None:
    async def script(peer: Peer) -> None:
        peer.send(_SETTINGS + sent)
        await peer.gone()

    upstream, transport = ScriptedUpstream(script), H2Transport()
    await upstream.start()
    try:
        async with asyncio.timeout(10):
            answer = await transport.send(upstream.origin, request(), _TIMES)
            while await answer.read():
                pass
    except UpstreamError:
        pass
    finally:
        await transport.close()
        await upstream.stop()


@settings(max_examples=40, deadline=None)
@given(st.lists(_FRAMES | st.binary(max_size=12), max_size=8))
def test_an_exchange_ends_whatever_comes(pieces: list[bytes]) -> None:
    asyncio.run(_asked(b"".join(pieces)))
