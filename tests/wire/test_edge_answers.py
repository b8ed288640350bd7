"""Answers through the edge: framing, order, endings."""

from __future__ import annotations

import asyncio
import logging
import queue
import socket
import threading

import pytest

from proxying.exchange import EMPTY, Answer, Body, Bytes, Exchange, Headers
from proxying.upstream.base import ConnectionReset
from tests.support.raw import RawClient
from tests.wire.edges import Edge, answer
from tests.wire.scripted import Pieces

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_GET_1_0 = b"GET / HTTP/1.0\r\n\r\n"
_LENGTH_6: Headers = [(b"content-length", b"6")]


def give(edge: Edge, body: bytes | Body, headers: Headers | None = None, status: int = 200) -> None:
    """Answer every request so."""

    async def script(exchange: Exchange) -> Answer:
        return answer(body, status, headers)

    edge.gateway.script = script


def to_the_end(client: socket.socket) -> bytes:
    """Everything until the close."""
    return b"".join(iter(lambda: client.recv(4096), b""))


def test_a_declared_length_is_passed_on(edge: Edge) -> None:
    give(edge, Pieces(b"abc", b"def"), _LENGTH_6)
    with RawClient(edge.port) as client:
        client.send(_GET)
        reply = client.read_reply()
    assert (reply.get("content-length"), reply.get("transfer-encoding")) == ("6", "")
    assert reply.body == b"abcdef"


def test_a_length_only_the_body_knows_is_declared(edge: Edge) -> None:
    give(edge, b"abcdef")
    with RawClient(edge.port) as client:
        client.send(_GET)
        reply = client.read_reply()
    assert (reply.headers, reply.body) == ([("content-length", "6")], b"abcdef")


def test_a_body_of_unknown_length_is_chunked(edge: Edge) -> None:
    give(edge, Pieces(b"abc", b"def"))
    with RawClient(edge.port) as client:
        client.send(_GET + _GET)
        reply = client.read_reply()
        assert (reply.get("transfer-encoding"), reply.body) == ("chunked", b"abcdef")
        assert client.read_reply().complete


def test_headers_leave_in_order_with_their_bytes(edge: Edge) -> None:
    give(edge, b"", [(b"set-cookie", b"a"), (b"x", b"\xff"), (b"set-cookie", b"b")])
    with RawClient(edge.port) as client:
        client.send(_GET)
        names = [name for name, _ in client.read_reply().headers]
    assert names == ["set-cookie", "x", "set-cookie", "content-length"]


def test_for_http_1_0_a_body_of_unknown_length_lasts_until_the_close(edge: Edge) -> None:
    give(edge, Pieces(b"abc", b"def"))
    with RawClient(edge.port) as client:
        client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        reply = client.read_reply()
    assert (reply.headers, reply.body) == ([("connection", "close")], b"abcdef")


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (_GET, 204),
        (_GET, 304),
    ],
)
@pytest.mark.parametrize("headers", [[], _LENGTH_6])
def test_a_bodiless_answer_keeps_the_connection(
    edge: Edge, request_head: bytes, status: int, headers: Headers
) -> None:
    give(edge, Bytes(b"") if status == 304 else EMPTY, headers, status)
    with RawClient(edge.port) as client:
        for _ in range(2):
            client.send(request_head)
            reply = client.read_reply(head=True)
            assert (reply.status, reply.get("transfer-encoding")) == (status, "")
            assert reply.get("content-length") == dict(headers).get(b"content-length", b"").decode()


@pytest.mark.parametrize("headers", [[], _LENGTH_6])
def test_an_answer_that_breaks_off_has_no_valid_end(edge: Edge, headers: Headers) -> None:
    error = ConnectionReset("it died")
    give(edge, Pieces(b"abc", error=error), headers)
    with RawClient(edge.port) as client:
        client.send(_GET + _GET)
        reply = client.read_reply()
        assert (reply.body[:3], reply.complete) == (b"abc", False)
        assert client.at_end()
    assert edge.gateway.ended.get(timeout=10) is error
    assert len(edge.gateway.exchanges) == 1


