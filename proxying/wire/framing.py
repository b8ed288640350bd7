"""Where an HTTP/1.1 message ends and how its head is written: one set of rules for both sides.

Pure; leans on nothing. The native transport reads answers and writes requests by it; a server
reads requests and writes answers by the same rules. Sections are those of RFC 9112.

======================================================================  =====  ====================
rule                                                                    §      here
======================================================================  =====  ====================
one ``Content-Length``, ASCII digits only; several, equal ones too,     6.3.5  ``content_length``
empty, signed or listed ones are refused
``Transfer-Encoding`` is exactly ``chunked``, once                      6.1    ``transfer_encoding``
``Transfer-Encoding`` in an HTTP/1.0 message is faulty framing          6.1    ``_checked``
both headers in one message are refused                                 6.3.3  ``_checked``
an answer to HEAD, a 204 and a 304 have no body, whatever they declare  6.3.1  ``answer_size``
an answer with neither header lasts until the connection closes         6.3.8  ``answer_size``
a request with neither header has no body                               6.3.7  ``request_size``
``Connection: close`` ends the connection; HTTP/1.0 always does here    9.3    ``keeps_alive``
no CR, LF or NUL inside a line that is written                          2.2    ``request_head``
a chunk is its size in hexadecimal, its bytes, CRLF                     7.1    ``chunk``
======================================================================  =====  ====================

Where a message that came in ends its lines with a bare LF, folds a line, puts a space before the
colon, holds a control byte in a value or a non-token in a name (2.2, 5, 5.1, 5.2), the parser
(llhttp, strict) refuses it before these rules are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_MAX_LENGTH_DIGITS = 18
_FRAMING_LINES = (b"\r\ncontent-length:", b"\r\ntransfer-encoding:")

LAST_CHUNK = b"0\r\n\r\n"


class FramingError(ValueError):
    """A message that breaks a rule; the text says which and repeats nothing of the message."""


class UnknownCodingError(FramingError):
    """A transfer coding other than one ``chunked``; a server may answer 501 (RFC 9112 6.1)."""


def content_length(values: Sequence[bytes]) -> int:
    """The length that all ``Content-Length`` lines of one message declare (RFC 9112 6.3.5)."""
    if len(values) != 1:
        raise FramingError("more than one Content-Length")
    value = values[0]
    if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS:
        raise FramingError("Content-Length is not a plain number")
    return int(value)


def transfer_encoding(values: Sequence[bytes]) -> None:
    """Refuse every list of transfer codings but one ``chunked`` (RFC 9112 6.1)."""
    if len(values) != 1 or values[0].lower() != b"chunked":
        raise UnknownCodingError("Transfer-Encoding is not exactly one chunked")


def _checked(lengths: Sequence[bytes], codings: Sequence[bytes], *, http11: bool) -> int | None:
    """The declared length, ``None`` when none is declared."""
    if codings:
        if lengths:
            raise FramingError("both Content-Length and Transfer-Encoding")
        if not http11:
            raise FramingError("Transfer-Encoding in an HTTP/1.0 message")
        transfer_encoding(codings)
    return content_length(lengths) if lengths else None


def answer_size(
    lengths: Sequence[bytes],
    codings: Sequence[bytes],
    *,
    status: int,
    to_head: bool,
    http11: bool,
) -> int | None:
    """Bytes of an answer's body; ``None``: chunked if there are *codings*, else until close."""
    length = _checked(lengths, codings, http11=http11)
    if to_head or status == 204 or status == 304:
        return 0
    return length


def request_size(lengths: Sequence[bytes], codings: Sequence[bytes], *, http11: bool) -> int | None:
    """Bytes of a request's body; ``None``: chunked."""
    length = _checked(lengths, codings, http11=http11)
    return 0 if length is None and not codings else length


def keeps_alive(connection: Iterable[bytes], *, http11: bool) -> bool:
    """Whether the connection outlives the message whose ``Connection`` values these are."""
    if not http11:
        return False
    for value in connection:
        for option in value.split(b","):
            if option.strip(b" \t").lower() == b"close":
                return False
    return True


def request_head(
    method: str,
    target: bytes,
    headers: Sequence[tuple[bytes, bytes]],
    size: int | None,
    *,
    force_length: bool = False,
) -> bytes:
    """Request line, *headers* as they are, and the framing line that *size* asks for.

    ``None`` is chunked, a positive size a ``Content-Length``, zero one only if *force_length*.
    Raises :class:`FramingError` when the bytes would not read as this one request.
    """
    start = b"%b %b HTTP/1.1" % (method.encode("ascii"), target)
    if start.count(b" ") != 2:
        raise FramingError("a space in the method or the target")
    lines = [start, *[b"%b: %b" % line for line in headers]]
    given = b"\r\n".join(lines).lower()
    if any(line in given for line in _FRAMING_LINES):
        raise FramingError("a framing header among the headers")
    if size is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif size or force_length:
        lines.append(b"Content-Length: %d" % size)
    return joined(lines)


def joined(lines: list[bytes]) -> bytes:
    """The head these lines make, its blank line included; no line may hold CR, LF or NUL."""
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    breaks = len(lines)
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise FramingError("CR, LF or NUL inside a line")
    return head


def chunk(piece: bytes) -> bytes:
    """*piece*, which is not empty, as one chunk (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


# --- of requests ----------------------------------------------------------------------------------

_HEX_DIGITS = b"0123456789abcdefABCDEF"
_CONTROLS = bytes(range(0x09)) + bytes(range(0x0A, 0x20)) + b"\x7f"
_MAX_SIZE_DIGITS = 15


def holds_control(value: bytes) -> bool:
    """Whether a field value holds a byte that none may: all controls but the tab (RFC 9110 5.5)."""
    return len(value.translate(None, _CONTROLS)) != len(value)


def client_keeps_alive(connection: Iterable[bytes], *, http11: bool) -> bool:
    """Whether a client may send another request; HTTP/1.0 has to ask for it (RFC 9112 9.3)."""
    if http11:
        return keeps_alive(connection, http11=True)
    options = [o.strip(b" \t").lower() for value in connection for o in value.split(b",")]
    return b"keep-alive" in options and b"close" not in options


def chunk_size(line: bytes) -> int:
    """The size that *line*, without its CRLF, declares; extensions are ignored (RFC 9112 7.1)."""
    digits, extended, extension = line.partition(b";")
    if not 0 < len(digits) <= _MAX_SIZE_DIGITS or digits.strip(_HEX_DIGITS):
        raise FramingError("a chunk size is not a plain hexadecimal number")
    if extended and holds_control(extension):
        raise FramingError("a control byte in a chunk extension")
    return int(digits, 16)


def check_trailers(block: bytes) -> None:
    """Refuse a trailer section, its blank line included, that is not field lines (5, 7.1.2)."""
    for line in block.split(b"\r\n")[:-2]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name:
            raise FramingError("a trailer is not a field line")
        if holds_control(value):
            raise FramingError("a control byte in a trailer")
