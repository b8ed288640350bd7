"""What an origin answers, good and bad, and what the next client gets after it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.conformance.answer_table import CASES, DISTRUSTED, OPEN
from tests.conformance.case import Case, head, play, rows, skip_unless_meant_for
from tests.conformance.front import Front
from tests.conformance.origin import Origin
from tests.support.upstream import OK, answering


@pytest.mark.parametrize("case", rows(CASES))
def test_an_answer(case: Case, front: Front, origin: Origin) -> None:
    play(case, front, origin)


@pytest.mark.parametrize("case", rows(DISTRUSTED))
def test_its_connection_serves_nobody_after_it(case: Case, front: Front, origin: Origin) -> None:
    skip_unless_meant_for(case, front)
    origin.script = answering(case.answer)
    with front.connect() as client, suppress(ConnectionError):
        client.send(case.sent)
        client.read_reply(head=case.sent.startswith(b"HEAD "))
    front.settle()
    assert origin.whole
    origin.script = answering(OK)
    with front.connect() as client:
        for _ in range(3):
            client.send(OPEN)
            assert client.read_reply().body == b"ok"
    first, *others = [request.connection for request in origin.whole]
    assert first not in others


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 42\r\n\r\n"),
    ],
    ids=["HEAD counted", "HEAD chunked", "204", "304"],
)
def test_an_answer_without_body_keeps_both_connections(
    front: Front, origin: Origin, method: str, answer: bytes
) -> None:
    with front.connect() as client:
        for _ in range(3):
            origin.script = answering(answer)
            client.send(head(f"{method} /open/a"))
            client.read_reply(head=True)
        origin.script = answering(OK)
        client.send(OPEN)
        assert client.read_reply().body == b"ok"
    assert len({request.connection for request in origin.whole}) == 1
