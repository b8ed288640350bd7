"""Request framing: HAZARDS "Requests: framing" row by row (RFC 9112 sections 2, 3, 5, 6, 7)."""

from __future__ import annotations

from tests.conformance.case import SMUGGLED, Case, passed, refused

HOST = b"Host: gateway.test\r\n"
POST = b"POST /open/f HTTP/1.1\r\n" + HOST
GET = b"GET /open/f HTTP/1.1\r\n" + HOST
FIVE = b"5\r\nhello\r\n0\r\n\r\n"


def length(value: bytes, *, status: tuple[int, ...] = (400,)) -> Case:
    """A request whose Content-Length is *value*."""
    sent = POST + b"Content-Length: " + value + b"\r\n\r\nhello" + SMUGGLED
    return Case(f"Content-Length {value!r}", sent, refused(*status))


def coding(value: bytes) -> Case:
    """A request whose Transfer-Encoding is *value*: 501 or 400."""
    sent = POST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + FIVE + SMUGGLED
    return Case(f"Transfer-Encoding {value!r}", sent, refused(501, 400))


def field_line(name: str, line: bytes, *, ours_only: bool = False) -> Case:
    """A request with a malformed header line; some of them the RFCs let a server mend."""
    return Case(name, GET + line + b"\r\n\r\n", refused(400), ours_only=ours_only)


def chunks(name: str, body: bytes) -> Case:
    """A chunked request whose body is malformed."""
    sent = POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + SMUGGLED
    return Case(name, sent, refused(400))


BODIES = [
    Case(
        "Content-Length before Transfer-Encoding",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + FIVE + SMUGGLED,
        refused(400),
    ),
    Case(
        "Transfer-Encoding before Content-Length",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n" + FIVE + SMUGGLED,
        refused(400),
    ),
    Case(
        "Transfer-Encoding identity beside Content-Length",
        POST + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello" + SMUGGLED,
        refused(400, 501),
    ),
    Case(
        "two different lengths",
        POST + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello" + SMUGGLED,
        refused(400),
    ),
    Case(
        "two equal lengths",
        POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        refused(400),
    ),
    length(b""),
    length(b"+5"),
    length(b"-5"),
    length(b"1_0"),
    length(b"0x5"),
    length(b"5, 5"),
    length(b"5 5"),
    length(b"5.0"),
    length(b"5;"),
    length("\u0665".encode()),
    length(b"99999999999999999999", status=(400, 413)),
    length(b"18446744073709551621", status=(400, 413)),
    Case(
        "an underscore for the hyphen is no length",
        POST + b"Content_Length: 5\r\nContent-Length: 2\r\n\r\nhi",
        passed(body=b"hi"),
    ),
    coding(b"gzip"),
    coding(b"chunked, gzip"),
    coding(b"gzip, chunked"),
    coding(b"chunked, chunked"),
    coding(b"identity"),
    coding(b"xchunked"),
    coding(b"chunked;q=1"),
    coding(b'"chunked"'),
    coding(b",chunked"),
    coding(b"\x0bchunked"),
    coding(b"chunked\x0c"),
    coding(b""),
    Case(
        "Transfer-Encoding on two lines",
        POST
        + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"
        + FIVE
        + SMUGGLED,
        refused(501, 400),
    ),
    Case(
        "chunked in capitals is chunked",
        POST + b"Transfer-Encoding: CHUNKED\r\n\r\n" + FIVE,
        passed(body=b"hello"),
    ),
    Case(
        "HTTP/1.0 with chunked",
        b"POST /open/f HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + FIVE + SMUGGLED,
        refused(400),
    ),
    Case(
        "GET with a counted body keeps it",
        GET + b"Content-Length: 5\r\n\r\nhello",
        passed(body=b"hello"),
    ),
    Case(
        "GET with a chunked body keeps it",
        GET + b"Transfer-Encoding: chunked\r\n\r\n" + FIVE,
        passed(body=b"hello"),
    ),
    Case(
        "POST of nothing says so",
        POST + b"Content-Length: 0\r\n\r\n",
        passed(body=b"", seen={"content-length": ["0"], "transfer-encoding": []}),
    ),
    Case(
        "GET of nothing has no framing header invented",
        GET + b"\r\n",
        passed(seen={"content-length": [], "transfer-encoding": []}),
    ),
]

