"""A constant-rate load that records what became of every request."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.raw import RawClient, Reply


@dataclass(frozen=True)
class Outcome:
    """One request: when it was sent and answered (``time.monotonic``), and its answer if any."""

    sent: float
    reply: Reply | None
    answered: float = 0.0


@dataclass
class Load:
    """Sends *head* to *port*, *rate* times a second over *connections* kept-alive connections."""

    port: int
    head: bytes
    rate: float = 200.0
    connections: int = 8
    outcomes: list[Outcome] = field(default_factory=list)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Send until the block ends, then wait for the last answers."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._send, args=(stop, index / self.rate))
            for index in range(self.connections)
        ]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def _send(self, stop: threading.Event, offset: float) -> None:
        pause = self.connections / self.rate
        due = time.monotonic() + offset
        client = RawClient(self.port)
        while not stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + pause, time.monotonic())
            sent = time.monotonic()
            try:
                client.send(self.head)
                reply = client.read_reply()
            except OSError:
                reply = None
            self.outcomes.append(Outcome(sent, reply, time.monotonic()))
            if reply is None or reply.get("connection") == "close":
                client.socket.close()
                client = RawClient(self.port)
        client.socket.close()
