"""The one table from what went wrong to what the client reads (RFC 9457, CONTRACT §4)."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from keys.authentication import challenge
from keys.errors import AuthenticationError, KeyStoreUnavailable
from proxying import errors
from proxying.exchange import Answer, Bytes, Exchange, Headers
from proxying.handshake import VERSION as WEBSOCKET_VERSION
from proxying.headers import GATEWAY_NAME
from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    ProtocolViolation,
    UpstreamTimeout,
)
from quotas.errors import LimiterUnavailable
from routing.errors import BadPath

SOON = 1
"""Seconds after which a store or a service that could not serve is worth another request."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Status, code and what the client may read of one failure."""

    status: int
    code: str
    detail: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


_STATUS: dict[type[Exception], tuple[int, str, str]] = {
    BadPath: (400, "bad_path", ""),
    errors.RouteNotFound: (404, "route_not_found", ""),
    errors.MethodNotAllowed: (405, "method_not_allowed", ""),
    errors.BodyTooLarge: (413, "body_too_large", ""),
    errors.UpgradeRequired: (426, "upgrade_required", ""),
    errors.RateLimited: (429, "rate_limited", ""),
    errors.TooManyWebSockets: (429, "rate_limited", ""),
    errors.NoInstance: (503, "no_instance", ""),
    errors.BreakerOpen: (503, "breaker_open", ""),
    errors.Overloaded: (503, "overloaded", ""),
    KeyStoreUnavailable: (503, "key_store_unavailable", ""),
    LimiterUnavailable: (503, "limiter_unavailable", ""),
    errors.RouteMisconfigured: (503, "route_misconfigured", ""),
    errors.Draining: (503, "draining", ""),
    errors.LoopDetected: (508, "loop_detected", ""),
    ConnectFailed: (502, "upstream_unreachable", "the upstream could not be reached"),
    ConnectionReset: (
        502,
        "upstream_unreachable",
        "the upstream closed the connection",
    ),
    ProtocolViolation: (
        502,
        "upstream_protocol_error",
        "the upstream's answer is not valid HTTP",
    ),
    UpstreamTimeout: (504, "upstream_timeout", "the upstream did not answer in time"),
}
"""Exception → status, code, and the detail where the exception's own text is for the log only."""

_WEBSOCKET_WOULD_DO = (
    (b"sec-websocket-version", WEBSOCKET_VERSION),
    (b"upgrade", b"websocket"),
    (b"connection", b"upgrade"),
)
"""Of a 426: RFC 6455 4.4 asks for the version, RFC 9110 15.5.22 for Upgrade."""


def problem_of(error: Exception) -> Problem:
    """What *error* means to the client; anything unknown is a 500 that tells nothing."""
    known = _STATUS.get(type(error))
    if known is not None:
        status, code, detail = known
        return Problem(status, code, detail or str(error), _headers(error))
    if isinstance(error, errors.BadRequest):
        return Problem(error.status, error.code, str(error))
    if isinstance(error, AuthenticationError):
        return Problem(401, error.code, str(error), _headers(error))
    return Problem(500, "internal_error", "the gateway failed; the failure is logged")


def _headers(error: Exception) -> tuple[tuple[bytes, bytes], ...]:
    match error:
        case errors.MethodNotAllowed():
            return ((b"allow", error.allow.encode()),)
        case AuthenticationError():
            return ((b"www-authenticate", challenge(error).encode()),)
        case errors.UpgradeRequired():
            return _WEBSOCKET_WOULD_DO
    seconds = _retry_seconds(error)
    return () if seconds is None else ((b"retry-after", b"%d" % max(1, seconds)),)


def _retry_seconds(error: Exception) -> int | None:
    match error:
        case errors.RateLimited():
            return error.decision.retry_after
        case errors.BreakerOpen():
            return error.retry_after
        case (
            KeyStoreUnavailable()
            | LimiterUnavailable()
            | errors.Overloaded()
            | errors.NoInstance()
            | errors.TooManyWebSockets()
        ):
            return SOON
    return None


def problem_answer(exchange: Exchange, problem: Problem, limits: Headers, date: bytes) -> Answer:
    """The ``application/problem+json`` answer to *exchange*."""
    content = msgspec.json.encode(
        {
            "type": "about:blank",
            "title": HTTPStatus(problem.status).phrase,
            "status": problem.status,
            "detail": problem.detail,
            "code": problem.code,
            "request_id": exchange.request_id.decode("ascii"),
        }
    )
    headers: Headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        (b"date", date),
        (b"server", GATEWAY_NAME),
        (b"x-gateway-error", problem.code.encode()),
        (b"x-request-id", exchange.request_id),
        *limits,
        *problem.headers,
    ]
    exchange.error = problem.code
    return Answer(problem.status, headers, Bytes(b"" if exchange.method == "HEAD" else content))
