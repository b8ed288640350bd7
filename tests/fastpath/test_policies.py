"""Limits, keys, revisions and failures hold on the fast path as they do beside it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import struct
import threading
import time
from asyncio import StreamReader, StreamWriter

import pytest

from tests.fastpath.conftest import Pair, gateway, head
from tests.faults.waiting import eventually
from tests.servers import Server
from tests.support.raw import RawClient, Reply
from tests.support.upstream import Received, Upstream, answering

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ERROR = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"


def metric(pair: Pair, name: str, *parts: str) -> float:
    """The sum of the series of *name* that hold all *parts*."""
    lines = pair.fast.request("GET", "/metrics").body.decode().splitlines()
    found = [one for one in lines if one.startswith(name) and all(part in one for part in parts)]
    return sum(float(one.split()[-1]) for one in found)


def is_fast(pair: Pair, reply: Reply) -> bool:
    """Whether the fast path served it: its ids do not begin as those of Python."""
    ours = pair.fast.request("GET", "/nowhere").get("x-request-id")[:16]
    return reply.status == 200 and reply.get("x-request-id")[:16] != ours


def test_a_limit_is_exact_whoever_spends_from_it(pair: Pair) -> None:
    line = f"X-API-Key: {pair.fast.key('spender')}"
    with RawClient(pair.fast.port) as client:
        replies = [pair.ask(client, "/limited", line)[0] for _ in range(25)]
    assert [one.status for one in replies] == [200] * 20 + [429] * 5
    assert [one.get("ratelimit-remaining") for one in replies[:20]] == [
        str(left) for left in range(19, -1, -1)
    ]
    assert {one.get("ratelimit-limit") for one in replies} == {"20"}
    assert sum(is_fast(pair, one) for one in replies) > 10


def test_what_was_spent_is_recorded(pair: Pair) -> None:
    line = f"X-API-Key: {pair.fast.key('recorded')}"
    with RawClient(pair.fast.port) as client:
        for _ in range(12):
            pair.ask(client, "/limited", line)

    def recorded() -> bool:
        rows = pair.fast.query(
            "select sum(allowed) from rate_limit_records where identifier like '%recorded%'"
        )
        return bool(rows[0][0] == 12)

    eventually(recorded, seconds=15)


def test_the_upstream_learns_who_calls(pair: Pair) -> None:
    line = f"X-API-Key: {pair.fast.key('caller')}"
    with pair.on_the_fast_path("/keyed/a", line) as client:
        reply, received = pair.ask(client, "/keyed/a", line, "X-Consumer: somebody else")
    assert is_fast(pair, reply)
    assert (received.all("x-consumer"), received.all("x-api-key")) == (["caller"], [])
    assert received.get("x-auth-method") == "api_key"


@pytest.mark.parametrize("line", ["X-API-Key: wrong", "Authorization: Bearer a.b.c", "X-A: none"])
def test_nobody_is_taken_for_somebody_else(pair: Pair, line: str) -> None:
    right = f"X-API-Key: {pair.fast.key('caller')}"
    with pair.on_the_fast_path("/keyed/b", right) as client:
        client.send(head("/keyed/b", line))
        assert client.read_reply().status == 401


def test_a_revoked_key_is_refused_at_once(pair: Pair) -> None:
    line = f"X-API-Key: {pair.fast.key('revoked')}"
    with pair.on_the_fast_path("/keyed/c", line) as client:
        assert is_fast(pair, pair.ask(client, "/keyed/c", line)[0])
        prefix = pair.fast.key("revoked").split(".")[0]
        pair.fast.manage("revoke_api_key", prefix[: len("gw_") + 9])

        def refused() -> bool:
            client.send(head("/keyed/c", line))
            return client.read_reply().status == 401

        eventually(refused, seconds=5)


def test_another_revision_is_followed(pair: Pair, upstream: Upstream) -> None:
    other = Upstream()
    other.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother")
    text = (pair.fast.directory / "gateway.yaml").read_text("utf-8")
    try:
        with pair.on_the_fast_path("/again") as client:
            pair.fast.apply(text.replace(upstream.url, other.url))
            client.send(head("/again"))
            assert client.read_reply().body == b"other"
            pair.fast.apply(text)
            client.send(head("/again"))
            assert client.read_reply().body == b"ok"
    finally:
        other.stop()


def test_a_route_that_moves_is_counted_for_its_new_service(pair: Pair) -> None:
    text = (pair.fast.directory / "gateway.yaml").read_text("utf-8")
    moved = text.replace("path: /again, service: hopeful", "path: /again, service: plain")
    assert moved != text
    labels = 'route="again"', 'service="plain"', '"2xx"'
    with pair.on_the_fast_path("/again"):
        pass
    pair.fast.apply(moved)
    try:
        with pair.on_the_fast_path("/again") as client:
            before = metric(pair, "gateway_requests_total", *labels)
            assert is_fast(pair, pair.ask(client, "/again")[0])
            assert metric(pair, "gateway_requests_total", *labels) == before + 1
    finally:
        pair.fast.apply(text)


def test_a_revision_that_changes_no_route_disturbs_nobody(pair: Pair) -> None:
    text = (pair.fast.directory / "gateway.yaml").read_text("utf-8")
    other = text.replace("services:", "services:\n  unused: {instances: [{url: 'http://h:1'}]}", 1)
    with pair.on_the_fast_path("/again") as client:
        pair.fast.apply(other)
        pair.fast.apply(text)
        pair.fast.apply(other)
        assert is_fast(pair, pair.ask(client, "/again")[0])
        pair.fast.apply(text)


def test_failures_open_the_breaker_and_it_closes_again(pair: Pair, upstream: Upstream) -> None:
    with pair.on_the_fast_path("/open/x") as client:
        upstream.script = answering(ERROR)
        statuses = [pair.ask(client, "/open/x")[0].status for _ in range(4)]
        assert statuses == [500, 500, 500, 503]
        upstream.script = answering(OK)

        def closed() -> bool:
            client.send(head("/open/x"))
            return client.read_reply().status == 200

        eventually(closed, seconds=5)


def test_a_request_is_sent_again_where_that_is_allowed(pair: Pair, upstream: Upstream) -> None:
    answers = [b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", OK]
    with pair.on_the_fast_path("/again") as client:

        async def script(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
            await answering(answers.pop(0))(request, reader, writer)

        upstream.script = script
        assert pair.ask(client, "/again")[0].status == 200
    assert not answers


def test_who_waits_for_a_place_gets_one_that_falls_free_here(
    pair: Pair, upstream: Upstream
) -> None:
    """The instance takes two at once, which the fast path serves."""
    free = threading.Event()

    async def waiting(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
        await asyncio.to_thread(free.wait, 10)
        writer.write(OK)

    clients = [pair.on_the_fast_path("/narrow") for _ in range(4)]
    upstream.script = waiting
    try:
        for client in clients[:2]:
            client.send(head("/narrow"))
        eventually(lambda: len(upstream.requests) == 4 + 2, seconds=5)
        for client in clients[2:]:
            client.send(head("/narrow"))
        time.sleep(0.2)
        began = time.monotonic()
        free.set()
        assert [client.read_reply().status for client in clients] == [200] * 4
        assert time.monotonic() - began < 2
    finally:
        free.set()
        for client in clients:
            client.socket.close()


def test_nobody_is_passed_by_in_the_queue(pair: Pair, upstream: Upstream) -> None:
    """Four clients for two places, each asking again as soon as it is answered."""

    async def slowly(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(OK)

    waits: list[float] = []
    statuses: list[int] = []

    def ask(client: RawClient) -> None:
        until = time.monotonic() + 2
        while (began := time.monotonic()) < until:
            statuses.append(pair.ask(client, "/narrow")[0].status)
            waits.append(time.monotonic() - began)

    clients = [pair.on_the_fast_path("/narrow") for _ in range(4)]
    upstream.script = slowly
    threads = [threading.Thread(target=ask, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        client.socket.close()
    assert set(statuses) == {200}
    assert max(waits) < 1


def test_an_upstream_that_is_slow_costs_its_time_out(pair: Pair, upstream: Upstream) -> None:
    async def silent(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read()

    with pair.on_the_fast_path("/open/slow") as client:
        upstream.script = silent
        began = time.monotonic()
        client.send(head("/open/slow"))
        assert client.read_reply().status == 504
    assert time.monotonic() - began >= 0.5


def test_a_connection_that_was_closed_while_idle_costs_nobody_anything(
    pair: Pair, upstream: Upstream
) -> None:
    with pair.on_the_fast_path("/again") as client:
        upstream.script = answering(OK, close=True)
        statuses = [pair.ask(client, "/again")[0].status for _ in range(6)]
    assert statuses == [200] * 6


def test_one_connection_may_ask_for_anything(pair: Pair) -> None:
    with pair.on_the_fast_path("/again") as client:
        for _ in range(12):
            client.send(b"POST /again HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\n\r\nabc")
            assert client.read_reply().status == 200
            assert pair.upstream.requests[-1].body == b"abc"
            assert pair.ask(client, "/again")[0].status == 200
        client.send(head("/again") * 3 + b"GET /again HT")
        assert [client.read_reply().status for _ in range(3)] == [200] * 3
        client.send(b"TP/1.1\r\nHost: g\r\n\r\n")
        assert client.read_reply().status == 200


def test_everything_is_counted_and_logged(pair: Pair) -> None:
    before = metric(pair, "gateway_requests_total", 'route="host"')
    attempts = metric(pair, "gateway_attempts_total", 'service="hopeful"')
    with pair.on_the_fast_path("/host") as client:
        ids = [pair.ask(client, "/host?secret=1")[0].get("x-request-id") for _ in range(5)]
    assert metric(pair, "gateway_requests_total", 'route="host"') - before == 6
    assert metric(pair, "gateway_attempts_total", 'service="hopeful"') - attempts == 6
    assert metric(pair, "gateway_request_duration_seconds_count", 'route="host"') >= 6
    log = pair.fast.directory / "serve.log"
    eventually(lambda: all(one in log.read_text("utf-8") for one in ids), seconds=5)
    lines = [json.loads(one) for one in log.read_text("utf-8").splitlines() if one[:1] == "{"]
    lines = [one for one in lines if one.get("route") == "host"]
    by_fast = [one for one in lines if one["request_id"] in ids]
    assert len(by_fast) == 5
    assert all(list(one) == list(lines[0]) for one in by_fast)
    assert {(one["path"], one["status"], one["sent_bytes"]) for one in by_fast} == {
        ("/host", 200, 2)
    }


def test_a_client_that_leaves_takes_its_request_along(pair: Pair, upstream: Upstream) -> None:
    ended = []

    async def endless(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read()
        ended.append(True)

    before = metric(pair, "gateway_requests_total", 'route="again"', '"4xx"')
    with pair.on_the_fast_path("/again") as client:
        upstream.script = endless
        client.send(head("/again"))
        eventually(lambda: len(upstream.requests) >= 2, seconds=5)
        linger = struct.pack("ii", 1, 0)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    eventually(lambda: bool(ended), seconds=1.5)
    eventually(
        lambda: metric(pair, "gateway_requests_total", 'route="again"', '"4xx"') == before + 1,
        seconds=5,
    )
    eventually(lambda: metric(pair, "gateway_in_flight_requests") == 1, seconds=5)


def test_a_stopping_node_finishes_what_is_under_way(
    pair: Pair, upstream: Upstream, redis_server: Server
) -> None:
    going = gateway(pair.fast.directory.with_name("going"), upstream, redis_server, "auto")
    with going.serving("--workers", "1"):
        process = going.process
        assert process is not None
        with RawClient(going.port) as client, RawClient(going.port) as idle:
            for each in (client, idle):
                each.send(head("/again"))
                assert each.read_reply().status == 200
            released = threading.Event()

            async def late(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
                await asyncio.to_thread(released.wait, 10)
                writer.write(OK)

            upstream.script = late
            before = len(upstream.requests)
            client.send(head("/again"))
            eventually(lambda: len(upstream.requests) > before, seconds=5)
            process.send_signal(signal.SIGTERM)
            upstream.script = answering(OK)
            eventually(lambda: going.request("GET", "/ready").status == 503, seconds=5)
            idle.send(head("/again"))
            reply = idle.read_reply()
            assert (reply.status, reply.get("connection")) == (200, "close")
            released.set()
            assert client.read_reply().status == 200
        assert process.wait(30) == 0
        going.process = None