def test_for_http_1_0_an_answer_that_breaks_off_is_reset(edge: Edge) -> None:
    give(edge, Pieces(b"abc", error=ConnectionReset("it died")))
    with socket.create_connection(("127.0.0.1", edge.port), 10) as client:
        client.sendall(_GET_1_0)
        with pytest.raises(ConnectionResetError):
            to_the_end(client)


@pytest.mark.parametrize("body", [Pieces(b"abc"), Pieces(b"abc", b"defg"), b"abc", b"abcdefg"])
def test_a_body_that_is_not_as_long_as_declared_ends_the_connection(
    edge: Edge, body: bytes | Body
) -> None:
    give(edge, body, _LENGTH_6)
    with socket.create_connection(("127.0.0.1", edge.port), 10) as client:
        client.sendall(_GET)
        received = to_the_end(client)
    assert received.partition(b"\r\n\r\n")[2] in (b"abc", b"")


def test_the_head_does_not_wait_for_the_body(edge: Edge) -> None:
    give(edge, Pieces(b"abc", wait=True))
    with socket.create_connection(("127.0.0.1", edge.port), 10) as client:
        client.sendall(_GET)
        received = b""
        while not received.endswith(b"abc\r\n"):
            received += client.recv(4096)
    assert isinstance(edge.gateway.ended.get(timeout=10), Exception)


def test_a_header_that_would_make_two_lines_is_never_written(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    give(edge, b"", [(b"x", b"a\r\nset-cookie: b")])
    with RawClient(edge.port) as client, caplog.at_level(logging.ERROR):
        client.send(_GET)
        assert client.at_end()


def test_pipelined_requests_are_answered_in_order(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        await asyncio.sleep(0.01 if exchange.target == b"/0" else 0)
        return answer(exchange.target)

    edge.gateway.script = script
    requests = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)]
    with RawClient(edge.port) as client:
        client.send(b"".join(requests))
        assert [client.read_reply().body for _ in requests] == [b"/%d" % n for n in range(50)]


def test_nothing_after_connection_close_is_served(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n" + _GET)
        assert client.read_reply().get("connection") == "close"
        assert client.at_end()
    assert len(edge.gateway.exchanges) == 1


def test_http_1_0_is_kept_alive_where_it_asks_for_it(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        client.send(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n" + _GET_1_0)
        assert client.read_reply().get("connection") == "keep-alive"
        assert client.read_reply().get("connection") == "close"
        assert client.at_end()


def test_an_answer_is_closed_once_when_it_is_delivered(edge: Edge) -> None:
    give(edge, b"ok")
    with RawClient(edge.port) as client:
        client.send(_GET + _GET)
        client.read_reply()
        client.read_reply()
    assert [edge.gateway.ended.get(timeout=10) for _ in range(2)] == [None, None]
    with pytest.raises(queue.Empty):
        edge.gateway.ended.get_nowait()


def test_a_gateway_that_fails_closes_the_connection_and_is_logged(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(exchange: Exchange) -> Answer:
        raise LookupError("a bug")

    edge.gateway.script = script
    with RawClient(edge.port) as client, caplog.at_level(logging.ERROR):
        client.send(_GET)
        assert client.at_end()
    assert "a bug" in caplog.text


def test_what_the_gateway_does_not_admit_is_not_found(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge.gateway, "admit", lambda exchange: False)
    with RawClient(edge.port) as client:
        client.send(_GET)
        assert client.read_reply().get("x-gateway-error") == "route_not_found"


@pytest.mark.parametrize("streaming", [False, True])
def test_a_client_that_leaves_ends_its_exchange(edge: Edge, streaming: bool) -> None:
    begun = threading.Event()

    async def script(exchange: Exchange) -> Answer:
        begun.set()
        if streaming:
            return answer(Pieces(b"abc", wait=True))
        await asyncio.Event().wait()
        return answer()

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        client.send(_GET)
        assert begun.wait(10)
    ended = edge.gateway.ended.get(timeout=10)
    assert type(ended).__name__ == ("ClientGone" if streaming else "CancelledError")
