"""HTTP/2 to upstreams over the httpx transport: one exchange at a time, nothing shared."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from proxying.errors import ClientGone
from proxying.exchange import Bytes
from proxying.upstream.base import (
    Timeouts,
    UpstreamTimeout,
)
from proxying.upstream.httpx import HttpxTransport
from proxying.wire.framing import FramingError
from tests.upstream.h2_server import Stream
from tests.upstream.scripts import Serve, body_of, hold, ok
from tests.wire.scripted import PATIENT, Pieces, request


async def test_a_request_is_sent_as_it_was_given(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    upstream = await serve_h2(ok)
    headers = [
        (b"host", b"api.test"), (b"x-a", b"\xe9"), (b"x-a", b"2"), (b"cookie", b"a=1; b=2"),
    ]  # fmt: skip
    asked = request("PROPFIND", b'//a%2F/../b?x=%zz&"<>', headers)
    answer = await transport.send(upstream.origin, asked, PATIENT)
    assert (answer.status, answer.size, await body_of(answer)) == (200, 2, b"ok")
    assert upstream.streams[0].headers == [
        (b":method", b"PROPFIND"),
        (b":authority", b"api.test"),
        (b":scheme", b"https"),
        (b":path", b'//a%2F/../b?x=%zz&"<>'),
        *headers[1:],
    ]


async def test_an_answer_keeps_order_duplicates_and_bytes(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    async def script(stream: Stream) -> None:
        stream.connection.h2.send_headers(
            stream.number,
            [(b":status", b"299"), (b"set-cookie", b"a"), (b"x", b"\xe9"), (b"set-cookie", b"b")],
            end_stream=True,
        )
        stream.connection.flush()

    answer = await transport.send((await serve_h2(script)).origin, request(), PATIENT)
    assert (answer.status, await answer.read()) == (299, b"")
    assert answer.headers == [(b"set-cookie", b"a"), (b"x", b"\xe9"), (b"set-cookie", b"b")]


async def test_no_cookie_of_one_answer_goes_into_the_next_request(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    async def script(stream: Stream) -> None:
        stream.respond(
            (":status", "302"), ("set-cookie", "a=1"), ("location", "/elsewhere"), end=True
        )

    upstream = await serve_h2(script)
    for _ in range(2):
        answer = await transport.send(upstream.origin, request(), PATIENT)
        assert (answer.status, await answer.read()) == (302, b"")
    assert len(upstream.streams) == 2
    assert all(name != b"cookie" for name, _ in upstream.streams[1].headers)
    assert len(upstream.connections) == 1


@pytest.mark.parametrize("size", [None, 6])
async def test_a_body_is_streamed(
    serve_h2: Serve, transport: HttpxTransport, size: int | None
) -> None:
    upstream = await serve_h2(ok)
    asked = request("POST", body=Pieces(b"abc", b"def", size=size))
    assert await body_of(await transport.send(upstream.origin, asked, PATIENT)) == b"ok"
    [stream] = upstream.streams
    assert stream.body == b"abcdef"
    assert dict(stream.headers).get(b"content-length") == (None if size is None else b"6")


async def test_the_upload_starts_before_the_body_is_complete(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    arrived = asyncio.Event()

    async def script(stream: Stream) -> None:
        await stream.begun.wait()
        arrived.set()

    body = Pieces(b"abc", size=9, wait=True)
    origin = (await serve_h2(script)).origin
    sending = asyncio.create_task(transport.send(origin, request("POST", body=body), PATIENT))
    await arrived.wait()
    sending.cancel()
    await asyncio.wait({sending})
    await body.stopped.wait()


async def test_an_answer_streams_piece_by_piece(serve_h2: Serve, transport: HttpxTransport) -> None:
    following = asyncio.Event()

    async def script(stream: Stream) -> None:
        stream.respond((":status", "200"))
        stream.send(b"one")
        await following.wait()
        stream.send(b"two", end=True)

    answer = await transport.send((await serve_h2(script)).origin, request(), PATIENT)
    assert await answer.read() == b"one"
    following.set()
    assert [await answer.read(), await answer.read()] == [b"two", b""]


async def test_an_answer_let_go_takes_its_connection_and_no_other(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    upstream = await serve_h2(hold)
    kept, dropped = [await transport.send(upstream.origin, request(), PATIENT) for _ in range(2)]
    dropped.close()
    await upstream.connections[1].gone.wait()
    assert not upstream.connections[0].gone.is_set()
    upstream.streams[0].send(b" ended", end=True)
    assert await body_of(kept) == b"begun ended"


async def test_many_cancelled_exchanges_leave_the_transport_usable(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    waiting = asyncio.Event()

    async def silent(stream: Stream) -> None:
        if dict(stream.headers)[b":path"] == b"/ok":
            await ok(stream)
        waiting.set()

    upstream = await serve_h2(silent)
    for _ in range(20):
        waiting.clear()
        asking = asyncio.create_task(transport.send(upstream.origin, request(), PATIENT))
        await waiting.wait()
        asking.cancel()
        await asyncio.wait({asking})
    answer = await transport.send(upstream.origin, request("GET", b"/ok"), PATIENT)
    assert await body_of(answer) == b"ok"
    for connection in upstream.connections[:-1]:
        await connection.gone.wait()


async def test_trailers_are_dropped_and_the_body_is_whole(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    async def script(stream: Stream) -> None:
        stream.respond((":status", "200"), ("content-type", "application/grpc"))
        stream.send(b"message")
        stream.respond(("grpc-status", "0"), end=True)

    answer = await transport.send((await serve_h2(script)).origin, request(), PATIENT)
    assert await body_of(answer) == b"message"
    assert b"grpc-status" not in dict(answer.headers)


async def test_a_connection_that_nobody_uses_is_closed(
    serve_h2: Serve, believing: ssl.SSLContext
) -> None:
    upstream = await serve_h2(ok)
    transport = HttpxTransport(idle_seconds=0.05, tls=believing)
    assert await body_of(await transport.send(upstream.origin, request(), PATIENT)) == b"ok"
    assert transport.idle == 1
    await asyncio.wait_for(upstream.connections[0].gone.wait(), 20)
    assert transport.idle == 0
    await transport.close()


async def test_time_runs_out_at_the_head_and_in_the_body(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    async def silent(stream: Stream) -> None:
        if dict(stream.headers)[b":path"] == b"/begin":
            await hold(stream)

    upstream = await serve_h2(silent)
    times = Timeouts(connect=0.2, first_byte=0.2, read=0.2, total=20)
    for asked, stage in ((request(), "first_byte"), (request("POST", body=Bytes(b"a")), None)):
        with pytest.raises(UpstreamTimeout) as raised:
            await transport.send(upstream.origin, asked, times)
        assert stage is None or raised.value.stage == stage
    answer = await transport.send(upstream.origin, request("GET", b"/begin"), PATIENT)
    answer._seconds = 0.05
    assert await answer.read() == b"begun"
    with pytest.raises(UpstreamTimeout):
        await answer.read()


async def test_more_exchanges_than_connections_wait_their_turn(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    upstream = await serve_h2(hold)
    held = [await transport.send(upstream.origin, request(), PATIENT) for _ in range(2)]
    with pytest.raises(UpstreamTimeout) as raised:
        await transport.send(upstream.origin, request(), Timeouts(0.05, 20, 20, 20))
    assert raised.value.stage == "connect"
    held[0].close()
    third = await transport.send(upstream.origin, request(), PATIENT)
    for answer in (held[1], third):
        answer.close()


async def test_an_error_of_the_body_reaches_the_caller(
    serve_h2: Serve, transport: HttpxTransport
) -> None:
    async def script(stream: Stream) -> None:
        await stream.ended.wait()

    origin = (await serve_h2(script)).origin
    gone = Pieces(b"abc", size=9, error=ClientGone())
    with pytest.raises(ClientGone):
        await transport.send(origin, request("POST", body=gone), PATIENT)
    with pytest.raises(FramingError):
        await transport.send(origin, request("POST", body=Pieces(b"abc", size=9)), PATIENT)
