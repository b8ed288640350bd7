"""An answer to a client: its head, and the body in the framing it announces.

Leans on ``proxying.wire.framing``; the sections are those of RFC 9112.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus

from proxying.exchange import Answer, Body, Headers
from proxying.trailers import wanted
from proxying.wire.framing import LAST_CHUNK, FramingError, chunk, joined
from proxying.wire.pace import Pace

STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b" % (status, status.phrase.encode()) for status in HTTPStatus
}
_BODILESS = frozenset((101, 204, 304))


def reply_head(
    answer: Answer, method: str, *, http11: bool, keep_alive: bool
) -> tuple[bytes, int | None, bool]:
    """The head, the bytes of body that follow it, and whether they follow in chunks.

    A length the answer declares is passed on, one its body knows is added; else the body is
    chunked, or for HTTP/1.0 it lasts until the connection closes: ``None`` and not chunked (6.3).
    Raises ``FramingError`` when a header would not read as one line.
    """
    status = answer.status
    lines = [STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status]
    size: int | None = None
    for name, value in answer.headers:
        if name == b"content-length":
            size = int(value)
        lines.append(b"%b: %b" % (name, value))
    chunked = False
    if method == "HEAD" or status in _BODILESS:
        size = 0
    elif size is None:
        size = answer.body.size
        if size is not None:
            lines.append(b"content-length: %d" % size)
        elif http11:
            chunked = True
            lines.append(b"transfer-encoding: chunked")
        else:
            keep_alive = False
    if not keep_alive:
        lines.append(b"connection: close")
    elif not http11:
        lines.append(b"connection: keep-alive")
    return joined(lines), size, chunked


async def send_body(
    transport: asyncio.Transport, pace: Pace, body: Body, left: int | None, *, chunked: bool
) -> None:
    """Write *body* as it comes, no faster than the client takes it, framed as its head announced.

    Raises what ``body.read`` raises, and ``FramingError`` when the body is not *left* bytes long:
    what was written has no valid end then. The last chunk is not written: see :func:`last_chunk`.
    """
    while left != 0 and (piece := await body.read()):
        if left is not None:
            left -= len(piece)
            if left < 0:
                raise FramingError("an answer is longer than it declares")
        transport.write(chunk(piece) if chunked else piece)
        if pace.writing_paused:
            await pace.room_to_write()
    if left:
        raise FramingError("an answer is shorter than it declares")


def last_chunk(answer: Answer, request_headers: Headers) -> bytes:
    """What ends a chunked body: with the answer's trailers if the client takes them (7.1.2).

    Trailers that would not read as lines are dropped.
    """
    trailers = answer.trailers() if answer.trailers is not None else ()
    if not trailers or not wanted(request_headers):
        return LAST_CHUNK
    try:
        return b"0\r\n" + joined([b"%b: %b" % pair for pair in trailers])
    except FramingError:
        return LAST_CHUNK
