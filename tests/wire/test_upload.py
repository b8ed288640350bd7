"""Request bodies on their way to the upstream."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from proxying.errors import ClientGone
from proxying.exchange import Body
from proxying.upstream.base import Origin, UpstreamTimeout
from proxying.upstream.native import NativeTransport
from proxying.wire.framing import FramingError
from tests.wire.scripted import (
    HASTY,
    OK,
    PATIENT,
    Peer,
    Pieces,
    Script,
    ScriptedUpstream,
    ask,
    read_all,
    request,
    whole,
)

Serve = Callable[[Script | bytes], Awaitable[ScriptedUpstream]]
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig"


def _collecting(received: list[bytes], length: int) -> Script:
    """A script that takes a head and *length* bytes, answers, and goes on."""

    async def script(peer: Peer) -> None:
        while head := await peer.request():
            received.append(head + await peer.reader.readexactly(length))
            peer.send(OK)

    return script


@pytest.mark.parametrize(
    "make",
    [
        lambda: whole(b"abcdef"),
        lambda: Pieces(b"abc", b"def", size=6),
        lambda: Pieces(b"abcdef", size=6, wait=True),
    ],
)
async def test_a_body_of_known_size_is_counted_and_frees_the_connection(
    serve: Serve, transport: NativeTransport, make: Callable[[], Body]
) -> None:
    received: list[bytes] = []
    upstream = await serve(_collecting(received, 6))
    for _ in range(2):
        assert await ask(transport, upstream, request("POST", body=make())) == (200, b"ok")
    assert upstream.connections == 1
    assert set(received) == {
        b"POST / HTTP/1.1\r\nhost: upstream\r\nContent-Length: 6\r\n\r\nabcdef"
    }


async def test_a_body_of_unknown_size_is_chunked(serve: Serve, transport: NativeTransport) -> None:
    received: list[bytes] = []
    coded = b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
    upstream = await serve(_collecting(received, len(coded)))
    for _ in range(2):
        assert await ask(transport, upstream, request("PUT", body=Pieces(b"abc", b"d"))) == (
            200,
            b"ok",
        )
    assert upstream.connections == 1
    assert received[0].partition(b"\r\n\r\n")[2] == coded
    assert b"\r\nTransfer-Encoding: chunked\r\n" in received[0]


async def test_an_empty_body_has_a_length_only_where_it_is_asked_for(
    serve: Serve, transport: NativeTransport
) -> None:
    received: list[bytes] = []
    upstream = await serve(_collecting(received, 0))
    for forced in (False, True):
        await ask(transport, upstream, request("POST", force_length=forced))
    assert [b"Content-Length: 0\r\n" in head for head in received] == [False, True]


async def test_a_large_body_arrives_whole(serve: Serve, transport: NativeTransport) -> None:
    received: list[bytes] = []
    content = bytes(range(256)) * 16384
    upstream = await serve(_collecting(received, len(content)))
    await ask(transport, upstream, request("PUT", body=whole(content)))
    assert received[0].endswith(b"\r\n\r\n" + content)


async def test_the_upload_starts_before_the_body_is_complete(
    serve: Serve, transport: NativeTransport
) -> None:
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set_result(await peer.reader.readexactly(3))
        await peer.gone()

    upstream = await serve(script)
    body = Pieces(b"abc", size=9, wait=True)
    sending = asyncio.create_task(ask(transport, upstream, request("POST", body=body)))
    assert await arrived == b"abc"
    sending.cancel()
    await asyncio.wait({sending})
    await body.stopped.wait()


async def test_an_early_answer_stops_the_upload(serve: Serve, transport: NativeTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(TOO_LARGE)
        await peer.gone()

    upstream = await serve(script)
    body = Pieces(b"abc", size=9, wait=True)
    assert await ask(transport, upstream, request("POST", body=body)) == (413, b"big")
    assert transport.stats.popitem()[1].open == 0
    await body.stopped.wait()


async def test_the_headers_of_an_early_answer_are_enough_to_stop(
    serve: Serve, transport: NativeTransport
) -> None:
    stopped = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(TOO_LARGE[:-3])
        await stopped.wait()
        peer.send(TOO_LARGE[-3:])
        await peer.gone()

    body = Pieces(b"abc", size=9, wait=True)
    answer = await transport.send((await serve(script)).origin, request("POST", body=body), PATIENT)
    await body.stopped.wait()
    stopped.set()
    assert (answer.status, await read_all(answer)) == (413, b"big")


class Endless:
    """A body that always has more."""

    size: int | None = None

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return bytes(65536)


async def test_an_early_answer_is_read_though_the_upstream_hung_up(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(TOO_LARGE)

    upstream = await serve(script)
    for _ in range(20):
        assert await ask(transport, upstream, request("POST", body=Endless())) == (413, b"big")


class HangsUp:
    """A body whose reading is the upstream's answer and end: the loop sees neither before."""

    size: int | None = None

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._begun = False

    async def read(self) -> bytes:
        if self._begun:
            await asyncio.Event().wait()
        self._begun = True
        connection, _ = self._listener.accept()
        connection.send(TOO_LARGE)
        connection.close()  # the request's head is unread, so this resets
        return b"more"


