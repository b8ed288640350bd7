"""What HTTP/2 upstreams do in the tests of both transports."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from proxying.upstream.base import UpstreamAnswer
from tests.upstream.h2_server import H2Server, Script, Stream

Serve = Callable[[Script], Awaitable[H2Server]]


@asynccontextmanager
async def h2_servers(tls: ssl.SSLContext | None) -> AsyncIterator[Serve]:
    """Starts upstreams that run a script, and stops them when the block ends."""
    started: list[H2Server] = []

    async def start(script: Script) -> H2Server:
        server = H2Server(script, tls)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop()


async def ok(stream: Stream) -> None:
    """Answer what is here whole."""
    await stream.ended.wait()
    stream.respond((":status", "200"), ("content-length", "2"))
    stream.send(b"ok", end=True)


async def hold(stream: Stream) -> None:
    """Begin an answer and never end it."""
    stream.respond((":status", "200"))
    stream.send(b"begun")


async def body_of(answer: UpstreamAnswer) -> bytes:
    """All of it."""
    pieces = []
    while piece := await answer.read():
        pieces.append(piece)
    return b"".join(pieces)
