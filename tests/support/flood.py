"""Many requests at once over kept-alive connections, counted by what became of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

APART = 0.01


@dataclass(frozen=True, slots=True)
class Hit:
    """One answered request. Times by ``time.monotonic``; ``port`` is the client's."""

    status: int
    sent: float
    answered: float
    port: int


@dataclass
class Flood:
    """What requests over *connections* got, one for each of *tickets*, which floods may share.

    A connection that breaks is not replaced.
    """

    port: int
    head: bytes
    tickets: Iterator[int]
    connections: int
    hits: list[Hit] = field(default_factory=list)
    ports: set[int] = field(default_factory=set)
    broken: int = 0

    @property
    def statuses(self) -> Counter[int]:
        return Counter(hit.status for hit in self.hits)

    @property
    def slowest(self) -> float:
        """Seconds."""
        return max(hit.answered - hit.sent for hit in self.hits)

    @property
    def span(self) -> tuple[float, float]:
        """When the first request was sent and the last answer came."""
        return min(hit.sent for hit in self.hits), max(hit.answered for hit in self.hits)

    async def run(self) -> Flood:
        async with asyncio.TaskGroup() as group:
            for _ in range(self.connections):
                group.create_task(self._connection())
                # Apart, so that a worker without work takes the next and not one worker all.
                await asyncio.sleep(APART)
        return self

    async def _connection(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        port: int = writer.get_extra_info("sockname")[1]
        self.ports.add(port)
        try:
            for _ in self.tickets:
                sent = time.monotonic()
                writer.write(self.head)
                status = await _status(reader)
                self.hits.append(Hit(status, sent, time.monotonic(), port))
        except (ConnectionError, asyncio.IncompleteReadError):
            self.broken += 1
        finally:
            writer.close()


async def _status(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(line for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return int(lines[0].split(b" ")[1])


def flood(port: int, target: str, requests: int, connections: int, *lines: str) -> Flood:
    """Send the same GET *requests* times and wait for every answer."""
    return asyncio.run(Flood(port, get(target, *lines), iter(range(requests)), connections).run())


async def _all(floods: Sequence[Flood]) -> None:
    async with asyncio.TaskGroup() as group:
        for one in floods:
            group.create_task(one.run())


def flood_together(ports: Sequence[int], target: str, requests: int, connections: int) -> Flood:
    """:func:`flood` over several gateways at once; each connection is to one of them."""
    tickets = iter(range(requests))
    hits: list[Hit] = []
    each = connections // len(ports)
    floods = [Flood(port, get(target), tickets, each, hits) for port in ports]
    asyncio.run(_all(floods))
    return floods[0]


def get(target: str, *lines: str) -> bytes:
    """A GET request with *lines* as further header lines."""
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: gateway.test", *lines, "", ""]).encode()


def owners(server_port: int, client_ports: set[int]) -> dict[int, int]:
    """Which process holds the server's end of each connection from *client_ports* (Linux)."""
    inodes = {}
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        _, local, remote, *rest = line.split()
        client = int(remote.rpartition(":")[2], 16)
        if int(local.rpartition(":")[2], 16) == server_port and client in client_ports:
            inodes[f"socket:[{rest[6]}]"] = client
    found = {}
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            inode = str(handle.readlink())
        except OSError:
            continue
        if inode in inodes:
            found[inodes[inode]] = int(handle.parts[2])
    return found