async def test_an_answer_is_rescued_from_a_connection_that_cannot_be_written(
    transport: NativeTransport,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        origin = Origin("http", "127.0.0.1", listener.getsockname()[1], b"a")
        answer = await transport.send(origin, request("POST", body=HangsUp(listener)), PATIENT)
        assert (answer.status, await read_all(answer)) == (413, b"big")


@pytest.mark.parametrize("size", [None, 9])
async def test_an_error_of_the_body_reaches_the_caller(
    serve: Serve, transport: NativeTransport, size: int | None
) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    upstream = await serve(script)
    body = Pieces(b"abc", size=size, error=ClientGone("gone"))
    with pytest.raises(ClientGone):
        await ask(transport, upstream, request("POST", body=body))
    await upstream.closed.wait()
    assert transport.stats.popitem()[1].open == 0


@pytest.mark.parametrize("pieces", [[b"ab"], [b"ab", b"cd"]])
async def test_a_body_of_another_size_than_declared_is_not_sent_as_whole(
    serve: Serve, transport: NativeTransport, pieces: list[bytes]
) -> None:
    received: list[bytes] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        received.append(await peer.reader.read())

    upstream = await serve(script)
    with pytest.raises(FramingError):
        await ask(transport, upstream, request("POST", body=Pieces(*pieces, size=3)))
    await upstream.closed.wait()
    assert received in ([], [b""], [b"ab"])


async def test_a_slow_client_is_not_an_upstream_timeout(
    serve: Serve, transport: NativeTransport
) -> None:
    class Slow(Pieces):
        async def read(self) -> bytes:
            await asyncio.sleep(0.1)  # twice the upstream's time-out: the subject of this test
            return await super().read()

    received: list[bytes] = []
    upstream = await serve(_collecting(received, 6))
    body = Slow(b"abc", b"def", size=6)
    assert await ask(transport, upstream, request("POST", body=body), HASTY) == (200, b"ok")


async def test_the_first_byte_is_awaited_from_the_end_of_the_upload(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    upstream = await serve(script)
    with pytest.raises(UpstreamTimeout) as raised:
        await ask(transport, upstream, request("POST", body=Pieces(b"a", size=1)), HASTY)
    assert raised.value.stage == "first_byte"


async def test_an_upstream_that_takes_nothing_is_a_read_timeout(
    serve: Serve, transport: NativeTransport
) -> None:
    stopped = asyncio.Event()

    async def script(peer: Peer) -> None:
        cast(asyncio.Transport, peer.writer.transport).pause_reading()
        await stopped.wait()

    upstream = await serve(script)
    with pytest.raises(UpstreamTimeout) as raised:
        await ask(transport, upstream, request("POST", body=Endless()), HASTY)
    stopped.set()
    assert raised.value.stage == "read"


async def test_an_answer_is_read_after_an_upload_that_was_slow_to_drain(
    serve: Serve, transport: NativeTransport
) -> None:
    received: list[bytes] = []
    content = bytes(8 * 1024 * 1024)
    upstream = await serve(_collecting(received, len(content)))
    answer = await transport.send(
        upstream.origin, request("PUT", body=Pieces(content, size=len(content))), PATIENT
    )
    assert await read_all(answer) == b"ok"
