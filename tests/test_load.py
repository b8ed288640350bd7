"""The load itself: it keeps its pace whatever answers it gets, and says what became of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.support.load import Load, Outcome
from tests.support.upstream import OK, Received, Upstream, answering

HEAD = b"GET / HTTP/1.1\r\nHost: upstream.test\r\n\r\n"


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Of these tests alone: they count, and strays of others would be counted too."""
    server = Upstream()
    yield server
    server.stop()


async def _late(
    received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await asyncio.sleep(0.3)
    writer.write(OK)


def _outcomes(upstream: Upstream, seconds: float = 0.1) -> list[Outcome]:
    with Load(upstream.port, HEAD, 100, 2).running() as load:
        time.sleep(seconds)
    return load.outcomes


def test_requests_are_sent_when_they_are_due_though_none_is_answered(upstream: Upstream) -> None:
    upstream.script = _late
    outcomes = _outcomes(upstream, seconds=0.5)
    assert 40 <= len(outcomes) == len(upstream.requests)
    assert all(one.answered - one.sent >= 0.3 for one in outcomes)
    sent = [one.sent for one in outcomes]
    assert 90 < len(sent) / (max(sent) - min(sent)) < 110


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
            (200, b"ok", True),
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", (200, b"half", False)),
        (b"HTTP/1.1 200 OK\r\n\r\nall", (200, b"all", True)),
        (b"HTTP/1.1 200 OK\r\nContent-", None),
        (b"garbage\r\n\r\n", None),
        (b"", None),
    ],
)
def test_what_became_of_a_request_is_told(
    upstream: Upstream, answer: bytes, seen: tuple[int, bytes, bool] | None
) -> None:
    upstream.script = answering(answer, close=True)
    replies = [one.reply for one in _outcomes(upstream)]
    found = {reply and (reply.status, reply.body, reply.complete) for reply in replies}
    assert found == {seen}
