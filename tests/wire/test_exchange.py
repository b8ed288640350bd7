"""One exchange over the native transport: what is written, and how an answer is read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from proxying.upstream.base import ConnectionReset, ProtocolViolation, UpstreamTimeout
from proxying.upstream.native import NativeTransport
from tests.wire.scripted import (
    HASTY,
    OK,
    PATIENT,
    Peer,
    Script,
    ScriptedUpstream,
    ask,
    read_all,
    request,
)

Serve = Callable[[Script | bytes], Awaitable[ScriptedUpstream]]
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_request_is_written_as_it_was_given(
    serve: Serve, transport: NativeTransport
) -> None:
    heads: list[bytes] = []

    async def script(peer: Peer) -> None:
        heads.append(await peer.request())
        peer.send(OK)

    headers = [(b"Host", b"a"), (b"x-A", b" \xe9"), (b"x-A", b""), (b"cookie", b"b")]
    await ask(transport, await serve(script), request("PROPFIND", b"//a%2F?x=%zz", headers))
    assert heads == [
        b"PROPFIND //a%2F?x=%zz HTTP/1.1\r\nHost: a\r\nx-A:  \xe9\r\nx-A: \r\ncookie: b\r\n\r\n"
    ]


async def test_headers_keep_order_duplicates_and_bytes(
    serve: Serve, transport: NativeTransport
) -> None:
    upstream = await serve(
        b"HTTP/1.1 299 Odd\r\nSet-Cookie: a\r\nX-N: \xe9\t\r\nset-cookie: b\r\n"
        b"Empty:\r\nContent-Length: 0\r\n\r\n"
    )
    answer = await transport.send(upstream.origin, request(), PATIENT)
    assert (answer.status, answer.size, await answer.read()) == (299, 0, b"")
    assert answer.headers == [
        (b"set-cookie", b"a"),
        (b"x-n", b"\xe9"),
        (b"set-cookie", b"b"),
        (b"empty", b""),
        (b"content-length", b"0"),
    ]


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", 4),
        (CHUNKED + b"2;x=y\r\nbo\r\n2\r\ndy\r\n0\r\nTrailer: dropped\r\n\r\n", None),
    ],
)
async def test_a_whole_body_frees_the_connection(
    serve: Serve, transport: NativeTransport, answer: bytes, size: int | None
) -> None:
    upstream = await serve(answer)
    for _ in range(2):
        received = await transport.send(upstream.origin, request(), PATIENT)
        assert (received.size, await read_all(received)) == (size, b"body")
        assert b"trailer" not in dict(received.headers)
    assert upstream.connections == 1


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
async def test_a_body_may_end_with_the_connection(
    serve: Serve, transport: NativeTransport, version: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(version + b" 200 OK\r\n\r\nbody")

    upstream = await serve(script)
    answer = await transport.send(upstream.origin, request(), PATIENT)
    assert (answer.size, await read_all(answer)) == (None, b"body")
    assert transport.stats.popitem()[1].open == 0


async def test_a_reset_does_not_end_a_body_of_unknown_length(
    serve: Serve, transport: NativeTransport
) -> None:
    cut = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nbody")
        await cut.wait()
        peer.writer.get_extra_info("socket").setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0
        peer.reset()

    answer = await transport.send((await serve(script)).origin, request(), PATIENT)
    assert await answer.read() == b"body"
    cut.set()
    with pytest.raises(ConnectionReset):
        await answer.read()


@pytest.mark.parametrize("ending", [b"Connection: x, close\r\n", b""])
async def test_close_and_http10_are_not_reused(
    serve: Serve, transport: NativeTransport, ending: bytes
) -> None:
    version = b"HTTP/1.1" if ending else b"HTTP/1.0"
    upstream = await serve(version + b" 200 OK\r\n" + ending + b"Content-Length: 2\r\n\r\nok")
    assert [await ask(transport, upstream) for _ in range(2)] == [(200, b"ok")] * 2
    assert upstream.connections == 2


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"),
        ("HEAD", CHUNKED),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_keeps_the_connection(
    serve: Serve, transport: NativeTransport, method: str, answer: bytes
) -> None:
    upstream = await serve(answer)
    for _ in range(2):
        received = await transport.send(upstream.origin, request(method), PATIENT)
        assert (received.size, await received.read()) == (0, b"")
    assert upstream.connections == 1


_OK = b"HTTP/1.1 200 OK\r\n"
_LENGTH = b"Content-Length: 2\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        _OK + _LENGTH + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        _OK + b"Transfer-Encoding: chunked\r\n" + _LENGTH + b"\r\n2\r\nok\r\n0\r\n\r\n",
        _OK + _LENGTH + _LENGTH + b"\r\nok",
        _OK + b"Content-Length: 2, 2\r\n\r\nok",
        _OK + b"Content-Length: +2\r\n\r\nok",
        _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        _OK + b"X: a\0b\r\n" + _LENGTH + b"\r\nok",
        _OK + b"X: a\rb\r\n" + _LENGTH + b"\r\nok",
        _OK + b"X: a\r\n folded\r\n" + _LENGTH + b"\r\nok",
        _OK + b"X : a\r\n" + _LENGTH + b"\r\nok",
        _OK + b"no colon\r\n" + _LENGTH + b"\r\nok",
        _OK.replace(b"\r\n", b"\n") + b"Content-Length: 2\n\nok",
        _OK + b"X: " + b"a" * 65536 + b"\r\n" + _LENGTH + b"\r\nok",
        _OK + b"X: " + b"a" * 65536,
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 11 + OK,
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 099 Odd\r\n\r\n",
        b"<html>HTTP/0.9</html>",
        b"\r\n\r\n" + OK,
    ],
)
async def test_an_answer_that_breaks_a_rule_is_a_violation(
    serve: Serve, transport: NativeTransport, answer: bytes
) -> None:
    upstream = await serve(answer)
    with pytest.raises(ProtocolViolation):
        await transport.send(upstream.origin, request(), PATIENT)
    await upstream.closed.wait()


@pytest.mark.parametrize(
    "chunks",
    [
        b"2\r\nokk\r\n",
        b"0x2\r\nok\r\n",
        b"2\nok\r\n",
        b"-2\r\nok",
        b"f" * 17,
        b"0\r\n" + b"T: a" * 20000,
    ],
)
async def test_a_broken_chunk_ends_the_body_with_an_error(
    serve: Serve, transport: NativeTransport, chunks: bytes
) -> None:
    begun = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED)
        await begun.wait()
        peer.send(chunks)
        await peer.gone()

    upstream = await serve(script)
    answer = await transport.send(upstream.origin, request(), PATIENT)
    begun.set()
    with pytest.raises(ProtocolViolation):
        await read_all(answer)
    await upstream.closed.wait()


async def test_interim_answers_are_dropped(serve: Serve, transport: NativeTransport) -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    upstream = await serve(interim * 10 + OK)
    answer = await transport.send(upstream.origin, request(), PATIENT)
    assert (answer.status, answer.headers) == (200, [(b"content-length", b"2")])


@pytest.mark.parametrize("extra", [b"X", b"\r\n", OK])
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GET", OK),
        ("GET", CHUNKED + b"2\r\nok\r\n0\r\n\r\n"),
        ("HEAD", _OK + b"Content-Length: 2\r\n\r\n"),
    ],
)
async def test_bytes_beyond_the_end_never_reach_the_next_answer(
    serve: Serve, transport: NativeTransport, method: str, answer: bytes, extra: bytes
) -> None:
    upstream = await serve(answer + extra)
    expected = (200, b"" if method == "HEAD" else b"ok")
    for _ in range(2):
        assert await ask(transport, upstream, request(method)) == expected
    assert upstream.connections == 2


@pytest.mark.parametrize(
    "part", [_OK + b"Content-Length: 9\r\n\r\nbo", CHUNKED + b"2\r\nbo\r\n", CHUNKED + b"9\r\nbo"]
)
async def test_an_upstream_that_dies_in_a_body_is_never_a_clean_end(
    serve: Serve, transport: NativeTransport, part: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(part)

    answer = await transport.send((await serve(script)).origin, request(), PATIENT)
    assert await answer.read() == b"bo"
    for _ in range(2):
        with pytest.raises(ConnectionReset):
            await answer.read()


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nX: y"])
async def test_an_upstream_that_dies_before_the_headers_is_a_reset(
    serve: Serve, transport: NativeTransport, part: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(part)

    upstream = await serve(script)
    with pytest.raises(ConnectionReset):
        await transport.send(upstream.origin, request(), PATIENT)
    assert upstream.connections == 1


async def test_silence_before_the_headers_is_a_first_byte_timeout(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.gone()

    upstream = await serve(script)
    with pytest.raises(UpstreamTimeout) as raised:
        await transport.send(upstream.origin, request(), HASTY)
    assert raised.value.stage == "first_byte"
    await upstream.closed.wait()


async def test_silence_in_the_body_is_a_read_timeout(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(CHUNKED + b"2\r\nbo\r\n")
        await peer.gone()

    upstream = await serve(script)
    answer = await transport.send(upstream.origin, request(), HASTY)
    with pytest.raises(UpstreamTimeout) as raised:
        await read_all(answer)
    assert raised.value.stage == "read"
    await upstream.closed.wait()


async def test_the_total_is_what_ran_out_when_it_is_the_shortest(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    upstream = await serve(script)
    timeouts = type(PATIENT)(connect=20, first_byte=20, read=20, total=0.05)
    with pytest.raises(UpstreamTimeout) as raised:
        await transport.send(upstream.origin, request(), timeouts)
    assert raised.value.stage == "total"


async def test_a_slow_reader_stops_the_upstream(serve: Serve, transport: NativeTransport) -> None:
    size = 64 * 1024 * 1024
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        peer.send(_OK + b"Content-Length: %d\r\n\r\n" % size)
        while sent < size:
            peer.send(bytes(65536))
            sent += 65536
            await peer.writer.drain()

    answer = await transport.send((await serve(script)).origin, request(), PATIENT)
    last = -1
    while last != sent:  # until nothing moves while nobody reads
        last = sent
        await asyncio.sleep(0.05)
    assert sent < size // 2
    assert len(await read_all(answer)) == size


async def test_cancelling_send_discards_the_connection(
    serve: Serve, transport: NativeTransport
) -> None:
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    upstream = await serve(script)
    sending = asyncio.create_task(transport.send(upstream.origin, request(), PATIENT))
    await asked.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await upstream.closed.wait()
    assert transport.stats.popitem()[1].open == 0


@pytest.mark.parametrize("cancel", [True, False])
async def test_letting_go_before_the_end_discards_the_connection(
    serve: Serve, transport: NativeTransport, cancel: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(_OK + b"Content-Length: 9\r\n\r\n")
        await peer.gone()

    upstream = await serve(script)
    answer = await transport.send(upstream.origin, request(), PATIENT)
    if cancel:
        reading = asyncio.create_task(answer.read())
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
    else:
        answer.close()
    await upstream.closed.wait()
    with pytest.raises(ConnectionReset):
        await answer.read()


async def test_a_closed_answer_does_not_read_as_an_empty_body(
    serve: Serve, transport: NativeTransport
) -> None:
    answer = await transport.send((await serve(OK)).origin, request(), PATIENT)
    answer.close()
    with pytest.raises(ConnectionReset):
        await answer.read()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 404 Not Found\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 4\r\n\r\nnone",
        CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    ],
)
async def test_ordinary_answers_are_what_aiohttp_reads(
    serve: Serve, transport: NativeTransport, method: str, answer: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == "HEAD" else answer)

    upstream = await serve(script)
    url = f"http://127.0.0.1:{upstream.origin.port}/"
    async with aiohttp.ClientSession() as session, session.request(method, url) as theirs:
        expected = theirs.status, list(theirs.raw_headers), await theirs.read()
    ours = await transport.send(upstream.origin, request(method), PATIENT)
    lowered = [(name.lower(), value) for name, value in expected[1]]
    assert (ours.status, ours.headers, await read_all(ours)) == (expected[0], lowered, expected[2])
