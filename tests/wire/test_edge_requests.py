"""What the edge takes for a request, what it refuses, and with which status."""

from __future__ import annotations

import pytest

from proxying.exchange import Answer, Exchange
from tests.support.raw import RawClient, Reply
from tests.wire.edges import Edge, answer

_HOST = b"Host: gateway.test\r\n"


def say(edge: Edge, data: bytes) -> Reply:
    with RawClient(edge.port) as client:
        client.send(data)
        return client.read_reply()


def refused(edge: Edge, data: bytes) -> int:
    """The status; the connection is closed after it and the gateway has seen nothing."""
    with RawClient(edge.port) as client:
        client.send(data + b"GET /smuggled HTTP/1.1\r\n" + _HOST + b"\r\n")
        reply = client.read_reply()
        assert client.at_end()
    assert edge.gateway.exchanges == []
    assert reply.get("content-type") == "application/problem+json"
    assert reply.get("connection") == "close"
    assert len(reply.get("x-request-id")) == 32
    return reply.status


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length:",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 5_0",
        b"Content-Length: 0x5",
        b"Content-Length: 5, 5",
        b"Content-Length: 5 5",
        b"Content-Length: \xd9\xa1",
        b"Content-Length: 9999999999999999999",
        b"Transfer-Encoding:",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding : chunked",
        b"X : a",
        b"X\t: a",
        b"X: a\x01b",
        b"X: a\x7fb",
        b"X: a\x00b",
        b"X: a\rb",
        b"X: a\nY: b",
        b"X: a\r\n folded",
        b"X: a\r\n\tfolded",
        b" X: a",
        b"no colon",
        b": no name",
        b"X@: a",
        b"X(: a",
        b"\xc3\xa9: a",
    ],
)
def test_a_malformed_header_is_a_bad_request(edge: Edge, lines: bytes) -> None:
    head = b"POST / HTTP/1.1\r\n" + _HOST + lines + b"\r\n\r\n"
    assert refused(edge, head) == 400


@pytest.mark.parametrize(
    "lines",
    [
        b"Transfer-Encoding: gzip",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, gzip",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: identity",
        b'Transfer-Encoding: "chunked"',
    ],
)
def test_a_transfer_coding_but_one_chunked_is_not_implemented(edge: Edge, lines: bytes) -> None:
    head = b"POST / HTTP/1.1\r\n" + _HOST + lines + b"\r\n\r\n0\r\n\r\n"
    assert refused(edge, head) == 501


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET  / HTTP/1.1", 400),
        (b"GET /  HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1 ", 400),
        (b"GET\t/ HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET / http/1.1", 400),
        (b"GET / HTTP/1.2", 400),
        (b"GET / HTTP/1.10", 400),
        (b"GET / RTSP/1.0", 400),
        (b"SOURCE / ICE/1.0", 400),
        (b"GET foo HTTP/1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET /?a#b HTTP/1.1", 400),
        (b"GET /\x01 HTTP/1.1", 400),
        (b"GET /\x7f HTTP/1.1", 400),
        (b"GET /\x00 HTTP/1.1", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET /?\xc3\xa9 HTTP/1.1", 400),
        (b"G@T / HTTP/1.1", 400),
        (b"\r\n\r\nGET / HTTP/1.1", 400),
        (b"\nGET / HTTP/1.1", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 400),
        (b"GET /", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/2.0", 505),
        (b"FROB / HTTP/1.1", 501),
        (b"get / HTTP/1.1", 501),
        (b"CONNECT gateway.test:443 HTTP/1.1", 405),
        (b"CONNECT / HTTP/1.1", 405),
    ],
)
def test_a_request_line_the_gateway_cannot_serve_is_refused(
    edge: Edge, line: bytes, status: int
) -> None:
    assert refused(edge, line + b"\r\n" + _HOST + b"\r\n") == status


def test_bare_line_feeds_are_refused_before_the_head_ends(edge: Edge) -> None:
    assert say(edge, b"GET / HTTP/1.1\nHost: gateway.test\n\n").status == 400


def test_chunks_in_http_1_0_are_a_bad_request(edge: Edge) -> None:
    head = b"POST / HTTP/1.0\r\n" + _HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert refused(edge, head) == 400


