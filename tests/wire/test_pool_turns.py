"""Connections are capped: who waits for one is served in order, and passes its turn on."""

from __future__ import annotations

import asyncio

import pytest

from proxying.upstream.base import ConnectFailed, Timeouts, UpstreamTimeout
from proxying.upstream.native import NativeTransport
from proxying.wire.pool import Pool, PoolLimits, PoolStats
from tests.wire.scripted import OK, PATIENT, Serve, Turnstile, ask, only, request

IMPATIENT = Timeouts(connect=0.05, first_byte=20, read=20, total=20)


async def test_the_cap_holds_and_waiters_go_in_order(
    serve: Serve, transport: NativeTransport
) -> None:
    gate = Turnstile()
    upstream = await serve(gate.script)
    asking = [
        asyncio.create_task(ask(transport, upstream, request(target=b"/%d" % number)))
        for number in range(6)
    ]
    await gate.arrivals.get()
    await gate.arrivals.get()
    assert only(transport) == PoolStats(open=2, idle=0, waiting=4)
    for number in range(2, 6):
        gate.let()
        assert await gate.arrivals.get() == b"/%d" % number
    gate.let(2)
    assert await asyncio.gather(*asking) == [(200, b"ok")] * 6
    assert upstream.connections == 2
    assert only(transport) == PoolStats(open=2, idle=2, waiting=0)


async def test_a_full_pool_is_a_connect_timeout(serve: Serve, transport: NativeTransport) -> None:
    gate = Turnstile()
    upstream = await serve(gate.script)
    busy = [asyncio.create_task(ask(transport, upstream)) for _ in range(2)]
    await gate.arrivals.get()
    await gate.arrivals.get()
    with pytest.raises(UpstreamTimeout) as raised:
        await ask(transport, upstream, timeouts=IMPATIENT)
    assert raised.value.stage == "connect"
    assert only(transport).waiting == 0
    gate.let(2)
    await asyncio.gather(*busy)


async def test_a_full_queue_refuses_at_once(serve: Serve) -> None:
    transport = NativeTransport(max_connections_per_origin=1, max_waiting_per_origin=0)
    gate = Turnstile()
    upstream = await serve(gate.script)
    busy = asyncio.create_task(ask(transport, upstream))
    await gate.arrivals.get()
    with pytest.raises(ConnectFailed):
        await ask(transport, upstream)
    gate.let()
    await busy
    await transport.close()


async def test_a_cancelled_waiter_passes_its_turn_on(serve: Serve) -> None:
    transport = NativeTransport(max_connections_per_origin=1)
    gate = Turnstile()
    upstream = await serve(gate.script)
    asking = [asyncio.create_task(ask(transport, upstream)) for _ in range(3)]
    await gate.arrivals.get()
    asking[1].cancel()
    gate.let(2)
    assert await asking[0] == await asking[2] == (200, b"ok")
    assert only(transport) == PoolStats(open=1, idle=1, waiting=0)
    await transport.close()


async def test_a_waiter_cancelled_with_a_slot_in_hand_gives_it_back(serve: Serve) -> None:
    transport = NativeTransport(max_connections_per_origin=1)
    upstream = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    answer = await transport.send(upstream.origin, request(), PATIENT)
    waiting = asyncio.create_task(ask(transport, upstream))
    await asyncio.sleep(0)
    assert only(transport).waiting == 1
    answer.close()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert only(transport) == PoolStats(open=0, idle=0, waiting=0)
    await transport.close()


async def test_a_discarded_connection_gives_its_slot_to_a_waiter(serve: Serve) -> None:
    transport = NativeTransport(max_connections_per_origin=1)
    gate = Turnstile()
    upstream = await serve(gate.script)
    first = asyncio.create_task(ask(transport, upstream))
    await gate.arrivals.get()
    second = asyncio.create_task(ask(transport, upstream))
    await asyncio.sleep(0)
    first.cancel()
    await gate.arrivals.get()
    gate.let(2)
    assert await second == (200, b"ok")
    assert upstream.connections == 2
    await transport.close()


async def test_leaving_in_the_moment_of_ones_turn_is_leaving(serve: Serve) -> None:
    upstream = await serve(OK)
    limits = PoolLimits(connections=1, waiting=9, idle_seconds=20, header_bytes=65536)
    pool = Pool(
        "127.0.0.1", upstream.origin.port, tls=None, server_name="", limits=limits, allowed=None
    )
    connection = await pool.acquire(20, "connect")
    waiting = asyncio.create_task(pool.acquire(20, "connect"))
    await asyncio.sleep(0)
    waiting.cancel()
    pool.released(connection)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.take() is connection
    pool.close()
