"""What a case is: bytes sent on one connection, and what has to come of them on both sides."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.conformance.front import KEY_MARK, Front
from tests.conformance.origin import Origin
from tests.support.raw import Reply
from tests.support.upstream import OK, answering

SMUGGLED = b"GET /open/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
"""Follows a malformed message: whoever loses its place in the stream takes it for a request."""


@dataclass(frozen=True)
class Want:
    """What has to be seen. A field left at its default is not looked at, but for ``whole``."""

    status: tuple[int, ...] = (200,)
    also: tuple[int, ...] = ()
    """Statuses the RFCs allow a server that has not our contract."""
    whole: int = 1
    """Requests the origin gets to their last byte."""
    closed: bool = False
    """The connection ends after the answer."""
    target: str = ""
    """At the origin."""
    body: bytes | None = None
    """At the origin."""
    seen: Mapping[str, list[str]] = field(default_factory=dict)
    """Headers at the origin: all values of each name."""
    reply: Mapping[str, list[str]] = field(default_factory=dict)
    """Headers of the answer: all values of each name."""
    text: bytes | None = None
    """Body of the answer."""
    problem: bool = True
    """A refusal by the front has the form of CONTRACT §4; the pages of Django have their own."""
    cut: bool = False
    """The answer must not end validly, or be a 502 where nothing of it was sent yet."""


@dataclass(frozen=True)
class Case:
    """One row of a table."""

    name: str
    sent: bytes
    want: Want
    answer: bytes = OK
    """What the origin writes to a whole request."""
    ends: bool = False
    """The origin closes after it."""
    ours_only: bool = False
    """Rests on our contract alone; another server is right to differ."""


def refused(*status: int, also: tuple[int, ...] = ()) -> Want:
    """Answered with *status* and closed; nothing whole reaches the origin."""
    return Want(status, also, whole=0, closed=True)


def answered(*status: int, **more: Any) -> Want:
    """Answered with *status* by the front itself."""
    return replace(Want(status, whole=0), **more)


def passed(target: str = "", **more: Any) -> Want:
    """Forwarded, once, and answered with 200."""
    return replace(Want(target=target), **more)


def head(start: str, *lines: str, host: str = "gateway.test") -> bytes:
    """A head: the request line without its version, Host, *lines*."""
    return "\r\n".join([f"{start} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode("latin-1")


def rows(cases: list[Case]) -> list[object]:
    """*cases* as pytest parameters."""
    return [pytest.param(case, id=case.name) for case in cases]


def skip_unless_meant_for(case: Case, front: Front) -> None:
    """Skip a row that rests on our contract when another server is under test."""
    if case.ours_only and not front.ours:
        pytest.skip("this product's own contract")


def play(case: Case, front: Front, origin: Origin) -> None:
    """Send the bytes of *case* and compare; an ``AssertionError`` says what differs."""
    skip_unless_meant_for(case, front)
    want = case.want
    origin.script = answering(case.answer, close=case.ends)
    with front.connect() as client:
        client.send(case.sent.replace(KEY_MARK, front.key.encode()))
        reply = client.read_reply(head=case.sent.startswith(b"HEAD "))
        while 100 <= reply.status < 200 and reply.status != 101:
            reply = client.read_reply(head=case.sent.startswith(b"HEAD "))
        if want.closed:
            assert client.at_end(), "the connection stays open"
    front.settle()
    assert reply.status in _allowed(want, front)
    assert reply.complete is not (want.cut and reply.status != 502)
    assert [request.target for request in origin.whole[want.whole :]] == []
    assert len(origin.whole) == want.whole
    _compare_answer(want, reply)
    if want.whole:
        _compare_request(want, front, origin)
    elif front.ours and want.problem and reply.status >= 400:
        assert_problem(reply, head_only=case.sent.startswith(b"HEAD "))


def _allowed(want: Want, front: Front) -> set[int]:
    also = () if front.ours else want.also
    return {*want.status, *also, *((502,) if want.cut else ())}


def _compare_answer(want: Want, reply: Reply) -> None:
    for name, values in want.reply.items():
        assert (name, reply.all(name)) == (name, values)
    if want.text is not None:
        assert reply.body == want.text


def _compare_request(want: Want, front: Front, origin: Origin) -> None:
    received = origin.whole[0].received
    known = {"<ORIGIN>": f"127.0.0.1:{origin.port}", "<PORT>": str(front.port)}
    if want.target:
        assert received.target == want.target
    for name, values in want.seen.items():
        assert (name, received.all(name)) == (name, [known.get(value, value) for value in values])
    if want.body is not None:
        assert received.body == want.body


def assert_problem(reply: Reply, *, head_only: bool = False) -> str:
    """The code of an answer the gateway made itself, whose form is CONTRACT §4's."""
    code = reply.get("x-gateway-error")
    assert code
    assert reply.get("content-type") == "application/problem+json"
    if not head_only:
        content = json.loads(reply.body)
        assert set(content) == {"type", "title", "status", "detail", "code", "request_id"}
        assert (content["code"], content["status"]) == (code, reply.status)
        assert content["request_id"] == reply.get("x-request-id")
    return code
