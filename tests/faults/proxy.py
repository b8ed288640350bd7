"""A TCP proxy that misbehaves on command, between the gateway and an upstream or a store."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import Literal

from tests.servers import find_free_port
from tests.support.upstream import end_serving

_PIECE = 65_536
_BEGIN_OF_HEAD = b"HTTP/"
_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True)
class Fault:
    """What goes wrong on a connection; the default is nothing.

    ``delay`` seconds before each piece of an answer, ``drip`` seconds after each ``drop`` of its
    head, ``throttle`` bytes a second, ``blackhole`` swallows everything, ``garbage`` answers with
    bytes that mean nothing. After ``cut_after`` bytes of an answer the connection is reset, or with
    ``half_close`` only its sending side ends.
    """

    delay: float = 0.0
    drip: float = 0.0
    drop: Literal["byte", "line"] = "byte"
    throttle: int = 0
    blackhole: bool = False
    garbage: bool = False
    cut_after: int | None = None
    half_close: bool = False


HEALTHY = Fault()


@dataclass
class FaultyProxy:
    """Listens on a port of its own before *target*; ``fault`` may change at any moment."""

    target: int
    fault: Fault = HEALTHY
    accepted: int = 0
    port: int = field(default_factory=find_free_port)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_debug(False)  # Else a network would be slower than the gateway's patience.
        self._ready = threading.Event()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def url(self) -> str:
        """What an instance of a service is given."""
        return f"http://127.0.0.1:{self.port}"

    def reset_all(self) -> None:
        """Reset every connection that is open now."""
        for writer in tuple(self._writers):
            self._loop.call_soon_threadsafe(_reset, writer)

    def stop(self) -> None:
        """Close everything and end the thread."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self._ready.set()
        await self._ended.wait()
        await end_serving(server)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._writers.add(writer)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            async with asyncio.TaskGroup() as group:
                down = group.create_task(self._down(upstream_reader, writer))
                up = group.create_task(self._up(reader, upstream_writer))
                await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
                down.cancel()
                up.cancel()
        except* OSError:
            pass
        finally:
            upstream_writer.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(_PIECE):
            if not self.fault.blackhole:
                writer.write(piece)
                await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = 0
        while piece := await reader.read(_PIECE):
            fault = self.fault
            await asyncio.sleep(fault.delay)
            if fault.garbage:
                piece = b"\x00\xffgarbage" * 8
            if fault.cut_after is not None and sent + len(piece) > fault.cut_after:
                writer.write(piece[: fault.cut_after - sent])
                await writer.drain()
                await self._cut(fault, reader, writer)
                return
            sent += len(piece)
            if fault.drip and piece.startswith(_BEGIN_OF_HEAD):
                piece = await _drip(fault, piece, writer)
            for part in _parts(piece, fault.throttle):
                writer.write(part)
                await writer.drain()
                if fault.throttle:
                    await asyncio.sleep(len(part) / fault.throttle)

    async def _cut(
        self, fault: Fault, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not fault.half_close:
            _reset(writer)
            return
        writer.write_eof()
        await reader.read()


async def _drip(fault: Fault, piece: bytes, writer: asyncio.StreamWriter) -> bytes:
    """Send the head that *piece* begins with drop by drop; what follows the head in it."""
    head, end, body = piece.partition(_END_OF_HEAD)
    lines = (head + end).splitlines(keepends=True)
    drops = lines if fault.drop == "line" else [bytes([one]) for one in head + end]
    for drop in drops:
        writer.write(drop)
        await writer.drain()
        await asyncio.sleep(fault.drip)
    return body


def _parts(piece: bytes, throttle: int) -> list[bytes]:
    size = max(1, throttle // 20) if throttle else len(piece)
    return [piece[start : start + size] for start in range(0, len(piece), size)]


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
