"""Request bodies through the edge: framing, early answers, expectations."""

from __future__ import annotations

import asyncio
import threading

import pytest

from proxying.errors import BodyTooLarge, ClientGone
from proxying.exchange import Answer, Exchange
from tests.support.raw import RawClient, Reply
from tests.wire.edges import Edge, answer, read_all

_CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
_NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(exchange: Exchange) -> Answer:
    return answer(await read_all(exchange.body))


async def turn_away(exchange: Exchange) -> Answer:
    raise BodyTooLarge(1)


def post(client: RawClient, size: int, *lines: str) -> None:
    head = ["POST / HTTP/1.1", "Host: a", f"Content-Length: {size}", *lines, "", ""]
    client.send("\r\n".join(head).encode())


def continued(client: RawClient) -> Reply:
    """What comes after the ``100 Continue``."""
    assert client.read_reply().status == 100
    client.send(b"body")
    return client.read_reply()


@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        (b"00005;name=value\r\nhello\r\n0;end\r\n\r\n", b"hello"),
        (b'a;x="y z"\r\n0123456789\r\n000\r\n\r\n', b"0123456789"),
        (b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n"),
        (b"2\r\nhi\r\n0\r\nX-Trailer: a\r\nHost: evil\r\n\r\n", b"hi"),
    ],
)
def test_chunks_are_taken_off_and_trailers_dropped(edge: Edge, chunks: bytes, body: bytes) -> None:
    edge.gateway.script = echo
    with RawClient(edge.port) as client:
        client.send(_CHUNKED + chunks + _NEXT)
        assert client.read_reply().body == body
        assert client.read_reply().status == 200
    assert [exchange.target for exchange in edge.gateway.exchanges] == [b"/", b"/next"]
    assert len(edge.gateway.exchanges[0].headers) == 2


@pytest.mark.parametrize(
    "chunks",
    [
        b"\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"1_0\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5 ;a\r\nhello\r\n0\r\n\r\n",
        b"\xd9\xa1\r\nhello\r\n0\r\n\r\n",
        b";a\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\r\n0\r\n\r\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5;a\x00\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"5;a\rb\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"5\r\nhello!\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"1000000000000000\r\nhello\r\n0\r\n\r\n",
        b"5;" + b"a" * 300,
        b"0\r\nno colon\r\n\r\n",
        b"0\r\nX: a\n\r\n\r\n",
        b"0\r\n X: a\r\n\r\n",
        b"0\r\n: a\r\n\r\n",
        b"0\r\nX: a\x00\r\n\r\n",
        b"0\r\nX: " + b"a" * 9000,
        b"0\r\n\n",
    ],
)
def test_a_malformed_chunk_is_a_bad_request(edge: Edge, chunks: bytes) -> None:
    with RawClient(edge.port) as client:
        client.send(_CHUNKED + b"2\r\nhi\r\n" + chunks + _NEXT)
        assert client.read_reply().status == 400
        assert client.at_end()
    assert len(edge.gateway.exchanges) == 1


@pytest.mark.parametrize("beginning", [b"5\n", b"5\r5", b"0\r\nX: a\n", b"5\r\nhello!"])
def test_a_malformed_chunk_is_refused_before_its_line_ends(edge: Edge, beginning: bytes) -> None:
    with RawClient(edge.port) as client:
        client.send(_CHUNKED + beginning)
        assert client.read_reply().status == 400


def test_chunks_may_come_byte_by_byte(edge: Edge) -> None:
    edge.gateway.script = echo
    with RawClient(edge.port) as client:
        for byte in _CHUNKED + b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n":
            client.send(bytes([byte]))
        assert client.read_reply().body == b"hello"