CHUNKS = [
    chunks("chunk size 0x5", b"0x5\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size +5", b"+5\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size -5", b"-5\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size 0_5", b"0_5\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size after a space", b" 5\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size before a space", b"5 \r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size missing", b"\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size of seventeen digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size of sixteen f", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size in letters beyond f", b"g\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk size ended by LF", b"5\nhello\r\n0\r\n\r\n"),
    chunks("chunk size ended by CR", b"5\rhello\r\n0\r\n\r\n"),
    chunks("chunk size ended by CR X LF", b"5\rX\nhello\r\n0\r\n\r\n"),
    chunks("chunk longer than its size", b"4\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk shorter than its size", b"6\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk ended by LF", b"5\r\nhello\n0\r\n\r\n"),
    chunks("chunk ended by nothing", b"5\r\nhello0\r\n\r\n"),
    chunks("LF in a chunk extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    chunks("CR in a chunk extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n"),
    chunks("NUL in a chunk extension", b"5;a\0b\r\nhello\r\n0\r\n\r\n"),
    chunks("chunk extension without end", b"5;" + b"a" * 70_000 + b"\r\nhello\r\n0\r\n\r\n"),
    chunks("trailers without end", b"0\r\n" + b"A: b\r\n" * 20_000 + b"\r\n"),
    chunks("trailer without colon", b"0\r\nnonsense\r\n\r\n"),
    chunks("trailer ended by LF", b"0\r\nA: b\n\r\n\r\n"),
    Case(
        "several chunks, sizes in either case and with zeros, are one body",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00A\r\n0123456789\r\n0\r\n\r\n",
        passed(body=b"hello0123456789"),
    ),
    Case(
        "a chunk extension is passed over",
        POST + b'Transfer-Encoding: chunked\r\n\r\n5;a=b;c="d"\r\nhello\r\n0\r\n\r\n',
        passed(body=b"hello"),
    ),
    Case(
        "trailers are dropped, never headers",
        POST
        + b"Transfer-Encoding: chunked\r\nTrailer: X-User-Id\r\n\r\n5\r\nhello\r\n0\r\n"
        + b"X-User-Id: 1\r\nX-Late: 1\r\nContent-Length: 99\r\n\r\n",
        passed(body=b"hello", seen={"x-user-id": [], "x-late": [], "trailer": []}),
    ),
]

LINES = [
    field_line("space before the colon", b"X-A : b"),
    field_line("tab before the colon", b"X-A\t: b"),
    Case(
        "space before the colon of Transfer-Encoding",
        POST + b"Transfer-Encoding : chunked\r\n\r\n" + FIVE + SMUGGLED,
        refused(400),
    ),
    Case(
        "space before the colon of Content-Length",
        POST + b"Content-Length : 5\r\n\r\nhello" + SMUGGLED,
        refused(400),
    ),
    field_line("folded line", b"X-A: b\r\n c"),
    field_line("line folded with a tab", b"X-A: b\r\n\tc"),
    Case(
        "folded Transfer-Encoding",
        POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n" + FIVE + SMUGGLED,
        refused(400),
    ),
    Case(
        "first header line folded",
        b"GET /open/f HTTP/1.1\r\n Host: gateway.test\r\nHost: h\r\n\r\n",
        refused(400),
    ),
    field_line("header without colon", b"nonsense"),
    field_line("empty header name", b": b"),
    field_line("space in a header name", b"X A: b"),
    field_line("parenthesis in a header name", b"X(A): b", ours_only=True),
    field_line("non-ASCII header name", b"X-\xe9: b", ours_only=True),
    field_line("NUL in a header name", b"X-\0A: b"),
    field_line("NUL in a value", b"X-A: b\0c"),
    field_line("bare CR in a value", b"X-A: b\rX-Smuggled: c"),
    field_line("bare CR before the colon", b"X-A\r: b"),
    field_line("CR CR LF", b"X-A: b\r"),
    field_line("vertical tab in a value", b"X-A: b\x0bc", ours_only=True),
    field_line("escape in a value", b"X-A: \x1b[31m", ours_only=True),
    field_line("DEL in a value", b"X-A: b\x7f", ours_only=True),
    field_line("bare LF ends a line", b"X-A: b\nX-B: c", ours_only=True),
    Case(
        "bare LF ends every line",
        b"GET /open/f HTTP/1.1\nHost: gateway.test\n\n" + SMUGGLED,
        refused(400),
        ours_only=True,
    ),
    Case("tab inside a value stays", GET + b"X-A: b\tc\r\n\r\n", passed(seen={"x-a": ["b\tc"]})),
    Case("an empty value stays", GET + b"X-A:\r\n\r\n", passed(seen={"x-a": [""]})),
    Case("an empty line before the request", b"\r\n" + GET + b"\r\n", passed("/open/f")),
]

CASES = [*BODIES, *CHUNKS, *LINES]
