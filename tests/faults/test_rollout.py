"""Twenty publishes and a rolling restart under load, with event streams open all the while."""

from __future__ import annotations

import asyncio
import base64
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from http.client import HTTPConnection

import pytest

from tests.faults.conftest import Lab
from tests.faults.outcomes import figures, say
from tests.faults.processes import replace_workers
from tests.support.load import Outcome
from tests.support.raw import RawClient
from tests.support.upstream import OK, Received

STREAM = b"GET /sticky HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
EDIT = b'{"name": "edited-%d", "instances": [{"url": "http://127.0.0.1:%d"}]}'
PASSWORD = "a long password"


async def _events(
    received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    if received.target != "/sticky":
        writer.write(OK)
        return
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"6\r\nevent\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.5)


def _p99(outcomes: list[Outcome]) -> float:
    return sorted(one.answered - one.sent for one in outcomes)[int(0.99 * len(outcomes))]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_publishes_and_a_rolling_restart_lose_nothing(lab: Lab) -> None:
    for upstream in lab.upstreams:
        upstream.script = _events
    publish = _publisher(lab)
    with ExitStack() as open_streams:
        streams = [open_streams.enter_context(RawClient(lab.gateway.port)) for _ in range(50)]
        for stream in streams:
            stream.send(STREAM)
            assert stream.socket.recv(65_536).startswith(b"HTTP/1.1 200")
        quiet = _measured(lab, "quiet", lambda: time.sleep(10))
        busy = _measured(lab, "20 publishes", lambda: [publish(number) for number in range(20)])
        assert all(_still_open(stream.socket) for stream in streams)
        restart = _measured(lab, "workers replaced", lambda: _replace_workers(lab))
        assert all(_still_open(stream.socket) for stream in streams)
    p99 = [1000 * _p99(outcomes) for outcomes in (quiet, busy, restart)]
    say("p99 of quiet, publishing, replacing: {:.1f}, {:.1f}, {:.1f} ms".format(*p99))


def _measured(lab: Lab, name: str, work: Callable[[], object]) -> list[Outcome]:
    before = sum(lab.received())
    with lab.load().running() as load:
        work()
    assert figures(name, load.outcomes, received=sum(lab.received()) - before).errors == 0
    return load.outcomes


def _replace_workers(lab: Lab) -> None:
    replace_workers(lab.gateway, seconds=60)
    time.sleep(2)


def _publisher(lab: Lab) -> Callable[[int], None]:
    """Publishes over the REST API, as the admin does: no other process takes the processors."""
    gateway = lab.gateway
    gateway.environment["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
    gateway.manage(
        "createsuperuser", "--noinput", "--username", "root", "--email", "r@test.invalid"
    )
    credentials = base64.b64encode(f"root:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"}

    def publish(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        connection.request(
            "POST", "/api/gateway/services/", EDIT % (number, 9000 + number), headers
        )
        assert connection.getresponse().status == 201
        connection.close()
        time.sleep(0.5)

    return publish


def _still_open(stream: socket.socket) -> bool:
    return bool(stream.recv(65_536))
