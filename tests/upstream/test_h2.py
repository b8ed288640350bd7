"""HTTP/2 to upstreams over our own transport: shared connections, both ways at once, trailers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from proxying.errors import ClientGone
from proxying.exchange import Bytes
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    ProtocolViolation,
    Timeouts,
    UpstreamTimeout,
)
from proxying.upstream.h2 import H2Transport
from proxying.wire.framing import FramingError
from tests.upstream.certificates import Authority, Pair
from tests.upstream.h2_server import Stream
from tests.upstream.scripts import Serve, body_of, h2_servers, hold, ok
from tests.wire.scripted import HASTY, PATIENT, Peer, Pieces, ScriptedUpstream, request
from tests.wire.test_both_ways import Dialogue

REFUSED_STREAM = 7


@pytest.fixture
async def transport(believing: ssl.SSLContext) -> AsyncIterator[H2Transport]:
    """The HTTP/2 transport, with room for two connections an origin."""
    believing.set_alpn_protocols(["h2"])
    transport = H2Transport(max_connections_per_origin=2, tls=believing)
    yield transport
    await transport.close()


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start an HTTP/2 upstream without TLS that runs a script."""
    async with h2_servers(None) as start:
        yield start


async def silent(stream: Stream) -> None:
    """Say nothing, but to ``/ok``."""
    if dict(stream.headers)[b":path"] == b"/ok":
        await ok(stream)


async def test_a_request_is_sent_as_it_was_given(serve: Serve, transport: H2Transport) -> None:
    upstream = await serve(ok)
    headers = [(b"host", b"api.test"), (b"x-a", b"\xe9"), (b"x-a", b"2"), (b"cookie", b"a=1; b=2")]
    asked = request("PROPFIND", b'//a%2F/../b?x=%zz&"<>', [*headers, (b"connection", b"x")])
    answer = await transport.send(upstream.origin, asked, PATIENT)
    assert (answer.status, answer.size, await body_of(answer)) == (200, 2, b"ok")
    assert upstream.streams[0].headers == [
        (b":method", b"PROPFIND"),
        (b":scheme", b"http"),
        (b":authority", b"api.test"),
        (b":path", b'//a%2F/../b?x=%zz&"<>'),
        *headers[1:3],
        (b"te", b"trailers"),
        headers[3],  # the upstream's side of h2 joins cookies, and puts them last
    ]


@pytest.mark.parametrize("value", [b"a\r\nb", b"a\0b", b"a\nb"])
async def test_a_line_break_in_a_field_is_not_sent(
    serve: Serve, transport: H2Transport, value: bytes
) -> None:
    upstream = await serve(ok)
    asked = request(headers=[(b"host", b"a"), (b"x", value)])
    with pytest.raises(FramingError):
        await transport.send(upstream.origin, asked, PATIENT)


async def test_an_answer_keeps_order_duplicates_bytes_and_trailers(
    serve: Serve, transport: H2Transport
) -> None:
    async def script(stream: Stream) -> None:
        stream.respond((":status", "103"), ("link", "</a>"))
        stream.connection.h2.send_headers(
            stream.number,
            [(b":status", b"299"), (b"set-cookie", b"a"), (b"x", b"\xe9"), (b"set-cookie", b"b")],
        )
        stream.send(b"message")
        stream.respond(("grpc-status", "0"), ("x-sum", "1"), end=True)

    answer = await transport.send((await serve(script)).origin, request(), PATIENT)
    assert (answer.status, await body_of(answer)) == (299, b"message")
    assert answer.headers == [(b"set-cookie", b"a"), (b"x", b"\xe9"), (b"set-cookie", b"b")]
    assert answer.trailers == [(b"grpc-status", b"0"), (b"x-sum", b"1")]


