"""Which trailers of an answer travel on, and who gets them. Pure.

A trailer must not do what only a header may: frame, route, authenticate, describe the content or
speak for the gateway (RFC 9110 6.5.1). A client gets trailers only if it said ``TE: trailers``
(10.1.4).
"""

from __future__ import annotations

from proxying.exchange import Headers
from proxying.headers import values_of

_HEADERS_ONLY = frozenset(
    (
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"expires",
        b"host",
        b"keep-alive",
        b"location",
        b"max-forwards",
        b"pragma",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"range",
        b"retry-after",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"vary",
        b"via",
        b"www-authenticate",
        b"x-gateway-error",
        b"x-request-id",
    )
)


def passed_on(received: Headers) -> Headers:
    """Of *received*, whose names are lower-case, those that may follow the body."""
    return [(name, value) for name, value in received if name not in _HEADERS_ONLY]


def wanted(headers: Headers) -> bool:
    """Whether the client that sent *headers* takes trailers."""
    return any(
        coding.partition(b";")[0].strip().lower() == b"trailers"
        for value in values_of(headers, b"te")
        for coding in value.split(b",")
    )
