"""The connections to one origin: at most so many, reused last in first out, queued for in order.

A slot is counted from the moment a connection is being made until it is gone. Whoever finds none
free waits in a queue for a connection that is given back or a slot that falls free, and gets it
handed over, so that nobody who came later overtakes. Leans on ``proxying.wire.client`` and
``proxying.wire.resolve``; it knows nothing of requests.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

from proxying.exchange import Begun
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    Stage,
    Timeouts,
    UpstreamTimeout,
)
from proxying.wire.client import Connection
from proxying.wire.resolve import AddressRule, connected_socket


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What every pool of a transport keeps to."""

    connections: int
    waiting: int
    idle_seconds: float
    header_bytes: int


@dataclass(frozen=True, slots=True)
class PoolStats:
    """``open`` counts connections being made, busy and idle ones; ``waiting`` counts requests."""

    open: int
    idle: int
    waiting: int


class Pool:
    """Connections to *host*:*port*, with TLS when *tls* is given, to whom *server_name* names."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None,
        server_name: str,
        limits: PoolLimits,
        allowed: AddressRule | None,
    ) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._server_name = server_name
        self._limits = limits
        self._allowed = allowed
        self._loop = asyncio.get_running_loop()
        self._slots = 0
        self._asking = 0
        self._live: set[Connection] = set()
        self._idle: list[Connection] = []
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def stats(self) -> PoolStats:
        """How many connections and waiting requests there are now."""
        return PoolStats(self._slots, len(self._idle), len(self._waiters))

    @property
    def unused(self) -> bool:
        """Whether it has no connection and nobody asks for one."""
        return not self._slots and not self._asking

    def take(self) -> Connection | None:
        """The idle connection used last, if one is still good."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
            connection.discard()
        return None

    async def acquire(self, seconds: float, stage: Stage, *, fresh: bool = False) -> Connection:
        """A connection within *seconds*, a newly made one if *fresh*.

        Raises ``UpstreamTimeout`` of *stage* and ``ConnectFailed``.
        """
        self._asking += 1
        try:
            async with asyncio.timeout(seconds):
                return await self._acquire(fresh=fresh)
        except TimeoutError as error:
            raise UpstreamTimeout(stage) from error
        finally:
            self._asking -= 1

    async def _acquire(self, *, fresh: bool) -> Connection:
        while True:
            if self._closed:
                raise ConnectFailed("the transport is closed")
            connection = None if fresh else self.take()
            if connection is not None:
                return connection
            if self._slots < self._limits.connections:
                self._slots += 1
                return await self._connect()
            if self._idle:
                self._idle[0].discard()
                continue
            connection = await self._wait_turn()
            if connection is None:
                return await self._connect()
            if fresh or not connection.usable():
                connection.discard()
                continue
            return connection

    async def _connect(self) -> Connection:
        """Make a connection on a slot that is already counted."""
        try:
            connection = await self._open()
        except TimeoutError:
            self._free_slot()
            raise
        except (OSError, UnicodeError) as error:
            self._free_slot()
            raise ConnectFailed(str(error)) from error
        except BaseException:
            self._free_slot()
            raise
        if connection.closed:
            self._free_slot()
            raise ConnectFailed("the connection ended as soon as it was made")
        self._live.add(connection)
        if self._closed:
            connection.discard()
            raise ConnectFailed("the transport is closed")
        return connection

    async def _open(self) -> Connection:
        sock = await connected_socket(self._host, self._port, self._allowed)
        connection = Connection(self._loop, sock, self, self._limits.header_bytes)
        try:
            await self._loop.create_connection(
                lambda: connection,
                sock=sock,
                ssl=self._tls,
                server_hostname=self._server_name if self._tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def adopt(self, sock: socket.socket, begun: Begun, timeouts: Timeouts) -> Connection:
        """A connection of the fast path's, in the middle of an exchange. Raises ConnectFailed."""
        connection = Connection(self._loop, sock, self, self._limits.header_bytes)
        connection.expect_rest(begun, timeouts)
        self._slots += 1
        self._live.add(connection)
        try:
            await self._loop.create_connection(lambda: connection, sock=sock)
        except BaseException as error:
            sock.close()
            if connection in self._live:
                self._live.remove(connection)
                self._free_slot()
            if isinstance(error, OSError):
                raise ConnectFailed(str(error)) from error
            raise
        return connection

    async def _wait_turn(self) -> Connection | None:
        """A connection somebody gave back, or ``None``: a slot, counted, to make one on."""
        if len(self._waiters) >= self._limits.waiting:
            raise ConnectFailed("too many requests wait for a connection")
        waiter: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                # Whoever gave back in the same moment has passed it over.
                with suppress(ValueError):
                    self._waiters.remove(waiter)
            elif waiter.exception() is None:
                self._give_back(waiter.result())
            raise

    def _give_back(self, turn: Connection | None) -> None:
        if turn is None:
            self._free_slot()
        else:
            self.released(turn)

    def _next_waiter(self) -> asyncio.Future[Connection | None] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _free_slot(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
            return
        self._slots -= 1

    def released(self, connection: Connection) -> None:
        """A connection came back whole: the first waiter's, else idle."""
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(connection)
            return
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._limits.idle_seconds, self._sweep)

    def lost(self, connection: Connection) -> None:
        """A connection is gone; one that was never handed out has its slot freed elsewhere."""
        if connection not in self._live:
            return
        self._live.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._free_slot()

    def _sweep(self) -> None:
        """Drop what was idle too long; the one idle longest is always first."""
        self._sweeper = None
        oldest_allowed = self._loop.time() - self._limits.idle_seconds
        while self._idle and self._idle[0].idle_since <= oldest_allowed:
            self._idle[0].discard()
        if self._idle:
            when = self._idle[0].idle_since + self._limits.idle_seconds
            self._sweeper = self._loop.call_at(when, self._sweep)

    def close(self) -> None:
        """Drop every connection, busy ones too, and turn the waiting away."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(ConnectFailed("the transport is closed"))
        for connection in tuple(self._live):
            connection.fail(ConnectionReset("the transport was closed"))
