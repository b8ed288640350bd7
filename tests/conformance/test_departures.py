"""Clients that leave, stall or are slow: what is done for them ends (HAZARDS "streams")."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest

from tests.conformance.case import head
from tests.conformance.front import Client, Front
from tests.conformance.origin import Origin
from tests.support.process import GatewayProcess
from tests.support.upstream import Received

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CUT = 5.0
"""Seconds the origin's side of a cancelled exchange is waited for. The documented bound is one;
the origin itself would wait for twenty."""


def _waits(origin: Origin) -> threading.Event:
    """Make the origin answer nothing and notice when its request is given up."""
    begun = threading.Event()

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        begun.set()
        async with asyncio.timeout(20):
            assert await reader.read(1) == b""
        raise ConnectionError("given up")

    origin.script = script
    return begun


def _streams(origin: Origin) -> threading.Event:
    """Make the origin answer without end and notice when nobody takes it."""
    begun = threading.Event()

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(CHUNKED)
        while True:
            writer.write(b"5\r\nhello\r\n")
            await writer.drain()
            begun.set()
            await asyncio.sleep(0.01)

    origin.script = script
    return begun


def test_a_client_that_leaves_before_the_answer_cancels_it(front: Front, origin: Origin) -> None:
    begun = _waits(origin)
    client = front.connect()
    client.send(head("GET /open/a"))
    assert begun.wait(10)
    client.leave()
    assert origin.left.wait(CUT)


def test_a_client_that_leaves_during_the_answer_cancels_it(front: Front, origin: Origin) -> None:
    begun = _streams(origin)
    client = front.connect()
    client.send(head("GET /open/a"))
    assert begun.wait(10)
    client.leave()
    assert origin.left.wait(CUT)


def test_a_client_that_leaves_during_its_upload_cancels_it(front: Front, origin: Origin) -> None:
    client = front.connect()
    client.send(head("POST /open/a", "Content-Length: 10") + b"hello")
    while not origin.heads:
        threading.Event().wait(0.005)
    client.leave()
    assert origin.left.wait(CUT)
    assert not origin.whole


def test_a_client_that_left_is_logged_as_499(
    gateway: GatewayProcess, front: Front, origin: Origin
) -> None:
    begun = _waits(origin)
    client = front.connect()
    client.send(head("GET /open/left", "X-Request-Id: left-early"))
    assert begun.wait(10)
    client.leave()
    log = gateway.directory / "serve.log"
    line = ""
    for _ in range(1000):
        lines = [one for one in log.read_text("utf-8").splitlines() if "left-early" in one]
        if lines:
            line = lines[0]
            break
        threading.Event().wait(0.01)
    assert '"status":499' in line.replace(" ", "")


def test_a_reader_that_stalls_stops_the_origin(front: Front, hanging: Origin) -> None:
    """Of an origin that has a minute: filling the kernel's buffers may take a busy machine long."""
    written: list[int] = []
    stalled = threading.Event()

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.target != "/hanging?stalled":
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                writer.write(b"x" * 65536)
                async with asyncio.timeout(1.0):
                    await writer.drain()
                written.append(65536)
        except TimeoutError:
            stalled.set()

    hanging.script = script
    with front.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.send(head("GET /hanging?stalled"))
        assert stalled.wait(50)
    assert sum(written) < _kernel_holds() + 5_000_000


def _kernel_holds() -> int:
    """Bytes at most in the buffers of both connections, the client's own of which is small."""
    largest = [
        int(Path(f"/proc/sys/net/ipv4/tcp_{name}").read_text("ascii").split()[2])
        for name in ("rmem", "wmem")
    ]
    received, sent = largest
    return received + 2 * sent


@pytest.mark.parametrize("name", ["silent", "half a head"])
def test_a_slow_client_is_closed(slow_clients: dict[str, Client], name: str) -> None:
    client = slow_clients[name]
    try:
        reply = client.read_reply()
    except ConnectionError:
        return
    assert reply.status == 408
    assert client.at_end()
