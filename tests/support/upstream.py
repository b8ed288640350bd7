"""A scripted upstream on a socket of its own: records what it receives, answers what it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Received:
    """One request as it came: the head's bytes, and the body with its framing taken off."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> str:
        """The request line."""
        return self.head.split(b"\r\n")[0].decode("latin-1")

    @property
    def target(self) -> str:
        """The request target."""
        return self.line.split(" ")[1]

    def all(self, name: str) -> list[str]:
        """Every value of header *name*, in order."""
        pairs = (line.partition(b":") for line in self.head.split(b"\r\n")[1:] if line)
        return [
            value.strip().decode("latin-1")
            for key, _, value in pairs
            if key.lower() == name.lower().encode()
        ]

    def get(self, name: str) -> str | None:
        """The first value of header *name*."""
        return next(iter(self.all(name)), None)


Script = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _ok(
    request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(OK)


def answering(data: bytes, *, close: bool = False) -> Script:
    """A script that writes *data* to every request, and closes after it if asked."""

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(data)
        if close:
            await writer.drain()
            writer.close()

    return script


def flooding(stalled: threading.Event, most: int) -> Script:
    """A script that answers with *most* bytes; says when nobody takes them for half a second."""

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % most)
        for _ in range(most // 65_536):
            writer.write(bytes(65_536))
            try:
                await asyncio.wait_for(writer.drain(), 0.5)
            except TimeoutError:
                stalled.set()
                await writer.drain()

    return script


@dataclass
class Upstream:
    """Serves in a thread with a loop of its own until :meth:`stop`."""

    script: Script = _ok
    read_body: bool = True
    requests: list[Received] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_debug(False)  # Else it could not follow a load.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait()

    @property
    def url(self) -> str:
        """What an instance of a service is given."""
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Forget what came and answer 200 again."""
        self.requests.clear()
        self.script = _ok
        self.read_body = True

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._accept, "127.0.0.1", self.port)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(end_serving(server))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                received = Received(head)
                self.requests.append(received)
                if self.read_body:
                    received.body = await _read_body(received, reader)
                await self.script(received, reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


async def end_serving(server: asyncio.Server) -> None:
    """Accept nothing more, cancel every other task of this loop after it has begun, close *server*.

    A server that is closed while it accepts leaves that connection's socket open: it cannot be
    attached any more.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener)
    # What was accepted this moment has its task two turns of the loop later.
    for _ in range(3):
        await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    server.close()
    await asyncio.sleep(0)


async def _read_body(request: Received, reader: asyncio.StreamReader) -> bytes:
    if request.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
        return body
    return await reader.readexactly(int(request.get("content-length") or 0))
