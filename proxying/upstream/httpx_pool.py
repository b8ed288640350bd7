"""The httpx connections to one origin: one exchange at a time on each, idle ones for a while.

Each is a transport of httpx that never holds more than one connection: httpx cannot give up one
stream of a shared one. Leans on httpx alone.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from typing import Any

import httpx

from proxying.upstream.base import ConnectFailed
from proxying.upstream.httpx_request import within


class Channel:
    """One connection: an httpx transport, and what is known of it."""

    def __init__(self, address: str, tls: ssl.SSLContext) -> None:
        self.address = address
        self.idle_since = 0.0
        self.stream: Any = None
        """httpcore's network stream, once an answer came over it."""
        limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
        self.transport = httpx.AsyncHTTPTransport(
            verify=tls, http2=True, trust_env=False, limits=limits
        )

    @property
    def quiet(self) -> bool:
        """Whether nothing was heard on it since it is idle."""
        return self.stream is not None and not self.stream.get_extra_info("is_readable")

    @property
    def spotless(self) -> bool:
        """Whether nothing came beyond the answer: in HTTP/1.1 it would be taken for the next one.

        httpx has no word for that; a connection of a shape that is not known is not used again.
        """
        connections = self.transport._pool.connections
        inner = getattr(connections[0], "_connection", None) if connections else None
        state = getattr(inner, "_h11_state", None)
        return hasattr(inner, "_h2_state") or (state is not None and not state.trailing_data[0])

    async def close(self) -> None:
        """Close, whatever state httpx is in: nobody is left who could be told."""
        try:
            await self.transport.aclose()
        except (httpx.HTTPError, OSError, RuntimeError):
            if self.stream is not None:
                await self.stream.aclose()


class Pool:
    """At most *most* exchanges at once; idle connections are closed after *idle_seconds*."""

    def __init__(self, most: int, idle_seconds: float) -> None:
        self._turns = asyncio.Semaphore(most)
        self._users = 0
        self._idle: deque[Channel] = deque()
        self._idle_seconds = idle_seconds
        self._loop = asyncio.get_running_loop()
        self._closing: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """Connections that wait for a request."""
        return len(self._idle)

    @property
    def unused(self) -> bool:
        """Whether it has no connection and nobody asks for one."""
        return not (self._users or self._idle or self._closing)

    async def enter(self, seconds: float) -> None:
        """Wait for a turn, which :meth:`leave` gives back. Raises ``UpstreamTimeout`` and
        ``ConnectFailed``.
        """
        if self._closed:
            raise ConnectFailed("the transport is closed")
        self._users += 1
        try:
            async with within(seconds, "connect"):
                await self._turns.acquire()
        except BaseException:
            self._users -= 1
            raise

    def leave(self) -> None:
        """The turn is over."""
        self._users -= 1
        self._turns.release()

    def take(self) -> Channel | None:
        """The idle connection used last, if one is still good."""
        while self._idle:
            channel = self._idle.pop()
            if channel.quiet:
                return channel
            self.discard(channel)
        return None

    def keep(self, channel: Channel) -> None:
        """Its exchange is whole: another one may use it."""
        if self._closed or not channel.spotless:
            self.discard(channel)
            return
        channel.idle_since = self._loop.time()
        self._idle.append(channel)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._idle_seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle too long; the one idle longest is always first."""
        self._sweeper = None
        oldest = self._loop.time() - self._idle_seconds
        while self._idle and self._idle[0].idle_since <= oldest:
            self.discard(self._idle.popleft())
        if self._idle:
            when = self._idle[0].idle_since + self._idle_seconds
            self._sweeper = self._loop.call_at(when, self._sweep)

    def discard(self, channel: Channel) -> None:
        """Close a connection, without waiting for that."""
        task = self._loop.create_task(channel.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def close(self) -> None:
        """Close every idle connection; those of running exchanges close after them."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        while self._idle:
            self.discard(self._idle.pop())

    async def closed(self) -> None:
        """Until everything that is being closed is."""
        while self._closing:
            await asyncio.wait(self._closing)
