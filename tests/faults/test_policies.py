"""Retries, hedging, sticky sessions and overload, as clients and upstreams see them."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.conftest import Lab
from tests.faults.outcomes import figures
from tests.faults.proxy import Fault
from tests.support.load import Load
from tests.support.raw import RawClient, Reply, request
from tests.support.upstream import OK, Received, answering

UNAVAILABLE = answering(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")


def head(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: gateway.test", *lines, "", ""]).encode()


def test_an_upstream_that_always_fails_gets_a_fifth_more_at_most(lab: Lab) -> None:
    for upstream in lab.upstreams:
        upstream.script = UNAVAILABLE
    with Load(lab.gateway.port, head("/guarded"), 200, 8).running() as load:
        time.sleep(3)
    received = sum(lab.received("/guarded"))
    found = figures("all answers 503", load.outcomes, received=received)
    # In each worker 3 retries are allowed in any case, in each window of 10 s.
    assert found.load <= 1.2 + 2 * 3 / found.requests


@pytest.mark.parametrize(("lines", "executions"), [((), 1), (("Idempotency-Key: 1",), 2)])
def test_a_post_is_repeated_only_with_a_key(
    lab: Lab, lines: tuple[str, ...], executions: int
) -> None:
    for upstream in lab.upstreams:
        upstream.script = UNAVAILABLE
    assert request(lab.gateway.port, "POST", "/keyed", *lines, body=b"once").status == 503
    assert sum(lab.received("/keyed")) == executions
    bodies = {one.body for each in lab.upstreams for one in each.requests if one.body}
    assert bodies == {b"once"}


def test_a_get_that_takes_long_is_answered_by_another_instance(lab: Lab) -> None:
    lab.breaks(Fault(delay=1), 0, 1)
    for _ in range(3):
        started = time.monotonic()
        assert lab.get("/hedged") == 200
        if time.monotonic() - started < 0.6 and sum(lab.received("/hedged")) > 1:
            return
    pytest.fail("no request was hedged to the instance that answers")


def test_a_cookie_keeps_a_client_with_its_instance(lab: Lab) -> None:
    first = request(lab.gateway.port, "GET", "/sticky")
    cookie = first.get("set-cookie").split(";")[0]
    assert "127.0.0.1" not in cookie
    for _ in range(6):
        again = request(lab.gateway.port, "GET", "/sticky", f"Cookie: a=b; {cookie}")
        assert not again.get("set-cookie")
    assert sorted(lab.received("/sticky")) == [0, 0, 7]


def test_a_client_whose_instance_is_gone_gets_another_one(lab: Lab) -> None:
    answer = request(lab.gateway.port, "GET", "/sticky", "Cookie: stay=somebody-elses")
    assert answer.get("set-cookie").startswith("stay=")


def test_more_than_may_wait_is_refused_at_once(lab: Lab) -> None:
    async def slowly(
        received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await asyncio.sleep(0.3)
        writer.write(OK)

    lab.upstreams[0].script = slowly
    clients = [RawClient(lab.gateway.port) for _ in range(12)]
    started = time.monotonic()
    for client in clients:
        client.send(head("/narrow"))
    answers = [(client.read_reply(), time.monotonic() - started) for client in clients]
    for client in clients:
        client.socket.close()
    refused = [reply for reply, _ in answers if reply.status == 503]
    # Two workers, each with one request under way and one in its queue.
    assert 2 <= len(answers) - len(refused) <= 4
    assert all(_is_overloaded(reply) for reply in refused)


@pytest.mark.slow  # it measures, so it wants a machine of its own
def test_a_refusal_for_overload_takes_less_than_50_ms(lab: Lab) -> None:
    lab.breaks(Fault(blackhole=True), 0)
    waiting = [RawClient(lab.gateway.port) for _ in range(10)]
    for client in waiting:
        client.send(head("/narrow"))
    time.sleep(0.2)
    times = []
    for _ in range(5):
        started = time.monotonic()
        if lab.get("/narrow") == 503:
            times.append(time.monotonic() - started)
    for client in waiting:
        client.socket.close()
    assert sorted(times)[len(times) // 2] < 0.05


def _is_overloaded(reply: Reply) -> bool:
    return reply.get("x-gateway-error") == "overloaded" and int(reply.get("retry-after")) >= 1
