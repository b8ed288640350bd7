"""A half-open breaker lets exactly as many through as configured, whichever workers are asked."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from tests.faults.conftest import Lab
from tests.faults.waiting import eventually
from tests.support.raw import RawClient
from tests.support.upstream import OK, Received, answering

HEAD = b"GET /probed HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
FAIL = answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n")
TRIALS = 2


async def _slowly(
    received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await asyncio.sleep(2.5)
    writer.write(OK)


def test_two_of_200_requests_at_once_try_an_instance_that_failed(lab: Lab) -> None:
    upstream = lab.upstreams[0]
    upstream.script = FAIL
    eventually(lambda: {lab.get("/probed") for _ in range(10)} == {503}, seconds=5)
    upstream.script = _slowly
    upstream.requests.clear()
    time.sleep(0.6)
    clients = [RawClient(lab.gateway.port) for _ in range(200)]
    for client in clients:
        client.send(HEAD)
    statuses = Counter(client.read_reply().status for client in clients)
    for client in clients:
        client.socket.close()
    assert statuses == {200: TRIALS, 503: 200 - TRIALS}
    assert lab.received("/probed")[0] == TRIALS
    upstream.script = answering(OK)
    eventually(lambda: not any(lab.metric("gateway_breaker_state", "probed")), seconds=5)
    assert {lab.get("/probed") for _ in range(10)} == {200}


def test_what_one_worker_saw_keeps_the_others_from_asking_within_a_second(lab: Lab) -> None:
    lab.upstreams[0].script = FAIL
    assert lab.get("/told") == 500
    time.sleep(1)
    assert {lab.get("/told") for _ in range(20)} == {503}
    assert lab.received("/told")[0] == 1
    lab.upstreams[0].script = answering(OK)
    eventually(lambda: {lab.get("/told") for _ in range(10)} == {200}, seconds=5)
