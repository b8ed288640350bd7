"""A constant-rate load that records what became of every request."""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from tests.support.raw import Reply

_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: when it was sent and answered (``time.monotonic``), and its answer if any.

    ``Date`` and ``X-Request-Id`` are not kept.
    """

    sent: float
    reply: Reply | None
    answered: float = 0.0


@dataclass
class Load:
    """Sends *head* to *port*, *rate* times a second, over *connections* kept-alive connections and
    as many more as it takes, from a process of its own (:mod:`tests.support.load_client`).
    """

    port: int
    head: bytes
    rate: float = 200.0
    connections: int = 8
    outcomes: list[Outcome] = field(default_factory=list)
    _replies: dict[bytes, Reply] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[Load]:
        """Send until the block ends, then wait for the last answers."""
        arguments = [str(self.port), str(self.rate), str(self.connections)]
        with subprocess.Popen(
            [sys.executable, "-m", "tests.support.load_client", *arguments],
            cwd=_PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(base64.b64encode(self.head) + b"\n")
            process.stdin.flush()
            process.stdout.readline()
            reader = threading.Thread(target=self._read, args=(process.stdout,))
            reader.start()
            try:
                yield self
            finally:
                process.stdin.close()
                reader.join()
        assert process.returncode == 0, "the load's process failed"

    def _read(self, lines: IO[bytes]) -> None:
        for line in lines:
            outcomes = msgspec.json.decode(line, type=list[tuple[float, float, msgspec.Raw]])
            self.outcomes += [
                Outcome(sent, self._reply(bytes(reply)), answered)
                for sent, answered, reply in outcomes
            ]

    def _reply(self, encoded: bytes) -> Reply | None:
        """The same object for the same answer: there may be a hundred thousand."""
        known = self._replies.get(encoded)
        if known is None and encoded != b"null":
            known = self._replies[encoded] = _decoded(msgspec.json.decode(encoded))
        return known


def _decoded(content: list[Any]) -> Reply:
    status, headers, body, complete = content
    pairs = [(name, value) for name, value in headers]
    return Reply(status, pairs, body.encode("latin-1"), complete)
