"""Answers that are not here whole at once, and bytes that are nobody's answer."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fastpath.conftest import Pair, head
from tests.faults.processes import workers_of
from tests.faults.waiting import eventually
from tests.support.raw import RawClient
from tests.support.upstream import OK, Received, Script, Upstream

BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"
STRAY = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nstray"
BROKEN = {
    "a line feed alone": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "a line that is no header": b"HTTP/1.1 200 OK\r\nnothing\r\n",
    "a space in a name": b"HTTP/1.1 200 OK\r\nX A: 1\r\n",
}


def _until(client: RawClient, mark: bytes) -> bytes:
    """What has come when *mark* is there; the body of an answer that goes on is no reply yet."""
    client.socket.settimeout(5)
    data = b""
    while mark not in data:
        data += client.socket.recv(65_536)
    return data


def _nothing_after(data: bytes) -> Script:
    """An upstream that sends *data* and then waits."""

    async def script(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(data)
        with suppress(ConnectionError):
            await reader.read()

    return script


def test_the_body_is_passed_on_as_it_comes(pair: Pair, upstream: Upstream) -> None:
    """The upstream ends its answer when the client has the first half."""
    seen = threading.Event()

    async def halves(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(BEGUN)
        await asyncio.to_thread(seen.wait, 10)
        writer.write(b"world")

    with pair.on_the_fast_path("/again") as client:
        upstream.script = halves
        began = time.monotonic()
        client.send(head("/again"))
        try:
            assert _until(client, b"hello")
            assert time.monotonic() - began < 1
        finally:
            seen.set()
        assert _until(client, b"world")


def test_a_body_that_stalls_is_cut_off_by_the_time_a_pause_may_take(
    pair: Pair, upstream: Upstream
) -> None:
    with pair.on_the_fast_path("/patient") as client:
        upstream.script = _nothing_after(BEGUN)
        began = time.monotonic()
        client.send(head("/patient"))
        assert not client.read_reply().complete
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_can_be_no_answer_is_not_waited_for(
    pair: Pair, upstream: Upstream, data: bytes
) -> None:
    with pair.on_the_fast_path("/again") as client:
        upstream.script = _nothing_after(data)
        began = time.monotonic()
        client.send(head("/again"))
        assert client.read_reply().status == 502
    assert time.monotonic() - began < 1


def test_a_stray_answer_reaches_nobody(pair: Pair, upstream: Upstream) -> None:
    """It comes when the next request is here but was not looked at yet."""
    process = pair.fast.process
    assert process is not None
    connections: list[tuple[asyncio.AbstractEventLoop, StreamWriter]] = []

    async def kept(request: Received, reader: StreamReader, writer: StreamWriter) -> None:
        connections.append((asyncio.get_running_loop(), writer))
        writer.write(OK)

    with pair.on_the_fast_path("/again") as client, pair.on_the_fast_path("/again") as other:
        upstream.script = kept
        for each in (client, other):
            pair.ask(each, "/again")
        loop, writer = connections[-1]
        [worker] = workers_of(process.pid)
        os.kill(worker, signal.SIGSTOP)
        try:
            eventually(lambda: _is_stopped(worker), seconds=5)
            client.send(head("/again"))
            loop.call_soon_threadsafe(writer.write, STRAY)
            time.sleep(0.1)
        finally:
            os.kill(worker, signal.SIGCONT)
        assert client.read_reply().body == b"ok"
        assert pair.ask(other, "/again")[0].body == b"ok"


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "T"
