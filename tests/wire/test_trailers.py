"""Trailers: kept apart from headers, and for clients that said they take them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from proxying.exchange import Headers
from proxying.trailers import passed_on, wanted
from proxying.upstream.native import NativeTransport
from tests.wire.scripted import PATIENT, Script, ScriptedUpstream, read_all, request

Serve = Callable[[Script | bytes], Awaitable[ScriptedUpstream]]


async def test_trailers_of_an_answer_come_with_its_end(
    serve: Serve, transport: NativeTransport
) -> None:
    upstream = await serve(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nok\r\n0\r\nX-Sum: 1\r\nX: \xe9\r\n\r\n"
    )
    answer = await transport.send(upstream.origin, request(), PATIENT)
    assert await read_all(answer) == b"ok"
    assert answer.trailers == [(b"x-sum", b"1"), (b"x", b"\xe9")]
    assert b"x-sum" not in dict(answer.headers)


@pytest.mark.parametrize(
    "name", [b"content-length", b"transfer-encoding", b"set-cookie", b"host", b"x-gateway-error"]
)
def test_what_only_a_header_may_carry_is_dropped(name: bytes) -> None:
    assert passed_on([(name, b"1"), (b"grpc-status", b"0")]) == [(b"grpc-status", b"0")]


@pytest.mark.parametrize(
    ("headers", "takes"),
    [
        ([(b"te", b"trailers")], True),
        ([(b"te", b"gzip;q=0.5, Trailers")], True),
        ([(b"te", b"gzip"), (b"te", b"trailers;q=1")], True),
        ([(b"te", b"gzip")], False),
        ([(b"accept", b"trailers")], False),
        ([], False),
    ],
)
def test_a_client_says_whether_it_takes_trailers(headers: Headers, takes: bool) -> None:
    assert wanted(headers) is takes
