"""Requests and answers as HTTP/2 field lists: what is carried and what is refused. Pure.

Sections are those of RFC 9113.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxying.exchange import Headers
from proxying.upstream.base import UpstreamRequest
from proxying.wire.framing import FramingError, answer_size, holds_control

_OF_THE_CONNECTION = frozenset(
    (
        b"connection",
        b"content-length",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Written anew, or without a place in HTTP/2 (8.2.2)."""
_BREAKS = (b"\r", b"\n", b"\0")


@dataclass(frozen=True, slots=True)
class Head:
    """Of a final answer; ``size`` is ``None`` where the end is not known before it is here."""

    status: int
    headers: Headers
    size: int | None


def request_fields(scheme: str, request: UpstreamRequest) -> Headers:
    """The field list of a request: ``Host`` becomes ``:authority``, order and bytes stay (8.3.1).

    ``te: trailers`` is added: trailers are taken. Raises :class:`FramingError`.
    """
    authority = b""
    fields: Headers = []
    for name, value in request.headers:
        lower = name.lower()
        if lower == b"host":
            authority = value
        if lower not in _OF_THE_CONNECTION:
            fields.append((lower, value))
    size = request.body.size
    if size or (size == 0 and request.force_length):
        fields.append((b"content-length", b"%d" % size))
    fields.append((b"te", b"trailers"))
    pseudo: Headers = [
        (b":method", request.method.encode("ascii")),
        (b":scheme", scheme.encode("ascii")),
        (b":authority", authority),
        (b":path", request.target),
    ]
    if any(mark in value for _, value in [*pseudo, *fields] for mark in _BREAKS):
        raise FramingError("CR, LF or NUL inside a field")
    return pseudo + fields


def answer_head(fields: Headers, *, to_head: bool) -> Head:
    """The head of an answer from its field list. Raises :class:`FramingError`."""
    status = next((value for name, value in fields if name == b":status"), b"")
    if len(status) != 3 or not status.isdigit() or status < b"200":
        raise FramingError("a status that is not three digits, or not a final one")
    headers = [(name, value) for name, value in fields if not name.startswith(b":")]
    if any(holds_control(value) for _, value in headers):
        raise FramingError("a control byte in a value")
    lengths = [value for name, value in headers if name == b"content-length"]
    size = answer_size(lengths, [], status=int(status), to_head=to_head, http11=True)
    return Head(int(status), headers, size)