def test_the_gateway_runs_before_a_byte_of_the_body_came(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        return answer(b"%d" % (exchange.body.size or 0))

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        post(client, 10)
        assert client.read_reply().body == b"10"


def test_a_body_streams_to_its_reader(edge: Edge) -> None:
    seen = threading.Event()

    async def script(exchange: Exchange) -> Answer:
        first = await exchange.body.read()
        seen.set()
        return answer(first + b"|" + await read_all(exchange.body))

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        post(client, 6)
        client.send(b"abc")
        assert seen.wait(10)
        client.send(b"def")
        assert client.read_reply().body == b"abc|def"


def test_a_megabyte_arrives_whole(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        await asyncio.sleep(0.05)
        return answer(b"%d" % len(await read_all(exchange.body)))

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        post(client, 1 << 20)
        client.send(b"x" * (1 << 20) + _NEXT)
        assert client.read_reply().body == b"1048576"
        assert client.read_reply().status == 200


def test_a_client_that_expects_it_is_told_to_continue_when_its_body_is_read(edge: Edge) -> None:
    edge.gateway.script = echo
    with RawClient(edge.port) as client:
        post(client, 4, "Expect: 100-Continue")
        assert continued(client).body == b"body"
        client.send(_NEXT)
        assert client.read_reply().status == 200


def test_no_continue_before_an_answer_that_does_without_the_body(edge: Edge) -> None:
    edge.gateway.script = turn_away
    with RawClient(edge.port) as client:
        post(client, 4, "Expect: 100-continue")
        reply = client.read_reply()
        client.send(b"GET ")
        assert (reply.status, reply.get("connection")) == (413, "close")
        assert client.at_end()


def test_no_continue_where_the_body_came_unasked(edge: Edge) -> None:
    edge.gateway.script = echo
    with RawClient(edge.port) as client:
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody"
        )
        assert client.read_reply().status == 200


def test_an_unknown_expectation_is_refused(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        post(client, 4, "Expect: miracles")
        assert client.read_reply().status == 417


def test_the_rest_of_a_request_answered_early_never_becomes_a_request(edge: Edge) -> None:
    edge.gateway.script = turn_away
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    with RawClient(edge.port) as client:
        post(client, len(smuggled) + 3)
        assert client.read_reply().status == 413
        client.send(smuggled)
        client.send(b"end" + _NEXT)
        assert client.read_reply().status == 413
    assert [exchange.target for exchange in edge.gateway.exchanges] == [b"/", b"/next"]


def test_a_malformed_rest_ends_the_connection(edge: Edge) -> None:
    edge.gateway.script = turn_away
    with RawClient(edge.port) as client:
        client.send(_CHUNKED)
        assert client.read_reply().status == 413
        client.send(b"nonsense\r\n" + _NEXT)
        assert client.at_end()
    assert len(edge.gateway.exchanges) == 1


def test_a_chunked_rest_that_is_long_ends_the_connection(edge: Edge) -> None:
    edge.gateway.script = turn_away
    with RawClient(edge.port) as client:
        client.send(_CHUNKED)
        assert client.read_reply().status == 413
        client.send(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n0\r\n\r\n" + _NEXT)
        assert client.at_end()
    assert len(edge.gateway.exchanges) == 1


def test_an_early_answer_reaches_a_client_that_still_uploads(edge: Edge) -> None:
    edge.gateway.script = turn_away
    with RawClient(edge.port) as client:
        post(client, 1 << 30)
        sender = threading.Thread(target=client.send, args=(b"x" * (1 << 24),))
        sender.start()
        reply = client.read_reply()
        sender.join()
    assert (reply.status, reply.get("connection"), reply.complete) == (413, "close", True)


def test_a_reader_that_outlives_its_exchange_is_told(edge: Edge) -> None:
    told: asyncio.Queue[tuple[object]] = asyncio.Queue()
    readers: list[asyncio.Task[None]] = []

    async def late(exchange: Exchange) -> None:
        told.put_nowait(await asyncio.gather(exchange.body.read(), return_exceptions=True))

    async def script(exchange: Exchange) -> Answer:
        if exchange.target == b"/next":
            [error] = await told.get()
            return answer(type(error).__name__.encode())
        readers.append(asyncio.create_task(late(exchange)))
        await asyncio.sleep(0)
        return answer(b"early")

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        post(client, 4)
        assert client.read_reply().body == b"early"
        client.send(b"rest" + _NEXT)
        assert client.read_reply().body == b"BadRequest"


def test_a_client_that_leaves_in_its_upload_is_gone_for_the_reader(edge: Edge) -> None:
    reading = threading.Event()

    async def script(exchange: Exchange) -> Answer:
        async def upload() -> bytes:
            reading.set()
            return await read_all(exchange.body)

        [outcome] = await asyncio.shield(
            asyncio.gather(asyncio.create_task(upload()), return_exceptions=True)
        )
        assert isinstance(outcome, ClientGone)
        raise outcome

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        post(client, 10)
        client.send(b"half")
        assert reading.wait(10)
    ended = edge.gateway.ended.get(timeout=10)
    assert isinstance(ended, ClientGone | asyncio.CancelledError)
