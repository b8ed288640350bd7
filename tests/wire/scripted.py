"""An upstream whose every byte is the test's, and short ways to ask it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from proxying.exchange import EMPTY, Body, Bytes, Headers
from proxying.upstream.base import Origin, Timeouts, UpstreamRequest
from proxying.upstream.native import NativeTransport
from proxying.wire.answer import Answer
from proxying.wire.pool import PoolStats

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Serve = Callable[["Script | bytes"], Awaitable["ScriptedUpstream"]]
PATIENT = Timeouts(connect=20, first_byte=20, read=20, total=20)
HASTY = Timeouts(connect=20, first_byte=0.05, read=0.05, total=20)


class Peer:
    """One connection, as the upstream sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> bytes:
        """The next request's head; ``b""`` when the connection ends instead."""
        try:
            return await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    async def gone(self) -> None:
        """Until the other side ended the connection."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class ScriptedUpstream:
    """Runs *script* for every connection and closes it when the script returns."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.closed = asyncio.Event()
        """A connection has ended."""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        scheme = "https" if self._tls else "http"
        self.origin = Origin(scheme, "127.0.0.1", port, b"127.0.0.1:%d" % port)

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._script(Peer(reader, writer))
            if not writer.is_closing():
                await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self.closed.set()
            self._tasks.discard(task)


def request(
    method: str = "GET",
    target: bytes = b"/",
    headers: Headers | None = None,
    body: Body = EMPTY,
    *,
    force_length: bool = False,
) -> UpstreamRequest:
    """A request with a Host and nothing else unless told."""
    return UpstreamRequest(
        method, target, headers or [(b"host", b"upstream")], body, force_length=force_length
    )


async def read_all(answer: Answer) -> bytes:
    """The whole body."""
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    return b"".join(pieces)


async def ask(
    transport: NativeTransport,
    upstream: ScriptedUpstream,
    asked: UpstreamRequest | None = None,
    timeouts: Timeouts = PATIENT,
) -> tuple[int, bytes]:
    """Send, read to the end, let go: status and body."""
    answer = await transport.send(upstream.origin, asked or request(), timeouts)
    try:
        return answer.status, await read_all(answer)
    finally:
        answer.close()


class Pieces:
    """A body that comes piece by piece; it fails with *error* or waits at its end if told to."""

    def __init__(
        self,
        *pieces: bytes,
        size: int | None = None,
        error: Exception | None = None,
        wait: bool = False,
    ) -> None:
        self.size = size
        self._pieces = list(pieces)
        self._error = error
        self._wait = wait
        self.stopped = asyncio.Event()
        """A read that waited was cancelled."""

    async def read(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if self._error is not None:
            raise self._error
        if self._wait:
            try:
                await asyncio.Event().wait()
            finally:
                self.stopped.set()
        return b""


def whole(content: bytes) -> Bytes:
    """A body that is here already."""
    return Bytes(content)


class Turnstile:
    """Answers one request for every :meth:`let`; counts those that wait for it."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(0)
        self.targets: list[bytes] = []
        self.arrivals: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(self, peer: Peer) -> None:
        while head := await peer.request():
            self.targets.append(head.split()[1])
            self.arrivals.put_nowait(head.split()[1])
            await self._turns.acquire()
            peer.send(OK)

    def let(self, count: int = 1) -> None:
        for _ in range(count):
            self._turns.release()


def only(transport: NativeTransport) -> PoolStats:
    """Of the one origin it has a pool for."""
    (stats,) = transport.stats.values()
    return stats