async def test_tls_has_to_agree_on_http2(
    serve_h2: Serve, authority: Authority, local: Pair, transport: H2Transport
) -> None:
    upstream = await serve_h2(ok)
    answer = await transport.send(upstream.origin, request(), PATIENT)
    assert await body_of(answer) == b"ok"
    assert dict(upstream.streams[0].headers)[b":scheme"] == b"https"

    async def script(peer: Peer) -> None:
        await peer.gone()

    other = ScriptedUpstream(script, authority.context(local, alpn=["http/1.1"]))
    await other.start()
    with pytest.raises((ProtocolViolation, ConnectFailed)):
        await transport.send(other.origin, request(), PATIENT)
    await other.stop()


async def test_an_upstream_of_http_1_is_a_violation(transport: H2Transport) -> None:
    async def script(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await peer.gone()

    other = ScriptedUpstream(script)
    await other.start()
    with pytest.raises(ProtocolViolation):
        await transport.send(other.origin, request(), PATIENT)
    await other.stop()


async def test_each_piece_may_depend_on_the_answer_to_the_one_before(
    serve: Serve, transport: H2Transport
) -> None:
    async def echo(stream: Stream) -> None:
        stream.respond((":status", "200"))
        while not stream.ended.is_set():
            await asyncio.sleep(0)
            if stream.body:
                piece, stream.body = stream.body, b""
                stream.send(piece)
        stream.send(b"", end=True)

    body = Dialogue()
    upstream = await serve(echo)
    answer = await transport.send(upstream.origin, request("POST", body=body), PATIENT)
    for piece in (b"one", b"two", b"three"):
        body.pieces.put_nowait(piece)
        assert await answer.read() == piece
    body.pieces.put_nowait(b"")
    assert await answer.read() == b""


async def test_many_exchanges_share_a_connection(serve: Serve, transport: H2Transport) -> None:
    upstream = await serve(hold)
    sending = [transport.send(upstream.origin, request(), PATIENT) for _ in range(40)]
    answers = await asyncio.gather(*sending)
    assert len(upstream.connections) == 1
    for answer, stream in zip(answers, upstream.streams, strict=True):
        stream.send(b" ended", end=True)
        assert await body_of(answer) == b"begun ended"


async def test_full_connections_are_followed_by_another_and_then_by_a_queue(
    serve: Serve, transport: H2Transport
) -> None:
    upstream = await serve(hold)
    upstream.most_streams = 2
    held = [await transport.send(upstream.origin, request(), PATIENT) for _ in range(4)]
    assert len(upstream.connections) == 2
    with pytest.raises(UpstreamTimeout) as raised:
        await transport.send(upstream.origin, request(), Timeouts(0.05, 20, 20, 20))
    assert raised.value.stage == "connect"
    waiting = asyncio.create_task(transport.send(upstream.origin, request(), PATIENT))
    await asyncio.sleep(0)
    held[0].close()
    for answer in (*held[1:], await waiting):
        answer.close()
    assert len(upstream.connections) == 2


@pytest.mark.parametrize("size", [None, 600_000])
async def test_a_body_is_streamed_within_the_window(
    serve: Serve, transport: H2Transport, size: int | None
) -> None:
    upstream = await serve(ok)
    asked = request("POST", body=Pieces(bytes(300_000), bytes(300_000), size=size))
    assert await body_of(await transport.send(upstream.origin, asked, PATIENT)) == b"ok"
    [stream] = upstream.streams
    assert len(stream.body) == 600_000
    assert dict(stream.headers).get(b"content-length") == (size and b"%d" % size)


async def test_an_upstream_that_takes_nothing_stops_the_upload_and_times_out(
    serve: Serve, transport: H2Transport
) -> None:
    upstream = await serve(silent)
    upstream.reads = False
    asked = request("POST", body=Pieces(bytes(300_000)))
    with pytest.raises(UpstreamTimeout) as raised:
        await transport.send(upstream.origin, asked, HASTY)
    assert raised.value.stage == "read"
    assert len(upstream.streams[0].body) == 65_535


async def test_a_reader_that_takes_nothing_stops_its_upstream_and_no_other_stream(
    serve: Serve, transport: H2Transport
) -> None:
    async def flood(stream: Stream) -> None:
        if dict(stream.headers)[b":path"] == b"/ok":
            return await ok(stream)
        stream.respond((":status", "200"))
        sent = 0
        while sent < 3_000_000:
            room = min(stream.connection.h2.local_flow_control_window(stream.number), 16_384)
            if room:
                stream.send(bytes(room))
                sent += room
            await asyncio.sleep(0)
        stream.send(b"", end=True)
        return None

    upstream = await serve(flood)
    slow = await transport.send(upstream.origin, request(), PATIENT)
    for _ in range(3):
        answer = await transport.send(upstream.origin, request("GET", b"/ok"), PATIENT)
        assert await body_of(answer) == b"ok"
    assert sum(map(len, slow._pieces)) <= 256 * 1024
    assert len(await body_of(slow)) >= 3_000_000
    assert len(upstream.connections) == 1


@pytest.mark.parametrize("how", ["close", "cancel while it waits", "cancel while it reads"])
async def test_an_answer_let_go_resets_its_stream_alone(
    serve: Serve, transport: H2Transport, how: str
) -> None:
    upstream = await serve(silent if how == "cancel while it waits" else hold)
    asking = asyncio.create_task(transport.send(upstream.origin, request(), PATIENT))
    if how == "cancel while it waits":
        await upstream.asked.wait()
        asking.cancel()
    else:
        answer = await asking
        assert await answer.read() == b"begun"
        if how == "close":
            answer.close()
        else:
            reading = asyncio.create_task(answer.read())
            await asyncio.sleep(0)
            reading.cancel()
    await upstream.streams[0].was_reset.wait()
    assert transport.open == 1
    assert not upstream.connections[0].gone.is_set()


async def test_the_end_of_the_answer_ends_the_upload(serve: Serve, transport: H2Transport) -> None:
    async def script(stream: Stream) -> None:
        await stream.begun.wait()
        stream.respond((":status", "413"), end=True)

    upstream = await serve(script)
    body = Pieces(b"abc", size=9, wait=True)
    answer = await transport.send(upstream.origin, request("POST", body=body), PATIENT)
    assert (answer.status, await answer.read()) == (413, b"")
    await body.stopped.wait()
    await upstream.streams[0].was_reset.wait()


async def test_an_error_of_the_body_reaches_the_caller(
    serve: Serve, transport: H2Transport
) -> None:
    upstream = await serve(silent)
    for body, error in (
        (Pieces(b"abc", size=9, error=ClientGone()), ClientGone),
        (Pieces(b"abc", size=9), FramingError),
        (Pieces(b"abcdef", size=3), FramingError),
    ):
        with pytest.raises(error):
            await transport.send(upstream.origin, request("POST", body=body), PATIENT)
        await upstream.streams[-1].was_reset.wait()
    assert transport.open == 1


async def test_a_length_that_is_not_kept_breaks_the_answer_off(
    serve: Serve, transport: H2Transport
) -> None:
    async def script(stream: Stream) -> None:
        stream.respond((":status", "200"), ("content-length", "9"))
        stream.send(b"begun", end=True)

    origin = (await serve(script)).origin
    with pytest.raises(ProtocolViolation):
        await body_of(await transport.send(origin, request(), PATIENT))


@pytest.mark.parametrize(
    "head",
    [[(":status", "abc")], [(":status", "20")], [(":status", "099")],
     [(":status", "200"), ("x", "a\x01b")]],
)  # fmt: skip
@pytest.mark.parametrize("end", [True, False])
async def test_a_faulty_head_ends_its_stream_alone(
    serve: Serve, transport: H2Transport, head: list[tuple[str, str]], end: bool
) -> None:
    async def script(stream: Stream) -> None:
        if dict(stream.headers)[b":path"] == b"/good":
            await ok(stream)
        else:
            stream.respond(*head, end=end)

    upstream = await serve(script)
    with pytest.raises(ProtocolViolation):
        await transport.send(upstream.origin, request("GET", b"/"), PATIENT)
    answer = await transport.send(upstream.origin, request("GET", b"/good"), PATIENT)
    assert (await body_of(answer), len(upstream.connections)) == (b"ok", 1)


async def test_an_upstream_that_goes_away_ends_what_it_began(
    serve: Serve, transport: H2Transport
) -> None:
    upstream = await serve(hold)
    answer = await transport.send(upstream.origin, request(), PATIENT)
    upstream.connections[0].go_away(last=1)
    upstream.streams[0].send(b" ended", end=True)
    assert await body_of(answer) == b"begun ended"
    another = await transport.send(upstream.origin, request(), PATIENT)
    another.close()
    assert len(upstream.connections) == 2
    await upstream.connections[0].gone.wait()


@pytest.mark.parametrize("how", ["refused", "gone away"])
async def test_what_was_never_worked_on_is_sent_once_more(
    serve: Serve, transport: H2Transport, how: str
) -> None:
    async def script(stream: Stream) -> None:
        if len(upstream.streams) > 1:
            await ok(stream)
        elif how == "refused":
            stream.reset(REFUSED_STREAM)
        else:
            stream.connection.go_away(last=0)

    upstream = await serve(script)
    answer = await transport.send(upstream.origin, request("POST"), PATIENT)
    assert await body_of(answer) == b"ok"
    assert len(upstream.streams) == 2


async def test_a_refused_upload_is_a_failed_connection(
    serve: Serve, transport: H2Transport
) -> None:
    async def script(stream: Stream) -> None:
        stream.reset(REFUSED_STREAM)

    upstream = await serve(script)
    with pytest.raises(ConnectFailed):
        await transport.send(upstream.origin, request("POST", body=Bytes(b"a")), PATIENT)


async def test_time_runs_out_at_the_head_and_in_the_body(
    serve: Serve, transport: H2Transport
) -> None:
    async def script(stream: Stream) -> None:
        if dict(stream.headers)[b":path"] == b"/begin":
            await hold(stream)

    upstream = await serve(script)
    for asked in (request(), request("POST", body=Bytes(b"a"))):
        with pytest.raises(UpstreamTimeout) as raised:
            await transport.send(upstream.origin, asked, HASTY)
        assert raised.value.stage == "first_byte"
    with pytest.raises(UpstreamTimeout) as raised:
        await transport.send(upstream.origin, request(), Timeouts(20, 20, 20, 0.05))
    assert raised.value.stage == "total"
    asked = request("GET", b"/begin")
    answer = await transport.send(upstream.origin, asked, Timeouts(20, 20, 0.05, 20))
    assert await answer.read() == b"begun"
    with pytest.raises(UpstreamTimeout) as raised:
        await answer.read()
    assert raised.value.stage == "read"


async def test_a_connection_that_went_dumb_gets_no_more_streams(
    serve: Serve, transport: H2Transport
) -> None:
    upstream = await serve(silent)
    answer = await transport.send(upstream.origin, request("GET", b"/ok"), PATIENT)
    assert await body_of(answer) == b"ok"
    with pytest.raises(UpstreamTimeout):
        await transport.send(upstream.origin, request(), HASTY)
    answer = await transport.send(upstream.origin, request("GET", b"/ok"), PATIENT)
    assert await body_of(answer) == b"ok"
    assert len(upstream.connections) == 2


async def test_interim_answers_without_end_are_a_violation(
    serve: Serve, transport: H2Transport
) -> None:
    async def script(stream: Stream) -> None:
        for _ in range(20):
            stream.respond((":status", "103"))

    with pytest.raises(ProtocolViolation):
        await transport.send((await serve(script)).origin, request(), PATIENT)


async def test_closing_the_transport_breaks_what_runs_off(serve: Serve) -> None:
    upstream = await serve(hold)
    transport = H2Transport()
    answer = await transport.send(upstream.origin, request(), PATIENT)
    await transport.close()
    assert await answer.read() == b"begun"
    with pytest.raises(ConnectionReset):
        await answer.read()
    with pytest.raises(ConnectFailed):
        await transport.send(upstream.origin, request(), PATIENT)
