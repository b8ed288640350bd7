"""The border to httpx: what it raises becomes one of our errors, and nothing else passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    ProtocolViolation,
    Stage,
    UpstreamError,
    UpstreamTimeout,
)

ERRORS: dict[type[Exception], type[UpstreamError]] = {
    httpx.ConnectError: ConnectFailed,
    httpx.ProxyError: ConnectFailed,
    httpx.UnsupportedProtocol: ConnectFailed,
    httpx.NetworkError: ConnectionReset,
    httpx.ReadError: ConnectionReset,
    httpx.WriteError: ConnectionReset,
    httpx.CloseError: ConnectionReset,
    httpx.StreamError: ConnectionReset,
    httpx.TransportError: ConnectionReset,
    httpx.RequestError: ConnectionReset,
    httpx.HTTPError: ConnectionReset,
    httpx.ProtocolError: ProtocolViolation,
    httpx.LocalProtocolError: ProtocolViolation,
    httpx.RemoteProtocolError: ProtocolViolation,
    httpx.DecodingError: ProtocolViolation,
    httpx.InvalidURL: ProtocolViolation,
}
"""What httpx raises → what it means. The nearest ancestor counts."""
STAGES: dict[type[Exception], Stage] = {
    httpx.ConnectTimeout: "connect",
    httpx.PoolTimeout: "connect",
    httpx.ReadTimeout: "read",
    httpx.WriteTimeout: "read",
    httpx.TimeoutException: "total",
}
_ENDED = ("Server disconnected", "peer closed connection", "ConnectionTerminated", "StreamReset")
"""How httpx words a connection that ended; it has no class for that."""


@contextmanager
def translated() -> Iterator[None]:
    """The border: httpx's exceptions become ours."""
    try:
        yield
    except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
        raise translate(error) from error


def translate(error: Exception) -> UpstreamError:
    """What *error* of httpx means here."""
    for kind in type(error).__mro__:
        if kind in STAGES:
            return UpstreamTimeout(STAGES[kind])
        if kind in ERRORS:
            meaning = ERRORS[kind]
            if kind is httpx.RemoteProtocolError and any(word in str(error) for word in _ENDED):
                meaning = ConnectionReset
            return meaning(str(error) or kind.__name__)
    return ConnectionReset(type(error).__name__)
