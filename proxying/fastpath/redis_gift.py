"""A connection to Redis for the engine: signed in, on its database, with the script loaded."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from redis.asyncio.connection import parse_url

from proxying.wire.resolve import connected_socket
from quotas.stores.redis import SCRIPT
from runtime.redis_place import Place

_SECONDS = 2.0
_PLAIN = frozenset(("host", "port", "username", "password", "db"))


class RedisGift:
    """Connects to a single Redis over TCP. Raises ``ValueError`` for any other place."""

    def __init__(self, place: Place) -> None:
        parts: dict[str, Any] = dict(parse_url(place.url)) if place.url else {"cluster": True}
        if not _PLAIN.issuperset(parts):
            raise ValueError("the fast path speaks to a single Redis without TLS")
        self.prefix = place.prefix
        self._host = str(parts.get("host", "localhost"))
        self._port = int(parts.get("port", 6379))
        self._greeting = _greeting(parts)

    async def connection(self) -> int:
        """A descriptor that whoever takes it closes. Raises ``OSError`` or ``TimeoutError``."""
        async with asyncio.timeout(_SECONDS):
            sock = await connected_socket(self._host, self._port)
            try:
                await self._greet(sock)
            except BaseException:
                sock.close()
                raise
        return sock.detach()

    async def _greet(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for command in self._greeting:
            await loop.sock_sendall(sock, _encoded(command))
            reply = b""
            while not reply.endswith(b"\r\n"):
                piece = await loop.sock_recv(sock, 1024)
                if not piece:
                    raise ConnectionResetError("Redis has left")
                reply += piece
            if reply.startswith(b"-"):
                raise ConnectionRefusedError(f"Redis refuses {command[0].decode()}")


def _greeting(parts: dict[str, Any]) -> list[list[bytes]]:
    commands: list[list[bytes]] = []
    if parts.get("password"):
        names = [str(parts["username"])] if parts.get("username") else []
        commands.append(
            [b"AUTH", *(one.encode() for one in names), str(parts["password"]).encode()]
        )
    if parts.get("db"):
        commands.append([b"SELECT", b"%d" % int(parts["db"])])
    return [*commands, [b"SCRIPT", b"LOAD", SCRIPT.encode()]]


def _encoded(command: list[bytes]) -> bytes:
    parts = [b"$%d\r\n%b\r\n" % (len(part), part) for part in command]
    return b"*%d\r\n%b" % (len(parts), b"".join(parts))
