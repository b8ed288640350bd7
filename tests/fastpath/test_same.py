"""What the fast path does with a request is what Python does with it, to the byte."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fastpath.conftest import Pair
from tests.support.raw import RawClient, Reply
from tests.support.upstream import Received, answering

_OUR_ID = re.compile(r"[0-9a-f]{32}")
_PORT = re.compile(rb"(x-forwarded-port: )\d+")
_CHANGING = re.compile(rb"(x-request-id: |traceparent: 00-)[0-9a-f-]+")
REQUESTS = {
    "nothing but a host": [],
    "a browser": [
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "Accept: text/html, */*;q=0.8",
        "Accept-Encoding: gzip, deflate",
        "Connection: keep-alive",
        "Cookie: a=1; b=2",
    ],
    "an id of its own": ["X-Request-Id: 0123456789abcdef-77"],
    "strangers' claims": [
        "X-Forwarded-For: 192.0.2.1",
        "X-Forwarded-Prefix: /x",
        "Forwarded: for=192.0.2.1",
        "X-Real-IP: 192.0.2.1",
        "X-User-Id: root",
        "X-Roles: admin",
        "X-Gateway-Identity: a.b.c",
    ],
    "duplicates in order": ["X-A: 1", "x-a: 2", "X-B: 3", "X-A: 1"],
    "an authorization for the upstream": ["Authorization: Basic dXNlcjpwYXNz"],
    "a key nobody asked for": ["X-API-Key: something"],
    "empty and padded values": ["X-Empty:", "X-Padded: \t a b \t "],
    "many lines": [f"X-Line-{number}: {number}" for number in range(60)],
    "more lines than it takes": [f"X-Line-{number}: {number}" for number in range(80)],
    "a trace": ["traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"],
    "an underscore": ["X_User_Id: root"],
    "a nominated header": ["Connection: x-gone", "X-Gone: 1"],
    "a language beyond ASCII": ["X-Name: J\xfcrgen"],
    "another expectation": ["Expect: 100-continue"],
    "a long value": ["X-Long: " + "v" * 6000],
    "more than the node accepts": ["X-Long: " + "v" * 7300],
    "a very long value": ["X-Long: " + "v" * 20_000],
}
ANSWERS = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "dated": b"HTTP/1.1 200 Fine\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\n"
    b"Content-Length: 0\r\n\r\n",
    "not found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX-A: 1\r\nX-A: 2\r\n\r\nnone",
    "cookies": b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
    b"Content-Length: 0\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx",
    "hop by hop": b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
    b"Content-Length: 1\r\n\r\nx",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "nothing": b"HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n",
    "not modified": b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',
    "via another": b"HTTP/1.1 200 OK\r\nVia: 1.1 other\r\nContent-Length: 1\r\n\r\nx",
    "its own limits": b"HTTP/1.1 200 OK\r\nRateLimit-Limit: 7\r\nContent-Length: 1\r\n\r\nx",
    "the gateway's names": b"HTTP/1.1 200 OK\r\nX-Request-Id: 1\r\nX-Gateway-Error: a\r\n"
    b"Content-Length: 1\r\n\r\nx",
    "an early hint": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "a wide name": b"HTTP/1.1 200 OK\r\nX_Odd.Name: 1\r\nContent-Length: 1\r\n\r\nx",
    "an error": b"HTTP/1.1 503 Away\r\nContent-Length: 1\r\n\r\nx",
    "a large one": b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + bytes(300_000),
}
MALFORMED = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    "garbage": b"\x00\xffgarbage\r\n\r\n",
    "a control": b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 1\r\n\r\nx",
    "too much": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy",
    "folded": b"HTTP/1.1 200 OK\r\nX-A: a\r\n b\r\nContent-Length: 1\r\n\r\nx",
}


def _answer(reply: Reply) -> object:
    headers = [
        (name, "ours" if _OUR_ID.fullmatch(value) else value)
        for name, value in reply.headers
        if name != "date" or value.startswith("Mon, 01 Jan 2024")
    ]
    body = _OUR_ID.sub("ours", reply.body.decode("latin-1"))
    return reply.status, headers, "date" in dict(reply.headers), body, reply.complete


def _request(received: Received) -> bytes:
    return _CHANGING.sub(rb"\1", _PORT.sub(rb"\1", received.head))


def _both(
    pair: Pair, target: str, *lines: str, query: str = ""
) -> tuple[list[object], list[bytes]]:
    """Answers and requests: of the fast path, which knew such a request, and of Python."""
    answers, requests = [], []
    with pair.on_the_fast_path(target) as fast, RawClient(pair.slow.port) as slow:
        for client in (fast, slow):
            reply, received = pair.ask(client, target + query, *lines)
            answers.append(_answer(reply))
            requests.append(_request(received))
    return answers, requests


def test_it_is_the_fast_path_that_serves(pair: Pair) -> None:
    with pair.on_the_fast_path("/again") as client:
        ids = {pair.ask(client, "/again")[0].get("x-request-id")[:16] for _ in range(3)}
        first = pair.fast.request("GET", "/nowhere").get("x-request-id")[:16]
    assert len(ids) == 1
    assert first not in ids


@pytest.mark.parametrize("lines", REQUESTS.values(), ids=REQUESTS)
@pytest.mark.parametrize("target", ["/open/a", "/host", "/again?x=1&y=%2F"])
def test_the_upstream_is_told_the_same(pair: Pair, target: str, lines: list[str]) -> None:
    answers, requests = _both(pair, target, *lines)
    assert requests[0] == requests[1]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("size", [990, 1000, 2000])
def test_a_target_is_as_long_as_the_node_accepts(pair: Pair, size: int) -> None:
    answers, requests = _both(pair, "/again", query="?" + "q" * (size - len("/again")))
    assert requests[0] == requests[1]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("data", ANSWERS.values(), ids=ANSWERS)
def test_the_client_is_told_the_same(pair: Pair, data: bytes) -> None:
    with pair.on_the_fast_path("/again") as fast, RawClient(pair.slow.port) as slow:
        pair.upstream.script = answering(data)
        replies = [pair.ask(client, "/again")[0] for client in (fast, slow)]
    assert _answer(replies[0]) == _answer(replies[1])


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_is_refused_the_same(pair: Pair, data: bytes) -> None:
    with pair.on_the_fast_path("/again") as fast, RawClient(pair.slow.port) as slow:
        pair.upstream.script = answering(data, close=True)
        statuses = [pair.ask(client, "/again")[0].status for client in (fast, slow)]
    assert statuses[0] == statuses[1]


_NAMES = st.from_regex(r"[A-Za-z0-9-]{1,20}", fullmatch=True).filter(
    lambda name: name.lower() not in ("host", "content-length", "transfer-encoding")
)
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
_LINES = st.lists(st.builds("{}: {}".format, _NAMES, _VALUES), max_size=12)
_PATHS = st.from_regex(r"(?:/[A-Za-z0-9._~%:;,=@+-]{0,8}){1,4}", fullmatch=True)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=_PATHS, lines=_LINES)
def test_whatever_is_asked_the_same_happens(pair: Pair, path: str, lines: list[str]) -> None:
    """A second time on the fast path: what was learnt of the first is not taken for another."""
    asked = "".join(f"{line}\r\n" for line in [*lines, ""])
    data = f"GET /open{path} HTTP/1.1\r\nHost: gateway.test\r\n{asked}".encode()
    with RawClient(pair.fast.port) as fast, RawClient(pair.slow.port) as slow:
        expected, closes = _outcome(pair, slow, data)
        assert _outcome(pair, fast, data)[0] == expected
        if not closes:
            assert _outcome(pair, fast, data)[0] == expected


def _outcome(pair: Pair, client: RawClient, data: bytes) -> tuple[object, bool]:
    """The answer and what the upstream saw; whether the connection is of no use any more."""
    before = len(pair.upstream.requests)
    client.send(data)
    try:
        reply = client.read_reply()
    except ConnectionError:
        return None, True
    seen = [_request(one) for one in pair.upstream.requests[before:]]
    return (_answer(reply), seen), reply.get("connection") == "close"
