"""The one timer of a connection to an upstream."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from proxying.upstream.base import Timeouts
from proxying.wire.client import Connection
from tests.wire.test_both_ways import Dialogue
from tests.wire.wires import Wire

READ_SECONDS = 0.01
TIMEOUTS = Timeouts(connect=20, first_byte=20, read=READ_SECONDS, total=20)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


class CountingLoop:
    """The running loop; counts the timers that are set."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.timers = 0
        self.time = self._loop.time
        self.create_task = self._loop.create_task
        self.create_future = self._loop.create_future

    def call_at(self, when: float, callback: Callable[[], Any]) -> asyncio.TimerHandle:
        self.timers += 1
        return self._loop.call_at(when, callback)


class Keeper:
    """Keeps nothing."""

    def released(self, connection: Connection) -> None:
        pass

    def lost(self, connection: Connection) -> None:
        pass


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    one, other = socket.socketpair()
    with one, other:
        yield one


async def test_an_exchange_that_is_stuck_both_ways_has_one_timer(sock: socket.socket) -> None:
    loop = CountingLoop()
    connection = Connection(cast(asyncio.AbstractEventLoop, loop), sock, Keeper(), 65536)
    connection.connection_made(Wire())
    body = Dialogue()
    sending = asyncio.create_task(connection.send("POST", b"POST", body, TIMEOUTS, 20))
    await asyncio.sleep(0)
    connection.data_received(HEAD + bytes(100_000))
    answer = await sending  # whose reader takes nothing
    connection.pause_writing()
    body.pieces.put_nowait(b"more")
    for _ in range(6):
        await asyncio.sleep(READ_SECONDS)
    assert 0 < loop.timers < 12
    answer.close()
