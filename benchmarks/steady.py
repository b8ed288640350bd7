"""A client of constant rate: ``python -m benchmarks.steady PORT PATH BODY_BYTES RATE SECONDS``.

Requests leave when they are due, whether earlier ones were answered or not: one that has to wait
for a free connection is late by that wait, so a stall is seen by everyone it held up. The clock
is a timer of one millisecond; its own lag is not charged to the server. An API key is read from
standard input. Prints one JSON object with the fields of :class:`benchmarks.facts.Steady`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import deque
from typing import cast

import uvloop

_CONNECTIONS = 64
_TICK = 0.001
_WARM_UP_SECONDS = 1.0
_LAST_ANSWER_SECONDS = 5.0
_END_OF_HEAD = b"\r\n\r\n"


class Run:
    """The requests that are due, the connections that are free, and what was measured."""

    def __init__(self, request: bytes, body_bytes: int) -> None:
        self.request = request
        self.body_bytes = body_bytes
        self.free: deque[Connection] = deque()
        self.due: deque[float] = deque()
        self.waits: list[float] = []
        self.failed = 0
        self.answered = asyncio.Event()

    def release(self, count: int) -> None:
        """Let *count* requests leave now, or as soon as a connection is free."""
        now = time.perf_counter()
        self.due.extend([now] * count)
        while self.due and self.free:
            self.free.popleft().send(self.due.popleft())

    def finished(self, connection: Connection, due: float, good: bool) -> None:
        """One answer is complete; its connection takes the next request that is due."""
        self.waits.append(time.perf_counter() - due)
        self.failed += not good
        if self.due:
            connection.send(self.due.popleft())
            return
        self.free.append(connection)
        if len(self.free) == _CONNECTIONS:
            self.answered.set()


class Connection(asyncio.Protocol):
    """One connection with one request under way at most."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._due = 0.0
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be free."""
        # uvloop's own class, which inherits from none of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._run.free.append(self)

    def send(self, due: float) -> None:
        """Ask once; *due* is when that should have been."""
        self._due = due
        if self._transport is not None:
            self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        """Count the answer once its head and the expected number of body bytes are here."""
        buffer = self._buffer = self._buffer + data if self._buffer else data
        head = buffer.find(_END_OF_HEAD)
        if head < 0:
            return
        good = buffer.startswith(b"HTTP/1.1 200")
        if len(buffer) >= head + 4 + self._run.body_bytes or not good:
            self._buffer = b""
            self._run.finished(self, self._due, good)

    def connection_lost(self, _error: Exception | None) -> None:
        """A connection that ends in the middle is a failure."""
        if self in self._run.free:
            self._run.free.remove(self)
        else:
            self._run.failed += 1


async def measure(port: int, request: bytes, body_bytes: int, rate: float, seconds: float) -> Run:
    """Warm up, then send for *seconds*; the answer holds the second part alone."""
    loop = asyncio.get_running_loop()
    run = Run(request, body_bytes)
    for _ in range(_CONNECTIONS):
        await loop.create_connection(lambda: Connection(run), "127.0.0.1", port)
    await _send(run, rate, _WARM_UP_SECONDS)
    run.waits.clear()
    run.failed = 0
    await _send(run, rate, seconds)
    return run


async def _send(run: Run, rate: float, seconds: float) -> None:
    start = time.perf_counter()
    sent = 0
    while (passed := time.perf_counter() - start) < seconds:
        due = round(passed * rate)
        if due > sent:
            run.answered.clear()
            run.release(due - sent)
            sent = due
        await asyncio.sleep(_TICK)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(run.answered.wait(), _LAST_ANSWER_SECONDS)


def percentile(values: list[float], share: float) -> float:
    """The value that *share* of the sorted *values* do not exceed."""
    return values[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    """Read the command line, measure, print."""
    port, path, body_bytes, rate, seconds = sys.argv[1:]
    lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    if key := sys.stdin.read().strip():
        lines.append(f"X-API-Key: {key}")
    request = "\r\n".join([*lines, "", ""]).encode()
    run = uvloop.run(measure(int(port), request, int(body_bytes), float(rate), float(seconds)))
    waits = sorted(run.waits)
    if not waits:
        sys.exit("nothing was answered")
    facts = {
        "asked": float(rate),
        "answered": len(waits) / float(seconds),
        "p50_ms": percentile(waits, 0.5) * 1000,
        "p99_ms": percentile(waits, 0.99) * 1000,
        "failed": run.failed,
        "longest_ms": waits[-1] * 1000,
    }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main()