def test_a_refused_connect_names_the_methods_that_would_do(edge: Edge) -> None:
    reply = say(edge, b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert "GET" in reply.get("allow")


@pytest.mark.parametrize("target", [b"*", b"ftp://gateway.test/", b"/%zz", b"/a\\b"])
def test_a_target_that_admission_refuses_is_a_bad_request(edge: Edge, target: bytes) -> None:
    reply = say(edge, b"GET " + target + b" HTTP/1.1\r\n" + _HOST + b"\r\n")
    assert reply.status == 400


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a", b"/a", None),
        (b"/a?", b"/a", b""),
        (b"/a?x=%2f&y=?&z", b"/a", b"x=%2f&y=?&z"),
        (b"//a/../%41", b"//a/../%41", None),
        (b"http://other.test", b"/", None),
        (b"http://other.test?q", b"/", b"q"),
        (b"HTTPS://other.test:8443/a?b://c", b"/a", b"b://c"),
        (b"http://other.test//a", b"//a", None),
    ],
)
def test_the_target_is_handed_on_as_it_came(
    edge: Edge, target: bytes, path: bytes, query: bytes | None
) -> None:
    say(edge, b"GET " + target + b" HTTP/1.1\r\n" + _HOST + b"\r\n")
    [exchange] = edge.gateway.exchanges
    assert (exchange.target, exchange.query) == (path, query)


@pytest.mark.parametrize(
    ("head", "status", "host"),
    [
        (b"GET http://other.test:80/ HTTP/1.1\r\nHost: gateway.test", 200, "other.test"),
        (b"GET http://other.test/ HTTP/1.0\r\nX: y", 200, "other.test"),
        (b"GET http://other.test/ HTTP/1.1\r\nX: y", 400, ""),
        (b"GET http://other.test/ HTTP/1.1\r\nHost: a\r\nHost: a", 400, ""),
        (b"GET http://me@other.test/ HTTP/1.1\r\nHost: a", 400, ""),
        (b"GET http:///a HTTP/1.1\r\nHost: a", 400, ""),
    ],
)
def test_an_absolute_target_decides_the_host(
    edge: Edge, head: bytes, status: int, host: str
) -> None:
    assert say(edge, head + b"\r\n\r\n").status == status
    assert [exchange.host for exchange in edge.gateway.exchanges] in ([host], [])


def test_headers_keep_order_duplicates_and_bytes(edge: Edge) -> None:
    say(
        edge,
        b"GET / HTTP/1.1\r\nHost: a\r\n"
        b"X-One: \t a  b \t\r\nx_two:\xff\xfe\r\nX-ONE: c\r\nEmpty:\r\n\r\n",
    )
    [exchange] = edge.gateway.exchanges
    assert exchange.headers == [
        (b"host", b"a"),
        (b"x-one", b"a  b"),
        (b"x_two", b"\xff\xfe"),
        (b"x-one", b"c"),
        (b"empty", b""),
    ]


def test_the_exchange_carries_the_facts_of_its_connection(edge: Edge) -> None:
    say(edge, b"PURGE / HTTP/1.0\r\n\r\n")
    [exchange] = edge.gateway.exchanges
    assert (exchange.method, exchange.peer, exchange.scheme) == ("PURGE", "127.0.0.1", "http")
    assert (exchange.port, exchange.version, exchange.body.size) == (edge.port, b"1.0", 0)


def test_a_target_of_the_longest_length_is_taken(edge: Edge) -> None:
    target = b"/" + b"a" * 150 + b"?" + b"b" * 49
    assert say(edge, b"GET " + target + b" HTTP/1.1\r\n" + _HOST + b"\r\n").status == 200
    edge.reset()
    assert say(edge, b"GET " + target + b"b HTTP/1.1\r\n" + _HOST + b"\r\n").status == 414


def test_a_target_that_goes_on_is_refused_before_it_ends(edge: Edge) -> None:
    reply = say(edge, b"GET /" + b"a" * 300)
    assert (reply.status, reply.get("x-gateway-error")) == (414, "uri_too_long")


def test_headers_that_go_on_are_refused_before_they_end(edge: Edge) -> None:
    reply = say(edge, b"GET / HTTP/1.1\r\n" + _HOST + b"X: " + b"a" * 2100)
    assert (reply.status, reply.get("x-gateway-error")) == (431, "headers_too_large")


@pytest.mark.parametrize(("lines", "status"), [(99, 200), (100, 431)])
def test_a_hundred_header_lines_are_taken(edge: Edge, lines: int, status: int) -> None:
    reply = say(edge, b"GET / HTTP/1.1\r\n" + _HOST + b"X: y\r\n" * lines + b"\r\n")
    assert reply.status == status


def test_one_empty_line_before_a_request_is_passed_over(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        for _ in range(2):
            client.send(b"\r\nGET / HTTP/1.1\r\n" + _HOST + b"\r\n")
            assert client.read_reply().status == 200


def test_an_upgrade_is_an_ordinary_request(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        return answer(await exchange.body.read())

    edge.gateway.script = script
    head = b"POST / HTTP/1.1\r\n" + _HOST + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    with RawClient(edge.port) as client:
        for _ in range(2):
            client.send(head + b"Content-Length: 4\r\n\r\nbody")
            assert client.read_reply().body == b"body"


def test_a_head_may_come_byte_by_byte(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        for byte in b"GET /slow HTTP/1.1\r\n" + _HOST + b"\r\n":
            client.send(bytes([byte]))
        assert client.read_reply().body.startswith(b"GET /slow ")
