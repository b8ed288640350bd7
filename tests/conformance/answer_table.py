"""Answers of the origin: HAZARDS "Responses and streams" as far as one answer shows it."""

from __future__ import annotations

from dataclasses import replace

from tests.conformance.case import Case, Want, head, passed

OPEN = head("GET /open/a")
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


def wrong(name: str, answer: bytes, *, ends: bool = False) -> Case:
    """An answer that is not acceptable HTTP: 502, and its connection is done with."""
    return Case(name, OPEN, Want((502,)), answer=answer, ends=ends)


def broken(name: str, answer: bytes, *, ends: bool = False) -> Case:
    """An answer whose body goes wrong: 502 if nothing was sent yet, else no valid end."""
    return Case(name, OPEN, Want((200,), cut=True), answer=answer, ends=ends)


def fine(name: str, answer: bytes, want: Want, *, ends: bool = False, sent: bytes = OPEN) -> Case:
    """An answer that is good HTTP."""
    return Case(name, sent, want, answer=answer, ends=ends)


def headers(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    """An answer of a status line, *lines* and *body*."""
    return b"\r\n".join([start, *lines, b"", body])


WRONG = [
    wrong("both lengths", headers(b"Content-Length: 5", b"Transfer-Encoding: chunked",
                                  body=b"5\r\nhello\r\n0\r\n\r\n")),
    wrong("both lengths the other way", headers(b"Transfer-Encoding: chunked",
                                                b"Content-Length: 5",
                                                body=b"5\r\nhello\r\n0\r\n\r\n")),
    wrong("two different lengths", headers(b"Content-Length: 5", b"Content-Length: 2",
                                           body=b"hello")),
    wrong("a list of lengths", headers(b"Content-Length: 5, 5", body=b"hello")),
    wrong("a negative length", headers(b"Content-Length: -1", body=b"hello")),
    wrong("a signed length", headers(b"Content-Length: +5", body=b"hello")),
    wrong("a hexadecimal length", headers(b"Content-Length: 0x5", body=b"hello")),
    wrong("an underscored length", headers(b"Content-Length: 0_5", body=b"hello")),
    wrong("an empty length", headers(b"Content-Length:", body=b"hello")),
    wrong("a huge length", headers(b"Content-Length: 99999999999999999999", body=b"hello")),
    wrong("an unknown coding", headers(b"Transfer-Encoding: gzip", body=b"hello"), ends=True),
    wrong("chunked and then gzip", headers(b"Transfer-Encoding: chunked, gzip",
                                           body=b"5\r\nhello\r\n0\r\n\r\n"), ends=True),
    wrong("chunked twice", headers(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
                                   body=b"5\r\nhello\r\n0\r\n\r\n")),
    wrong("chunked in HTTP/1.0", headers(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK",
                                         body=b"5\r\nhello\r\n0\r\n\r\n"), ends=True),
    wrong("NUL in a header", headers(b"X-A: b\0c", b"Content-Length: 2", body=b"ok")),
    wrong("bare CR in a header", headers(b"X-A: b\rX-B: c", b"Content-Length: 2", body=b"ok")),
    replace(wrong("control byte in a header",
                  headers(b"X-A: \x1b[31m", b"Content-Length: 2", body=b"ok")), ours_only=True),
    wrong("space before the colon", headers(b"X-A : b", b"Content-Length: 2", body=b"ok")),
    wrong("space before the colon of the length", headers(b"Content-Length : 2", body=b"ok")),
    wrong("folded header", headers(b"X-A: b", b" c", b"Content-Length: 2", body=b"ok")),
    wrong("header without colon", headers(b"nonsense", b"Content-Length: 2", body=b"ok")),
    wrong("header without name", headers(b": b", b"Content-Length: 2", body=b"ok")),
    wrong("1 MB of headers", headers(b"X-A: " + b"x" * 1_000_000, b"Content-Length: 2",
                                     body=b"ok")),
    wrong("1 MB of header lines", headers(*[b"X-A: " + b"x" * 990] * 1000, b"Content-Length: 2",
                                          body=b"ok")),
    wrong("a 101 nobody asked for", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n"
          b"Connection: Upgrade\r\n\r\n"),
    wrong("1xx without end", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40_000),
    wrong("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", ends=True),
    wrong("nothing but a body", b"hello\r\n\r\n", ends=True),
    wrong("status of two digits", headers(b"Content-Length: 2", start=b"HTTP/1.1 20 OK",
                                          body=b"ok")),
    wrong("status of four digits", headers(b"Content-Length: 2", start=b"HTTP/1.1 2000 OK",
                                           body=b"ok")),
    wrong("status that is no number", headers(b"Content-Length: 2", start=b"HTTP/1.1 2x0 OK",
                                              body=b"ok")),
    wrong("HTTP/3.0", headers(b"Content-Length: 2", start=b"HTTP/3.0 200 OK", body=b"ok")),
    Case("no answer at all", head("POST /open/a", "Content-Length: 2") + b"hi", Want((502,)),
         answer=b"", ends=True),
    wrong("half a status line", b"HTTP/1.1 20", ends=True),
    wrong("half a head", b"HTTP/1.1 200 OK\r\nContent-Le", ends=True),
]  # fmt: skip

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = [
    broken("chunk size that is no number", CHUNKED + b"5\r\nhello\r\nxyz\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size 0x5", CHUNKED + b"5\r\nhello\r\n0x5\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size -5", CHUNKED + b"5\r\nhello\r\n-5\r\nhello\r\n0\r\n\r\n"),
    broken("chunk longer than its size", CHUNKED + b"4\r\nhello\r\n0\r\n\r\n"),
    broken("chunk size beyond all bounds", CHUNKED + b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    broken("death in a counted body", headers(b"Content-Length: 10", body=b"hello"), ends=True),
    broken("death between two chunks", CHUNKED + b"5\r\nhello\r\n", ends=True),
    broken("death inside a chunk", CHUNKED + b"5\r\nhel", ends=True),
    broken("death before the last blank line", CHUNKED + b"5\r\nhello\r\n0\r\n", ends=True),
]

FINE = [
    fine("a counted body", headers(b"Content-Length: 5", body=b"hello"), passed(text=b"hello")),
    fine("a chunked body", CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
         passed(text=b"hello world")),
    fine("chunked in capitals", headers(b"Transfer-Encoding: CHUNKED",
                                        body=b"5\r\nhello\r\n0\r\n\r\n"), passed(text=b"hello")),
    fine("a body until the close", headers(body=b"hello"), passed(text=b"hello"), ends=True),
    fine("HTTP/1.0 until the close", headers(start=b"HTTP/1.0 200 OK", body=b"hello"),
         passed(text=b"hello"), ends=True),
    fine("an empty body", headers(b"Content-Length: 0"), passed(text=b"")),
    fine("trailers end the body and are no headers",
         CHUNKED + b"5\r\nhello\r\n0\r\nX-Late: 1\r\n\r\n", passed(text=b"hello",
                                                                   reply={"x-late": []})),
    fine("no reason phrase", headers(b"Content-Length: 2", start=b"HTTP/1.1 200 ", body=b"ok"),
         passed(text=b"ok")),
    fine("an unknown status", headers(b"Content-Length: 2", start=b"HTTP/1.1 299 Odd", body=b"ok"),
         passed(status=(299,), text=b"ok")),
    fine("a status beyond the classes", headers(b"Content-Length: 2",
         start=b"HTTP/1.1 599 Odd", body=b"ok"), passed(status=(599,), text=b"ok")),
    fine("103 before the answer", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
         + headers(b"Content-Length: 2", body=b"ok"), passed(text=b"ok")),
    fine("100 before the answer", b"HTTP/1.1 100 Continue\r\n\r\n"
         + headers(b"Content-Length: 2", body=b"ok"), passed(text=b"ok")),
    fine("204 has no body", headers(start=b"HTTP/1.1 204 No Content"),
         passed(status=(204,), reply={"content-length": [], "transfer-encoding": []})),
    fine("304 keeps its headers", headers(b'ETag: "a"', b"Content-Length: 42",
                                          start=b"HTTP/1.1 304 Not Modified"),
         passed(status=(304,), reply={"etag": ['"a"']})),
    fine("HEAD keeps the length", headers(b"Content-Length: 42"),
         passed(reply={"content-length": ["42"]}), sent=head("HEAD /open/a")),
    fine("HEAD of a chunked answer", headers(b"Transfer-Encoding: chunked"), passed(),
         sent=head("HEAD /open/a")),
    fine("a chunked answer to an HTTP/1.0 client", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
         passed(text=b"hello", reply={"transfer-encoding": []}, closed=True),
         sent=b"GET /open/a HTTP/1.0\r\nHost: h\r\n\r\n"),
    fine("a large answer", headers(b"Content-Length: 3000000", body=b"0123456789" * 300_000),
         passed(text=b"0123456789" * 300_000)),
]  # fmt: skip

BEYOND = [
    fine("an answer behind the answer", headers(b"Content-Length: 2", body=b"ok" + POISON),
         passed(text=b"ok")),
    fine("an answer behind a chunked one", CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + POISON,
         passed(text=b"ok")),
    fine("a body of a HEAD", headers(b"Content-Length: 85", body=POISON), passed(),
         sent=head("HEAD /open/a")),
    fine("a body of a 204", headers(start=b"HTTP/1.1 204 No Content", body=POISON),
         passed(status=(204,))),
    fine("a body of a 304", headers(b"Content-Length: 85", start=b"HTTP/1.1 304 Not Modified",
                                    body=POISON), passed(status=(304,))),
    fine("a few bytes too many", headers(b"Content-Length: 2", body=b"ok\r\n"),
         passed(text=b"ok")),
]  # fmt: skip
DISTRUSTED = [*(case for case in WRONG if not case.ends), *BEYOND]
CASES = [*WRONG, *BROKEN, *FINE, *BEYOND]
