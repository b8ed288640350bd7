"""Twenty publishes and a rolling restart under load, with event streams open all the while."""

from __future__ import annotations

import asyncio
import signal
import socket
import time

import pytest

from tests.faults.conftest import Lab
from tests.faults.outcomes import figures
from tests.faults.processes import workers_of
from tests.faults.waiting import eventually
from tests.support.load import Outcome
from tests.support.raw import RawClient
from tests.support.upstream import OK, Received

STREAM = b"GET /sticky HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
EDIT = """
services:
  edited:
    instances: [{{url: "http://127.0.0.1:{port}"}}]
"""


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
    process = lab.gateway.process
    assert process is not None
    for upstream in lab.upstreams:
        upstream.script = _events
    with lab.load(rate=200, connections=16).running() as quiet:
        time.sleep(5)
    streams = [RawClient(lab.gateway.port) for _ in range(50)]
    for stream in streams:
        stream.send(STREAM)
        assert stream.socket.recv(65_536).startswith(b"HTTP/1.1 200")
    with lab.load(rate=200, connections=16).running() as load:
        for number in range(20):
            lab.gateway.apply(EDIT.format(port=9000 + number))
        assert all(_still_open(stream.socket) for stream in streams)
        published = time.monotonic()
        before = workers_of(process.pid)
        process.send_signal(signal.SIGHUP)
        eventually(lambda: not before & workers_of(process.pid), seconds=60)
    for stream in streams:
        stream.socket.close()
    figures("quiet", quiet.outcomes)
    found = figures("20 publishes, workers replaced", load.outcomes, since=published)
    print(f"p99 {1000 * _p99(load.outcomes):.1f} ms, quiet {1000 * _p99(quiet.outcomes):.1f} ms")  # noqa: T201
    assert found.errors == 0


def _still_open(stream: socket.socket) -> bool:
    return bool(stream.recv(65_536))
