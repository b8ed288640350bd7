"""httpx's exceptions become ours at one border."""

from __future__ import annotations

import httpx
import pytest

from proxying.upstream.base import ConnectionReset, ProtocolViolation, UpstreamError
from proxying.upstream.httpx_errors import ERRORS, STAGES, translate

OF_THE_CLIENT = {httpx.HTTPStatusError, httpx.TooManyRedirects, httpx.CookieConflict}
"""Raised above the transport, by parts of httpx that are not used here."""
OF_STREAMS = {
    httpx.StreamConsumed,
    httpx.StreamClosed,
    httpx.RequestNotRead,
    httpx.ResponseNotRead,
}
"""What ``StreamError`` stands for."""


def exceptions_of_httpx() -> set[type[Exception]]:
    return {
        one for one in vars(httpx).values() if isinstance(one, type) and issubclass(one, Exception)
    }


def test_every_exception_of_httpx_has_a_meaning() -> None:
    assert exceptions_of_httpx() == {*ERRORS, *STAGES} | OF_THE_CLIENT | OF_STREAMS


@pytest.mark.parametrize("kind", sorted(exceptions_of_httpx(), key=repr))
def test_nothing_of_httpx_passes_the_border(kind: type[Exception]) -> None:
    error = kind.__new__(kind)
    error.args = ("why",)
    assert isinstance(translate(error), UpstreamError)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Server disconnected without sending a response.", ConnectionReset),
        ("<ConnectionTerminated error_code:0>", ConnectionReset),
        ("<StreamReset stream_id:1>", ConnectionReset),
        ("illegal header line", ProtocolViolation),
    ],
)
def test_a_connection_that_ended_is_no_violation(text: str, meaning: type[UpstreamError]) -> None:
    assert type(translate(httpx.RemoteProtocolError(text))) is meaning
