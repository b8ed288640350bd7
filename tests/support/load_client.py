"""A client of constant rate: ``python -m tests.support.load_client PORT RATE CONNECTIONS``.

A process of its own, so that whatever a test does meanwhile holds up no request. Requests leave
when they are due, whether earlier ones were answered or not; while no connection is free, another
one is made for the one request. The request comes as a line of base64 on standard input, and
sending goes on until that ends. Writes a line once it is connected, then lines of what became of
its requests: JSON lists of ``[sent, answered, reply]``, times by the clock that all processes share
(CLOCK_MONOTONIC), ``reply`` ``null`` or ``[status, headers, body, complete]``, texts in Latin-1.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Any, cast

import httptools
import msgspec
import uvloop

_MOST_CONNECTIONS = 1024
_REPORT_SECONDS = 0.1
_LAST_ANSWER_SECONDS = 15.0
_OWN = (b"date", b"x-request-id")
"""Headers that differ from answer to answer and that nobody looks at."""


class Client:
    """What is due, who is free, and what is to be reported."""

    def __init__(self, port: int, request: bytes, rate: float, connections: int) -> None:
        self._port = port
        self._request = request
        self._rate = rate
        self._kept = connections
        self._loop = asyncio.get_running_loop()
        self._loop.set_debug(False)
        self._free: deque[Connection] = deque()
        self._due: deque[float] = deque()
        self._connections: set[Connection] = set()
        self._under_way = 0
        self._making: set[asyncio.Task[None]] = set()
        self._outcomes: list[Any] = []
        self._idle = asyncio.Event()
        self._stopped = False

    async def run(self, told_to_stop: asyncio.Event) -> None:
        """Send until *told_to_stop*, then wait for the last answers."""
        await asyncio.gather(*(self._connect() for _ in range(self._kept)))
        _say([])
        reporting = asyncio.create_task(self._keep_reporting())
        await self._send(told_to_stop)
        await self._finish()
        reporting.cancel()
        self._report()

    async def _finish(self) -> None:
        """Wait for what is under way; what takes too long has no answer."""
        self._stopped = True
        self._idle.clear()
        if self._under_way:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _LAST_ANSWER_SECONDS)
        for connection in self._connections:
            connection.give_up()
        while self._due:
            self.finished(self._due.popleft(), None)

    async def _send(self, told_to_stop: asyncio.Event) -> None:
        start, sent = time.monotonic(), 0
        while not told_to_stop.is_set():
            now = time.monotonic()
            while start + sent / self._rate <= now:
                self._release(now)
                sent += 1
            await asyncio.sleep(max(0.0, start + sent / self._rate - time.monotonic()))

    def _release(self, now: float) -> None:
        self._under_way += 1
        if self._free:
            self._free.popleft().ask(self._request, now)
            return
        self._due.append(now)
        if len(self._connections) < _MOST_CONNECTIONS:
            self._make()

    def _make(self) -> None:
        making = asyncio.create_task(self._connect())
        self._making.add(making)
        making.add_done_callback(self._making.discard)

    async def _connect(self) -> None:
        connection = Connection(self)
        self._connections.add(connection)
        try:
            await self._loop.create_connection(lambda: connection, "127.0.0.1", self._port)
        except OSError:
            self._connections.discard(connection)
            if self._due:
                self.finished(self._due.popleft(), None)

    def free(self, connection: Connection) -> None:
        """*connection* can take a request."""
        if self._due:
            connection.ask(self._request, self._due.popleft())
        elif len(self._connections) > self._kept:
            connection.close()
        else:
            self._free.append(connection)

    def gone(self, connection: Connection) -> None:
        """*connection* is closed; another one takes its place."""
        self._connections.discard(connection)
        if connection in self._free:
            self._free.remove(connection)
        if not self._stopped and len(self._connections) < self._kept:
            self._make()

    def finished(self, sent: float, reply: list[Any] | None) -> None:
        """One request has its answer, or will have none."""
        self._outcomes.append((sent, time.monotonic(), reply))
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def _keep_reporting(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            self._report()

    def _report(self) -> None:
        outcomes, self._outcomes = self._outcomes, []
        if outcomes:
            _say(outcomes)


class Connection(asyncio.Protocol):
    """One connection with one request under way at most; the parser calls its ``on_`` methods."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._transport: asyncio.Transport | None = None
        self._sent: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[str, str]] = []
        self._body = b""
        self._framed = False
        self._head_done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be free."""
        # uvloop's own class, which inherits from none of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._client.free(self)

    def ask(self, request: bytes, now: float) -> None:
        """Send *request*."""
        self._sent = now
        self._begin()
        if self._transport is not None:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """A piece of the answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end(complete=False)
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        """One line of the head."""
        lowered = name.lower()
        self._framed = self._framed or lowered in (b"content-length", b"transfer-encoding")
        if lowered not in _OWN:
            self._headers.append((lowered.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The body follows."""
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._body += body

    def on_message_complete(self) -> None:
        """The answer is whole."""
        keep = self._parser.should_keep_alive()
        self._end(complete=True)
        if keep:
            self._client.free(self)
        else:
            self.close()

    def connection_lost(self, _error: Exception | None) -> None:
        """An answer that has no length ends here, others break off."""
        self._end(complete=self._head_done and not self._framed)
        self._client.gone(self)

    def give_up(self) -> None:
        """Wait no longer."""
        self._end(complete=False)

    def _end(self, *, complete: bool) -> None:
        sent, self._sent = self._sent, None
        if sent is None:
            return
        reply = None
        if self._head_done:
            status = self._parser.get_status_code()
            reply = [status, self._headers, self._body.decode("latin-1"), complete]
        self._client.finished(sent, reply)

    def close(self) -> None:
        """It is not needed any more."""
        if self._transport is not None:
            self._transport.close()


def _say(content: list[Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(content) + b"\n")
    sys.stdout.buffer.flush()


async def main() -> None:
    """Read the command line and standard input, send, report."""
    port, rate, connections = sys.argv[1:]
    request = base64.b64decode(sys.stdin.buffer.readline())
    told_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), told_to_stop.set)
    await Client(int(port), request, float(rate), int(connections)).run(told_to_stop)


if __name__ == "__main__":
    uvloop.run(main())
