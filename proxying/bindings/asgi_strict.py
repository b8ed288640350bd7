"""What ASGI servers let through and the edge's parser refuses. Pure.

HTTP/2 above all brings methods, queries and values that no HTTP/1.1 message could hold; written to
an upstream they would be read as something else (RFC 9113 §8.2.1, RFC 9110 §5.5, §9.1).
"""

from __future__ import annotations

import re

from proxying.errors import BadRequest
from proxying.exchange import Headers
from proxying.wire.framing import holds_control

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_METHOD = re.compile(_TOKEN.decode())
_NAME = re.compile(_TOKEN)
_NOT_IN_QUERY = re.compile(rb"[^!-~]|#")


def fault_of(method: str, query: bytes | None, headers: Headers) -> BadRequest | None:
    """Why the request is refused with 400. The path has rules of its own (``routing.paths``)."""
    if not _METHOD.fullmatch(method):
        return BadRequest("the method is not a token")
    if query and _NOT_IN_QUERY.search(query):
        return BadRequest("the query holds a byte that must be escaped")
    for name, value in headers:
        if not _NAME.fullmatch(name) or holds_control(value):
            return BadRequest("a header line is not valid")
    return None
