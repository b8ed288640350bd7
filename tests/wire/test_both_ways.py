"""Both bodies on their way at once: the answer begins before the request has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxying.errors import ClientGone
from proxying.upstream.base import Timeouts, UpstreamTimeout
from proxying.upstream.native import NativeTransport
from tests.wire.scripted import (
    HASTY,
    PATIENT,
    Peer,
    Pieces,
    Script,
    ScriptedUpstream,
    read_all,
    request,
)

Serve = Callable[[Script | bytes], Awaitable[ScriptedUpstream]]
BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


class Dialogue:
    """A body whose pieces the test hands over one by one; ``None`` ends it."""

    size: int | None = None

    def __init__(self) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self) -> bytes:
        return await self.pieces.get()


async def echo(peer: Peer) -> None:
    """Answer at once, then give every chunk back as it comes."""
    while await peer.request():
        peer.send(BEGUN)
        while (size := await peer.reader.readuntil(b"\r\n")) != b"0\r\n":
            peer.send(size + await peer.reader.readexactly(int(size, 16) + 2))
        await peer.reader.readexactly(2)
        peer.send(LAST)


async def begins(peer: Peer) -> None:
    """Begin an answer and never go on."""
    await peer.request()
    peer.send(BEGUN)
    await peer.gone()


async def test_each_piece_may_depend_on_the_answer_to_the_one_before(
    serve: Serve, transport: NativeTransport
) -> None:
    upstream = await serve(echo)
    for _ in range(2):
        body = Dialogue()
        answer = await transport.send(upstream.origin, request("POST", body=body), PATIENT)
        for piece in (b"one", b"two", b"three"):
            body.pieces.put_nowait(piece)
            assert await answer.read() == piece
        body.pieces.put_nowait(b"")
        assert await answer.read() == b""
    assert upstream.connections == 1


@pytest.mark.parametrize(("status", "goes_on"), [(200, True), (302, True), (400, False)])
async def test_only_a_refusal_stops_the_upload(
    serve: Serve, transport: NativeTransport, status: int, goes_on: bool
) -> None:
    received = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\no" % status)
        if await peer.reader.read(100):
            received.set()
        peer.send(b"k")
        await peer.gone()

    body = Dialogue()
    origin = (await serve(script)).origin
    answer = await transport.send(origin, request("POST", body=body), PATIENT)
    body.pieces.put_nowait(b"more")
    if goes_on:
        await received.wait()
        assert await read_all(answer) == b"ok"
    else:
        answer.close()
        await asyncio.sleep(0)
        assert body.pieces.qsize() == 1
    assert transport.stats.popitem()[1].open == 0


async def test_the_end_of_the_answer_ends_the_upload(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(BEGUN)
        await peer.reader.readexactly(3)
        peer.send(LAST)
        await peer.gone()

    upstream = await serve(script)
    body = Pieces(b"abc", size=9, wait=True)
    answer = await transport.send(upstream.origin, request("POST", body=body), PATIENT)
    assert await read_all(answer) == b""
    await body.stopped.wait()
    await upstream.closed.wait()
    assert transport.stats.popitem()[1].open == 0


async def test_a_client_that_leaves_its_upload_ends_the_answer(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(BEGUN + b"2\r\nok\r\n")
        await peer.gone()

    class Leaves(Dialogue):
        async def read(self) -> bytes:
            await super().read()
            raise ClientGone

    body = Leaves()
    upstream = await serve(script)
    answer = await transport.send(upstream.origin, request("POST", body=body), PATIENT)
    assert await answer.read() == b"ok"
    body.pieces.put_nowait(b"")
    with pytest.raises(ClientGone):
        await answer.read()
    await upstream.closed.wait()


async def test_silence_is_counted_from_the_last_piece_of_either_body(
    serve: Serve, transport: NativeTransport
) -> None:
    class Slow(Pieces):
        async def read(self) -> bytes:
            await asyncio.sleep(0.1)  # together longer than the read time-out, which is the subject
            return await super().read()

    body = Slow(*[b"."] * 12, error=ClientGone())
    timeouts = Timeouts(connect=20, first_byte=20, read=1.0, total=20)
    upstream = await serve(begins)
    answer = await transport.send(upstream.origin, request("POST", body=body), timeouts)
    with pytest.raises(ClientGone):
        await answer.read()


async def test_silence_of_both_sides_is_a_read_timeout(
    serve: Serve, transport: NativeTransport
) -> None:
    body = Pieces(b"abc", size=9, wait=True)
    origin = (await serve(begins)).origin
    answer = await transport.send(origin, request("POST", body=body), HASTY)
    with pytest.raises(UpstreamTimeout) as raised:
        await answer.read()
    assert raised.value.stage == "read"
    await body.stopped.wait()
