"""A WebSocket echo server on a thread of its own, and a client that speaks frames, not messages."""

from __future__ import annotations

import socket
import struct
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.support.websocket import ThreadedServer

LARGEST = 32 * 1024 * 1024
_MASK = b"\x11\x22\x33\x44"


class Echo(ThreadedServer):
    """Gives back every message; agrees to permessage-deflate where it is offered."""

    def _serve(self) -> AbstractAsyncContextManager[Server]:
        return serve(self._echo, "127.0.0.1", max_size=LARGEST, ping_interval=None, close_timeout=2)

    async def _echo(self, connection: ServerConnection) -> None:
        try:
            async for message in connection:
                await connection.send(message)
        except ConnectionClosed:
            return


@dataclass(frozen=True)
class Frame:
    """One frame; ``first`` is FIN, the three reserved bits and the opcode."""

    first: int
    payload: bytes

    @property
    def opcode(self) -> int:
        """The kind of frame."""
        return self.first & 0x0F


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame, masked."""
    first = (0x80 if fin else 0) | (rsv << 4) | opcode
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    key = int.from_bytes((_MASK * (size // 4 + 1))[:size])
    masked = (int.from_bytes(payload) ^ key).to_bytes(size) if size else b""
    return head + _MASK + masked


class Player:
    """One WebSocket, opened at *path*; everything on it is the test's."""

    def __init__(self, port: int, path: str, *lines: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = [
            f"GET {path} HTTP/1.1", "Host: gateway.test", "Upgrade: websocket",
            "Connection: Upgrade", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", *lines, "", "",
        ]  # fmt: skip
        self.socket.sendall("\r\n".join(request).encode())
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer and self._more():
            pass
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        self.answer = head.decode("latin-1").lower()
        assert " 101 " in self.answer

    def __enter__(self) -> Player:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes, chop: int = 0) -> None:
        """Write *data*, in pieces of *chop* bytes if told so; a peer that is gone is no error."""
        step = chop or max(len(data), 1)
        try:
            for start in range(0, len(data), step):
                self.socket.sendall(data[start : start + step])
        except OSError:
            return

    def frames(self, until: bytes | None = None) -> list[Frame]:
        """What comes until the connection ends, or a frame of the payload *until*.

        A Close is answered, then the end is waited for.
        """
        found: list[Frame] = []
        while (one := self._frame()) is not None:
            found.append(one)
            if one.payload == until:
                break
            if one.opcode == 8:
                self.send(frame(8, one.payload[:2]))
        return found

    def frame(self) -> Frame:
        """The next frame."""
        one = self._frame()
        assert one is not None
        return one

    def _frame(self) -> Frame | None:
        head = self._exactly(2)
        if len(head) < 2:
            return None
        size = head[1] & 0x7F
        assert not head[1] & 0x80, "a server's frame is masked"
        if size >= 126:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8))
        return Frame(head[0], self._exactly(size))

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size and self._more():
            pass
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> bool:
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionResetError:
            return False
        self._buffer += data
        return bool(data)
