"""What one answer does not show: order, time, early ends, clients that leave (HAZARDS "streams").

Nothing here measures speed: the origin waits for the test at the point in question, so a front
that holds bytes back never gets to the end.
"""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.conformance.case import SMUGGLED, assert_problem, head
from tests.conformance.front import Front
from tests.conformance.origin import Origin
from tests.support.process import GatewayProcess
from tests.support.upstream import OK, Received, answering

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def _until(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


def by_target(
    request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> asyncio.Future[None]:
    """Answer with the target, the sooner the later it came: order is the front's to keep."""

    async def answer() -> None:
        await asyncio.sleep(0.05 if request.target.endswith("1") else 0)
        body = request.target.encode() + request.body
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    return asyncio.ensure_future(answer())


def test_pipelined_requests_are_answered_in_order(front: Front, origin: Origin) -> None:
    origin.script = by_target
    with front.connect() as client:
        client.send(
            head("GET /open/1") + head("POST /open/2", "Content-Length: 2") + b"hi"
            + head("POST /open/3", "Transfer-Encoding: chunked") + b"2\r\nyo\r\n0\r\n\r\n"
            + head("GET /nowhere") + head("GET /open/4")
        )  # fmt: skip
        replies = [client.read_reply() for _ in range(5)]
    assert [reply.body for reply in replies[:3]] == [b"/open/1", b"/open/2hi", b"/open/3yo"]
    assert replies[3].status == 404
    assert replies[4].body == b"/open/4"


def test_a_malformed_request_in_a_pipeline_ends_it(front: Front, origin: Origin) -> None:
    with front.connect() as client:
        client.send(head("GET /open/1") + head("GET /open/2", "X : y") + SMUGGLED)
        assert client.read_reply().status == 200
        assert client.read_reply().status == 400
        assert client.at_end()
    front.settle()
    assert [request.target for request in origin.whole] == ["/open/1"]


def test_what_follows_an_early_answer_is_the_next_request_or_nothing(
    front: Front, origin: Origin
) -> None:
    with front.connect() as client:
        client.send(
            head("POST /nowhere", "Content-Length: 5") + b"hello" + head("GET /open/next")
        )  # fmt: skip
        assert client.read_reply().status == 404
        assert client.at_end() or client.read_reply().status == 200
    front.settle()
    assert {request.target for request in origin.whole} <= {"/open/next"}


def test_a_request_in_single_bytes_is_one_request(front: Front, origin: Origin) -> None:
    sent = head("POST /open/a", "Transfer-Encoding: chunked") + b"2\r\nhi\r\n0\r\n\r\n"
    with front.connect() as client:
        for byte in sent:
            client.send(bytes([byte]))
        assert client.read_reply().status == 200
    assert [request.received.body for request in origin.whole] == [b"hi"]


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 10\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
     b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
    ids=["counted", "in a chunk", "between chunks"],
)  # fmt: skip
def test_a_body_that_breaks_off_is_never_whole(front: Front, origin: Origin, body: bytes) -> None:
    with front.connect() as client:
        client.send(b"POST /open/a HTTP/1.1\r\nHost: h\r\n" + body)
        client.finish()
        client.at_end()
    front.settle()
    assert not origin.whole


def test_the_first_byte_does_not_wait_for_the_second(front: Front, origin: Origin) -> None:
    read = threading.Event()

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(CHUNKED + b"5\r\nfirst\r\n")
        await _until(read)
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")

    origin.script = script
    with front.connect() as client:
        client.send(head("GET /open/a"))
        seen = b""
        while b"first" not in seen:
            seen += client.socket.recv(65536)
        read.set()
        while b"second" not in seen:
            seen += client.socket.recv(65536)


def test_the_head_does_not_wait_for_the_body(front: Front, origin: Origin) -> None:
    read = threading.Event()

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await _until(read)
        writer.write(b"ok")

    origin.script = script
    with front.connect() as client:
        client.send(head("GET /open/a"))
        assert client.socket.recv(15) == b"HTTP/1.1 200 OK"
        read.set()


def test_an_upload_reaches_the_origin_before_it_is_complete(front: Front, origin: Origin) -> None:
    arrived = threading.Event()

    async def begun(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        assert await reader.readexactly(5) == b"hello"
        arrived.set()
        await reader.readexactly(5)
        writer.write(OK)

    origin.begun = begun
    with front.connect() as client:
        client.send(head("POST /open/a", "Content-Length: 10") + b"hello")
        assert arrived.wait(10)
        client.send(b"world")
        assert client.read_reply().status == 200


def test_an_early_refusal_reaches_a_client_that_still_uploads(front: Front, origin: Origin) -> None:
    async def begun(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 413 Big\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        await writer.drain()
        writer.close()

    origin.begun = begun
    with front.connect() as client:
        client.send(head("POST /open/a", "Content-Length: 5000000") + b"x" * 100_000)
        reply = client.read_reply()
    assert (reply.status, reply.body) == (413, b"big")


def test_a_body_over_the_nodes_bound_is_cut_off_by_counted_bytes(
    gateway: GatewayProcess, front: Front, origin: Origin
) -> None:
    with front.connect() as client:
        client.send(head("POST /open/a", "Transfer-Encoding: chunked"))
        for _ in range(12):
            client.send(b"100000\r\n" + b"x" * 0x100000 + b"\r\n")
        assert assert_problem(client.read_reply()) == "body_too_large"
    front.settle()
    assert not origin.whole


def test_a_client_that_takes_trailers_gets_them_behind_the_body(
    front: Front, origin: Origin
) -> None:
    if not front.ours:
        pytest.skip("a server may drop trailers")
    origin.script = answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\nX-Gateway-Error: b\r\n\r\n"
    )
    with front.connect() as client:
        client.send(b"GET /open/a HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.socket.recv(65536):
            answer += data
    assert answer.endswith(b"\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n")
