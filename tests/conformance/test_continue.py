"""Expect: 100-continue: the final status comes first where the headers decide it."""

from __future__ import annotations

import pytest

from tests.conformance.case import head
from tests.conformance.front import KEY_MARK, Front
from tests.conformance.origin import Origin
from tests.support.raw import Reply


def continued(front: Front, target: str, *lines: str, body: bytes = b"hello") -> list[Reply]:
    """Ask first with Expect, send *body* if told to; every answer, the final one last."""
    with front.connect() as client:
        sent = head(f"POST {target}", f"Content-Length: {len(body)}", "Expect: 100-continue",
                    *lines)  # fmt: skip
        client.send(sent.replace(KEY_MARK, front.key.encode()))
        replies = [client.read_reply()]
        if replies[0].status == 100:
            client.send(body)
            replies.append(client.read_reply())
        return replies


def test_continue_comes_before_the_body(front: Front, origin: Origin) -> None:
    assert [reply.status for reply in continued(front, "/open/a")] == [100, 200]
    assert origin.whole[0].received.body == b"hello"


def test_continue_comes_with_a_good_key(front: Front) -> None:
    replies = continued(front, "/open/private/a", "X-API-Key: <KEY>")
    assert [reply.status for reply in replies] == [100, 200]


@pytest.mark.parametrize(
    ("target", "status"),
    [("/open/private/a", 401), ("/nowhere", 404), ("/small", 413)],
)
def test_a_refusal_the_headers_decide_comes_first(
    front: Front, origin: Origin, target: str, status: int
) -> None:
    replies = continued(front, target, body=b"x" * 20)
    assert [reply.status for reply in replies] == [status]
    front.settle()
    assert not origin.heads


def test_http_1_0_gets_no_continue(front: Front, origin: Origin) -> None:
    with front.connect() as client:
        client.send(b"POST /open/a HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\n"
                    b"Content-Length: 2\r\n\r\nhi")  # fmt: skip
        assert client.read_reply().status == 200


def test_a_body_that_comes_unasked_needs_no_continue(front: Front, origin: Origin) -> None:
    with front.connect() as client:
        client.send(head("POST /open/a", "Expect: 100-continue", "Content-Length: 2") + b"hi")
        reply = client.read_reply()
        assert (reply if reply.status == 200 else client.read_reply()).status == 200
    assert origin.whole[0].received.body == b"hi"
