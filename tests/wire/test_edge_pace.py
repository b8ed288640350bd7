"""How fast a client has to be, and what happens when the server stops."""

from __future__ import annotations

import asyncio
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from proxying.admission import Patience
from proxying.errors import BodyTooLarge, ClientGone
from proxying.exchange import Answer, Exchange
from tests.support.raw import RawClient
from tests.wire.edges import Edge, answer, read_all, running
from tests.wire.scripted import Pieces

_GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
_POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
_HASTY = Patience(
    header=0.2, idle=0.2, body_stall=0.3, body_grace=0.4, body_rate=1000, write=0.3, drain=0.2
)


@pytest.fixture(scope="module")
def server() -> Iterator[Edge]:
    with running(_HASTY) as edge:
        yield edge


def drip(client: RawClient, data: bytes) -> None:
    """Send *data* every 20 ms until the server says something."""
    for _ in range(200):
        client.send(data)
        if select.select([client.socket], [], [], 0.02)[0]:
            return
    pytest.fail("the server waits and waits")


def test_a_connection_that_says_nothing_is_closed(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        assert client.at_end()


def test_a_head_that_stops_is_too_late(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        client.send(_GET[:-2])
        reply = client.read_reply()
        assert (reply.status, reply.get("x-gateway-error")) == (408, "request_timeout")
        assert client.at_end()


def test_a_head_that_drips_is_too_late(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        client.send(b"GET / HTTP/1.1\r\nX: ")
        drip(client, b"y")
        assert client.read_reply().status == 408


def test_a_second_head_has_time_of_its_own(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        client.send(_GET)
        assert client.read_reply().status == 200
        client.send(_GET[:10])
        assert client.read_reply().status == 408


def test_an_idle_connection_is_closed_without_a_word(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        client.send(_GET + b"\r\n")
        assert client.read_reply().status == 200
        assert client.at_end()


def test_a_body_that_stops_is_too_late(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        client.send(_POST + b"some of it")
        reply = client.read_reply()
        assert (reply.status, reply.get("connection")) == (408, "close")
        assert client.at_end()


def test_a_body_that_drips_is_too_late(edge: Edge) -> None:
    with RawClient(edge.port) as client:
        client.send(_POST)
        drip(client, b"x")
        assert client.read_reply().status == 408


def test_a_slow_reader_of_the_body_is_not_the_clients_fault(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        first = await exchange.body.read()
        await asyncio.sleep(1.0)
        return answer(b"%d" % len(first + await read_all(exchange.body)))

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        client.send(_POST + b"x" * 50_000)
        client.send(b"x" * 50_000)
        assert client.read_reply().body == b"100000"


def test_a_slow_gateway_is_not_the_clients_fault(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        await asyncio.sleep(0.6)
        return answer(b"late")

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        client.send(_GET)
        assert client.read_reply().body == b"late"


def test_a_request_answered_early_has_to_end_soon(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        raise BodyTooLarge(1)

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        client.send(_POST + b"some of it")
        assert client.read_reply().status == 413
        assert client.at_end()


def test_a_client_that_takes_nothing_is_cut_off(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        return answer(Pieces(*[b"x" * 65536] * 1000))

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        client.send(_GET)
        assert isinstance(edge.gateway.ended.get(timeout=10), ClientGone)


def test_a_client_that_takes_it_slowly_gets_it_all(edge: Edge) -> None:
    async def script(exchange: Exchange) -> Answer:
        return answer(b"x" * 20_000_000)

    edge.gateway.script = script
    with socket.create_connection(("127.0.0.1", edge.port), 10) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        client.sendall(_GET)
        received = 0
        while received < 20_000_000:
            received += len(client.recv(1 << 19))
            time.sleep(0.01)
    assert edge.gateway.ended.get(timeout=10) is None


def test_a_client_that_leaves_while_nothing_is_read_ends_its_exchange(edge: Edge) -> None:
    begun = threading.Event()

    async def script(exchange: Exchange) -> Answer:
        begun.set()
        await asyncio.Event().wait()
        return answer()

    edge.gateway.script = script
    with RawClient(edge.port) as client:
        client.send(_POST + b"x" * 90_000)
        assert begun.wait(10)
    assert isinstance(edge.gateway.ended.get(timeout=10), asyncio.CancelledError)


def test_a_stop_closes_idle_connections_and_finishes_the_others() -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def script(exchange: Exchange) -> Answer:
        if exchange.target == b"/slow":
            begun.set()
            await asyncio.to_thread(go_on.wait, 10)
        return answer(b"done")

    with running() as edge, RawClient(edge.port) as idle, RawClient(edge.port) as busy:
        edge.gateway.script = script
        idle.send(_GET)
        assert idle.read_reply().get("connection") == ""
        busy.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n" + _GET)
        assert begun.wait(10)
        edge.begin_stop()
        assert idle.at_end()
        go_on.set()
        reply = busy.read_reply()
        assert (reply.body, reply.get("connection")) == (b"done", "close")
        assert busy.at_end()


def test_a_stop_waits_for_a_head_that_has_begun() -> None:
    with running() as edge, RawClient(edge.port) as idle, RawClient(edge.port) as client:
        idle.send(_GET)
        client.send(_GET + _GET[:10])
        idle.read_reply()
        client.read_reply()
        edge.begin_stop()
        assert idle.at_end()
        client.send(_GET[10:])
        assert client.read_reply().get("connection") == "close"
