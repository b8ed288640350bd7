"""What the engine is told once: the header rules of ``proxying.headers`` as data, times, bounds.

The engine takes nothing but the plainest requests and answers. A header that asks anything of the
gateway makes it leave the message to Python; here it is said which those are.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from proxying.fastpath.messages import Writer
from proxying.headers import (
    HOP_BY_HOP,
    IDENTITY,
    NEVER_FROM_UPSTREAM,
    ORIGIN,
    ORIGIN_FAMILY,
    RATE_LIMIT,
    VIA,
)
from proxying.metrics import AUTHENTICATIONS, BUCKETS
from proxying.wire.replies import STATUS_LINES
from quotas.bucket import CLOCK_TOLERANCE
from quotas.stores.redis import SCRIPT_DIGEST

# As in config.rs.
_DROPPED, _DECLINED, _HOST, _CONNECTION, _API_KEY = 1, 2, 3, 4, 5
_AUTHORIZATION, _REQUEST_ID, _CONTENT_LENGTH, _DATE, _RATE_LIMIT = 6, 7, 8, 9, 10

_REQUEST_FATES = {
    **dict.fromkeys((*IDENTITY, *ORIGIN), _DROPPED),
    **dict.fromkeys(HOP_BY_HOP, _DECLINED),
    **dict.fromkeys(
        (b"content-length", b"expect", b"via", b"traceparent", b"tracestate"), _DECLINED
    ),
    b"host": _HOST,
    b"connection": _CONNECTION,
    b"x-api-key": _API_KEY,
    b"authorization": _AUTHORIZATION,
    b"x-request-id": _REQUEST_ID,
}
_ANSWER_FATES = {
    **dict.fromkeys(HOP_BY_HOP, _DECLINED),
    **dict.fromkeys(NEVER_FROM_UPSTREAM - {*HOP_BY_HOP, b"via"}, _DROPPED),
    **dict.fromkeys(RATE_LIMIT, _RATE_LIMIT),
    b"via": _DECLINED,
    b"keep-alive": _DROPPED,
    b"connection": _CONNECTION,
    b"content-length": _CONTENT_LENGTH,
    b"date": _DATE,
}
_BODILESS = frozenset((204, 205, 304))


@dataclass(frozen=True, slots=True)
class Bounds:
    """Times in seconds, sizes in bytes."""

    client_first: float
    """For a client to ask for the first time."""
    client_idle: float
    longest_head: int = 8192
    """Of a request; with no more than these, its headers are within bounds, and its target is."""
    longest_target: int = 8192
    upstream_idle: float = 55.0
    """Less than what the native transport keeps a connection for."""
    redis_timeout: float = 0.1
    most_connections: int = 256
    """To one instance."""
    largest_body: int = 256 * 1024
    """Of an answer; larger ones are streamed by Python."""


def configuration(bell: int, loads: int, instances: int, lines: bool, bounds: Bounds) -> bytes:
    """The message the engine starts with. *bell* is rung for Python; *loads* is the address of a
    pair of numbers for each of so many *instances*; *lines*: one is written for each request.
    """
    statuses = [
        (status, line)
        for status, line in STATUS_LINES.items()
        if 200 <= status < 500 and status not in _BODILESS
    ]
    writer = Writer().i32(bell).i64(loads).u32(instances).u8(lines)
    writer.f64(bounds.client_first).f64(bounds.client_idle).f64(bounds.upstream_idle).f64(
        bounds.redis_timeout
    )
    writer.u32(bounds.most_connections).u32(bounds.longest_head).u32(bounds.longest_target)
    writer.u32(bounds.largest_body)
    writer.blob(secrets.token_hex(8).encode()).blob(VIA).i64(secrets.randbits(62))
    writer.blob(SCRIPT_DIGEST.encode()).blob(b"%d" % CLOCK_TOLERANCE)
    writer.list(BUCKETS, Writer.f64).i64(AUTHENTICATIONS.address("ok"))
    writer.list(statuses, lambda to, one: to.u32(one[0]).blob(one[1]))
    writer.list(_REQUEST_FATES.items(), lambda to, one: to.blob(one[0]).u8(one[1]))
    writer.blob(ORIGIN_FAMILY)
    writer.list(_ANSWER_FATES.items(), lambda to, one: to.blob(one[0]).u8(one[1]))
    return writer.message()
