"""The origin behind a front under test: a scripted upstream that knows which requests were whole.

Leans on ``tests.support.upstream`` for sockets and thread. A request whose body breaks off or is
malformed is never in ``whole``, so a test can tell "something was begun" from "it was executed".
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from tests.support.upstream import OK, Received, Script, Upstream

BARRIER = "/barrier"
"""A target that ends so is answered at once and not recorded."""


@dataclass(frozen=True)
class Whole:
    """A request that arrived to its last byte. ``connection`` is a number no other one has: ports
    of connections that ended are given out again.
    """

    received: Received
    connection: int

    @property
    def target(self) -> str:
        """The request target."""
        return self.received.target

    @property
    def method(self) -> str:
        """The request method."""
        return self.received.line.split(" ")[0]


async def _answer_ok(
    request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(OK)


async def read_body(request: Received, reader: asyncio.StreamReader) -> bytes:
    """The body of *request*, its framing taken off; ``ConnectionError`` when it is malformed."""
    if request.get("transfer-encoding") is None:
        return await reader.readexactly(int(request.get("content-length") or 0))
    body = b""
    try:
        while size := int((await reader.readline()).strip(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
    except ValueError as error:
        raise ConnectionError("a malformed body") from error
    await reader.readline()
    return body


@dataclass
class Origin:
    """Answers every whole request with ``script``; ``begun`` may take one over at its head."""

    script: Script = _answer_ok
    begun: Script | None = None
    """Gets the request before its body is read, and then has to do everything."""
    whole: list[Whole] = field(default_factory=list)
    heads: list[Received] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """A connection ended or broke while its request was not answered yet."""

    def __post_init__(self) -> None:
        self._count = itertools.count()
        self._numbers: WeakKeyDictionary[asyncio.StreamWriter, int] = WeakKeyDictionary()
        self._upstream = Upstream(self._serve, read_body=False)

    @property
    def url(self) -> str:
        """What an instance of a service is given."""
        return self._upstream.url

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._upstream.port

    def reset(self) -> None:
        """Forget what came and answer 200 again."""
        self.script, self.begun = _answer_ok, None
        self.whole, self.heads, self.left = [], [], threading.Event()

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._upstream.stop()

    async def _serve(
        self, request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if request.target.endswith(BARRIER):
            writer.write(OK)
            return
        self.heads.append(request)
        left = self.left
        try:
            if self.begun is not None:
                await self.begun(request, reader, writer)
                return
            request.body = await read_body(request, reader)
            if writer not in self._numbers:
                self._numbers[writer] = next(self._count)
            self.whole.append(Whole(request, self._numbers[writer]))
            await self.script(request, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            left.set()
            raise
