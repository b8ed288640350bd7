"""Connections to origins, retries, and services that do not starve each other (HAZARDS)."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.conformance.case import head
from tests.conformance.front import Client, Front
from tests.conformance.origin import Origin
from tests.support.raw import Reply
from tests.support.upstream import OK, Received, Script

POST = head("POST /open/a", "Content-Length: 3") + b"pay"
POST_CHUNKED = head("POST /open/a", "Transfer-Encoding: chunked") + b"3\r\npay\r\n0\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


def ask(front: Front, sent: bytes) -> Reply:
    with front.connect() as client:
        client.send(sent)
        return client.read_reply()


def closing_when_reused(before_answering: bytes = b"") -> Script:
    """Serve one request of each connection; end it as the next one arrives."""
    known: set[asyncio.StreamWriter] = set()

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if writer in known:
            writer.write(before_answering)
            writer.close()
            raise ConnectionError("closed")
        known.add(writer)
        writer.write(OK)

    return script


async def leaving(
    request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answer, and close without having said so."""
    writer.write(OK)
    await writer.drain()
    writer.close()


def test_a_get_on_a_stale_connection_goes_to_a_new_one(front: Front, origin: Origin) -> None:
    origin.script = closing_when_reused()
    assert [ask(front, head("GET /open/a")).status for _ in range(4)] == [200] * 4


@pytest.mark.parametrize("sent", [POST, POST_CHUNKED], ids=["counted", "chunked"])
def test_a_post_on_a_stale_connection_is_executed_once(
    front: Front, origin: Origin, sent: bytes
) -> None:
    origin.script = closing_when_reused()
    assert ask(front, head("GET /open/a")).status == 200
    assert ask(front, sent).status in (200, 502)
    assert [request.method for request in origin.whole].count("POST") == 1


def test_connections_the_origin_left_are_not_used(front: Front, origin: Origin) -> None:
    origin.script = leaving
    for _ in range(10):
        assert ask(front, POST).status == 200
        front.settle()
    assert len(origin.whole) == 10


def test_nothing_is_tried_again_once_the_answer_began(front: Front, origin: Origin) -> None:
    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
        await writer.drain()
        writer.close()

    origin.script = script
    reply = ask(front, head("GET /retrying"))
    assert (reply.status, reply.body, reply.complete) == (200, b"hello", False)
    assert len(origin.whole) == 1


def test_a_failing_get_is_tried_again(front: Front, origin: Origin) -> None:
    answers = iter([BUSY, BUSY, OK])

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(next(answers))

    origin.script = script
    if not front.ours:
        pytest.skip("it tries an instance once")
    assert ask(front, head("GET /retrying")).status == 200
    assert len(origin.whole) == 3


@pytest.mark.parametrize("answer", [BUSY, b""], ids=["503", "closed"])
def test_a_failing_post_is_sent_once(front: Front, origin: Origin, answer: bytes) -> None:
    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    origin.script = script
    assert ask(front, POST.replace(b"/open/a", b"/retrying")).status in (502, 503)
    assert len(origin.whole) == 1


@pytest.mark.parametrize("sent", [POST, POST_CHUNKED], ids=["counted", "chunked"])
def test_a_dead_instance_costs_no_post_its_body(front: Front, origin: Origin, sent: bytes) -> None:
    sent = sent.replace(b"/open/a", b"/pair")
    assert [ask(front, sent).status for _ in range(8)] == [200] * 8
    assert [request.received.body for request in origin.whole] == [b"pay"] * 8


def test_a_dead_service_is_502(front: Front) -> None:
    if not front.ours:
        pytest.skip("not configured there")
    reply = ask(front, head("GET /dead"))
    assert (reply.status, reply.get("x-gateway-error")) == (502, "upstream_unreachable")


def test_a_hanging_service_starves_no_other(front: Front, origin: Origin, hanging: Origin) -> None:
    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await reader.read(1)
        raise ConnectionError("given up")

    hanging.script = script
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(front.port)) for _ in range(100)]
        for client in clients:
            client.send(head("GET /hanging"))
        assert [ask(front, head("GET /open/a")).status for _ in range(20)] == [200] * 20


def test_connections_are_kept_and_shared(front: Front, origin: Origin) -> None:
    for _ in range(10):
        assert ask(front, head("GET /open/a")).status == 200
    assert len({request.connection for request in origin.whole}) == 1
