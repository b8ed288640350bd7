"""Who waits for a shared HTTP/2 connection, and who leaves while waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from proxying.exchange import EMPTY
from proxying.http2.messages import request_fields
from proxying.http2.pool import Pool
from proxying.upstream.h2 import H2Transport
from tests.upstream.h2_server import H2Server, Stream
from tests.wire.scripted import PATIENT, request

Start = Callable[[int], Awaitable[tuple[H2Server, Pool]]]


async def hold(stream: Stream) -> None:
    """Begin an answer and never end it."""
    stream.respond((":status", "200"))


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start an upstream that takes so many streams at once, and a pool of one connection to it."""
    started: list[tuple[H2Server, Pool]] = []

    async def run(most_streams: int) -> tuple[H2Server, Pool]:
        upstream = H2Server(hold, None)
        upstream.most_streams = most_streams
        await upstream.start()
        pool = Pool(upstream.origin, tls=None, most=1, allowed=None)
        started.append((upstream, pool))
        return started[-1]

    yield run
    for upstream, pool in started:
        pool.close()
        await upstream.stop()


async def test_leaving_in_the_moment_room_is_found_is_leaving(start: Start) -> None:
    _, pool = await start(1)
    connection = await pool.acquire(20, "connect")
    connection.open(request_fields("http", request()), EMPTY, PATIENT, 20, to_head=False)
    waiting = asyncio.create_task(pool.acquire(20, "connect"))
    await asyncio.sleep(0)
    waiting.cancel()
    pool.roomier()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_who_asks_as_the_last_one_leaves_gets_a_connection(start: Start) -> None:
    _, pool = await start(0)
    leaving = asyncio.create_task(pool.acquire(20, "connect"))
    await asyncio.sleep(0)
    leaving.cancel()
    staying = asyncio.create_task(pool.acquire(20, "connect"))
    assert (await staying).has_room
    assert leaving.cancelled()


async def test_room_for_many_is_room_for_all_who_wait(start: Start) -> None:
    upstream, _ = await start(1)
    transport = H2Transport(max_connections_per_origin=1)
    try:
        await transport.send(upstream.origin, request(), PATIENT)
        waiting = [
            asyncio.create_task(transport.send(upstream.origin, request(), PATIENT))
            for _ in range(5)
        ]
        await asyncio.sleep(0)
        upstream.most_streams = 0
        upstream.connections[0].transport.abort()
        answers = await asyncio.wait_for(asyncio.gather(*waiting), 20)
        assert {answer.status for answer in answers} == {200}
        assert len(upstream.connections) == 2
    finally:
        await transport.close()
