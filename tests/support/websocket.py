"""A WebSocket upstream on a thread of its own; the path of a handshake says what it does."""

from __future__ import annotations

import asyncio
import queue
import threading
from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

_LARGEST = 4 * 1024 * 1024


class ThreadedServer(ABC):
    """A server on a thread of its own, which has begun when this is made."""

    def __init__(self) -> None:
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))
        self._thread.start()
        assert self._ready.wait(20)

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    @abstractmethod
    def _serve(self) -> AbstractAsyncContextManager[Server]:
        """The server, while the block runs."""

    async def _run(self) -> None:
        async with self._serve() as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._stopping.wait()


class WebSocketUpstream(ThreadedServer):
    """Echoes; ``/close`` closes with 4001, ``/die`` drops the connection at the first message,
    ``/fragments`` tells the sizes of a message's fragments and sends such, ``/ping`` pings and
    tells of the pong, ``/refuse`` answers the handshake with 403.
    """

    def __init__(self) -> None:
        self.handshakes: list[Request] = []
        self.ended: queue.Queue[int | None] = queue.Queue()
        """How each connection ended: its close code, 1006 where there was none."""
        super().__init__()

    @property
    def url(self) -> str:
        """What an instance of a service is given."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Forget what came."""
        self.handshakes.clear()
        self.ended = queue.Queue()

    def _serve(self) -> AbstractAsyncContextManager[Server]:
        return serve(
            self._handle,
            "127.0.0.1",
            process_request=self._greet,
            select_subprotocol=lambda _, offered: next(iter(offered), None),
            max_size=_LARGEST,
            close_timeout=1,
        )

    def _greet(self, connection: ServerConnection, request: Request) -> Response | None:
        self.handshakes.append(request)
        if request.path.endswith("/refuse"):
            return connection.respond(HTTPStatus.FORBIDDEN, "not you\n")
        return None

    async def _handle(self, connection: ServerConnection) -> None:
        ended = self.ended
        assert connection.request is not None
        action = connection.request.path.rpartition("/")[2]
        try:
            await getattr(self, f"_{action}", self._echo)(connection)
        except ConnectionClosed:
            pass
        finally:
            await connection.wait_closed()
            ended.put(connection.close_code)

    async def _echo(self, connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def _fragments(self, connection: ServerConnection) -> None:
        sizes = [len(fragment) async for fragment in connection.recv_streaming()]
        await connection.send(" ".join(map(str, sizes)))
        await connection.send(["a" * size for size in sizes])

    async def _close(self, connection: ServerConnection) -> None:
        await connection.close(4001, "enough")

    async def _die(self, connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.abort()

    async def _ping(self, connection: ServerConnection) -> None:
        await (await connection.ping(b"are you there"))
        await connection.send("pong came")
