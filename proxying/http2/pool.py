"""The HTTP/2 connections to one origin: another one only when those there are full.

Whoever finds no room waits in a queue until a stream ends. Leans on ``proxying.http2.connection``
and on ``proxying.wire.resolve``; it knows nothing of requests.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from contextlib import suppress

from proxying.http2.connection import Connection
from proxying.upstream.base import (
    ConnectFailed,
    Origin,
    ProtocolViolation,
    Stage,
    UpstreamTimeout,
)
from proxying.wire.resolve import AddressRule, connected_socket

_IDLE_SECONDS = 60.0
_MOST_WAITING = 1024
_PROBES = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
"""TCP looks whether the upstream is there: gRPC servers hold PING frames against their sender."""


class Pool:
    """Connections to *origin*, with TLS when *tls* is given."""

    def __init__(
        self,
        origin: Origin,
        *,
        tls: ssl.SSLContext | None,
        most: int,
        allowed: AddressRule | None,
    ) -> None:
        self._origin = origin
        self._tls = tls
        self._most = most
        self._allowed = allowed
        self._loop = asyncio.get_running_loop()
        self._connections: list[Connection] = []
        self._leaving: set[Connection] = set()
        """They take no stream: not yet, or only those they have."""
        self._making: asyncio.Task[Connection] | None = None
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._asking = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def open(self) -> int:
        """Connections there are."""
        return len(self._connections) + len(self._leaving)

    @property
    def unused(self) -> bool:
        """Whether it has no connection and nobody asks for one."""
        return not self.open and not self._asking and self._making is None

    async def acquire(self, seconds: float, stage: Stage) -> Connection:
        """A connection with room, within *seconds*; the caller opens its stream at once.

        Raises ``UpstreamTimeout`` of *stage*, ``ConnectFailed`` and ``ProtocolViolation``.
        """
        self._asking += 1
        try:
            async with asyncio.timeout(seconds):
                return await self._acquire()
        except TimeoutError as error:
            raise UpstreamTimeout(stage) from error
        finally:
            self._asking -= 1
            if not self._asking and self._making is not None:
                self._making.cancel()  # nobody waits for it any more
                self._making = None  # nor may whoever asks before it has ended

    async def _acquire(self) -> Connection:
        waited = False
        while True:
            if self._closed:
                raise ConnectFailed("the transport is closed")
            connection = next((each for each in self._connections if each.has_room), None)
            if connection is not None:
                if waited:
                    self.roomier()  # where there was room for one, there may be for the next
                return connection
            making = self._connecting()
            if making is not None:
                await asyncio.shield(making)
            else:
                await self._turn(again=waited)
                waited = True

    def _connecting(self) -> asyncio.Task[Connection] | None:
        """Another connection on its way, if there may be one."""
        if self._making is None and len(self._connections) < self._most:
            self._making = self._loop.create_task(self._make())
            self._making.add_done_callback(self._made)
        return self._making

    async def _turn(self, *, again: bool) -> None:
        """Until there may be room; who comes *again* finding none keeps its place."""
        if len(self._waiters) >= _MOST_WAITING and not again:
            raise ConnectFailed("too many requests wait for a connection")
        waiter = self._loop.create_future()
        if again:
            self._waiters.appendleft(waiter)
        else:
            self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                with suppress(ValueError):  # it was passed over in the same moment
                    self._waiters.remove(waiter)
            else:
                self.roomier()
            raise

    def _made(self, task: asyncio.Task[Connection]) -> None:
        if self._making is task:
            self._making = None
        if not task.cancelled():
            task.exception()  # whoever waits sees it; none may wait
        self.roomier()

    async def _make(self) -> Connection:
        """A connection whose upstream has greeted; closed again when nobody waits for that."""
        try:
            sock = await connected_socket(self._origin.host, self._origin.port, self._allowed)
            connection = await self._connect(sock)
        except (OSError, UnicodeError) as error:
            raise ConnectFailed(str(error)) from error
        if not connection.agreed:
            connection.close()
            raise ProtocolViolation("the upstream does not speak HTTP/2")
        self._leaving.add(connection)
        try:
            await connection.greeted
        except asyncio.CancelledError:
            connection.close()
            raise
        if isinstance(connection.failure, ProtocolViolation):
            raise connection.failure
        if connection.closed:
            raise ConnectFailed("the connection ended as soon as it was made")
        self._leaving.discard(connection)
        self._connections.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_IDLE_SECONDS, self._sweep)
        return connection

    async def _connect(self, sock: socket.socket) -> Connection:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        connection = Connection(self._loop, self)
        try:
            await self._loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._tls,
                server_hostname=self._origin.server_name if self._tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    def roomier(self) -> None:
        """There may be room for whoever waits longest."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def lost(self, connection: Connection) -> None:
        """*connection* takes no stream any more."""
        if connection in self._connections:
            self._connections.remove(connection)
        if connection.closed:
            self._leaving.discard(connection)
        else:
            self._leaving.add(connection)
        self.roomier()

    def _sweep(self) -> None:
        """Close what had no stream for long."""
        self._sweeper = None
        oldest = self._loop.time() - _IDLE_SECONDS
        for connection in tuple(self._connections):
            if connection.idle and connection.idle_since <= oldest:
                connection.close()
        if self._connections:
            self._sweeper = self._loop.call_later(_IDLE_SECONDS / 2, self._sweep)

    def close(self) -> None:
        """End every connection, busy ones too, and turn the waiting away."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in (*self._connections, *self._leaving):
            connection.close()
        while self._waiters:
            self.roomier()
