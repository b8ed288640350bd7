"""Neighbours of the cases in the other tables: other spellings of what is refused or passes.

Rows on requests and on answers.
"""

from __future__ import annotations

from tests.conformance.answer_table import CHUNKED, broken, fine, headers, wrong
from tests.conformance.case import SMUGGLED, Case, answered, head, passed, refused
from tests.conformance.framing_table import FIVE, GET, HOST, POST, chunks

PLAIN = b"GET /open/f HTTP/1.1\r\n" + HOST + b"\r\n"
CLIENT_HELLO = bytes.fromhex(
    "16030100c8010000c40303" + "11" * 32 + "20" + "22" * 32 + "0004130113021301" + "00" * 120
)


def line(name: str, start: bytes, *status: int) -> Case:
    """A request line that is refused."""
    return Case(name, start + b"\r\n" + HOST + b"\r\n" + SMUGGLED, refused(*(status or (400,))))


LINES = [
    Case("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 9,
         refused(400, 505, 501)),
    Case("a TLS ClientHello", CLIENT_HELLO, refused(400)),
    line("a method of 9,000 letters", b"A" * 9000 + b" /open/f HTTP/1.1", 400, 501, 414, 431),
    Case("a method that never ends", b"A" * 200_000, refused(400, 501, 414, 431)),
    line("a space behind the version", b"GET /open/f HTTP/1.1 "),
    line("a word behind the version", b"GET /open/f HTTP/1.1 x"),
    line("a space before the method", b" GET /open/f HTTP/1.1"),
    line("CR for a space", b"GET /open/f\rHTTP/1.1"),
    line("no target", b"GET HTTP/1.1", 400, 505),
    line("nothing but a method", b"GET", 400),
    line("HTTP/1.2", b"GET /open/f HTTP/1.2", 505, 400),
    line("HTTP/1", b"GET /open/f HTTP/1", 505, 400),
    line("HTTP/11.1", b"GET /open/f HTTP/11.1", 505, 400),
    line("ICY for HTTP", b"GET /open/f ICY/1.1"),
    line("RTSP for HTTP", b"OPTIONS /open/f RTSP/1.0", 400, 501, 505),
    Case("empty lines before the request", b"\r\n\r\n" + PLAIN, refused(400)),
    Case("LF before the request", b"\n" + PLAIN, refused(400), ours_only=True),
    Case("HTTP/0.9 with an absolute target", b"GET http://gateway.test/open/f\r\n\r\n",
         refused(400, 505)),
    Case("OPTIONS *", head("OPTIONS *"), answered(400, 200, 204)),
    Case("an absolute-form target that is nothing but a host",
         head("GET http://all.example.com", host="x"), passed("/")),
    Case("an absolute-form target with a query and no path",
         head("GET http://all.example.com?a=/b", host="x"), passed("/?a=/b")),
    Case("an absolute-form target of https", head("GET https://api.example.com/hosted", host="x"),
         passed("/hosted")),
    Case("an absolute-form target with dot segments",
         head("GET http://api.example.com/x/../hosted", host="x"), passed("/hosted")),
    Case("an absolute-form target with a backslash behind the host",
         head("GET http://api.example.com\\@other.test/hosted", host="x"), answered(400)),
    Case("an absolute-form target in an HTTP/1.0 request without Host",
         b"GET http://api.example.com/hosted HTTP/1.0\r\n\r\n", passed("/hosted", closed=True)),
    Case("HTTP/1.0 that asks to be kept alive",
         b"GET /open/f HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n",
         passed(reply={"connection": ["keep-alive"]})),
    Case("HTTP/1.0 with a body of no length",
         b"POST /open/f HTTP/1.0\r\nHost: h\r\n\r\nhello", passed(body=b"", closed=True)),
]  # fmt: skip

BODIES = [
    Case("chunked on two lines",
         POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + FIVE
         + SMUGGLED, refused(400, 501)),
    Case("chunked on two lines of different case",
         POST + b"Transfer-Encoding: chunked\r\ntransfer-ENCODING: Chunked\r\n\r\n" + FIVE
         + SMUGGLED, refused(400, 501)),
    Case("chunked between blanks", POST + b"Transfer-Encoding: \t chunked \t\r\n\r\n" + FIVE,
         passed(body=b"hello")),
    Case("Transfer-Encoding beside a length of nothing",
         POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + FIVE + SMUGGLED,
         refused(400)),
    Case("a length with leading zeros", POST + b"Content-Length: 0005\r\n\r\nhello",
         passed(body=b"hello", seen={"content-length": ["5"]})),
    Case("a length on two lines of different case",
         POST + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello" + SMUGGLED, refused(400)),
    Case("POST without a length has no body", POST + b"\r\n", passed(body=b"")),
    Case("bytes behind the body are the next request, and refused as one",
         POST + b"Content-Length: 2\r\n\r\nhiXX\r\n\r\n" + SMUGGLED, passed(body=b"hi")),
    chunks("a line end inside a chunk's extension", b'5;a="b\r\nc"\r\nhello\r\n0\r\n\r\n'),
    chunks("a chunk's extension ended by LF", b"5;a=b\nhello\r\n0\r\n\r\n"),
    chunks("a chunk's extension of 5 KB", b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n"),
    chunks("NUL in a chunk's extension", b"5;a=\0\r\nhello\r\n0\r\n\r\n"),
    chunks("a blank before a chunk's extension", b"5 ;a=b\r\nhello\r\n0\r\n\r\n"),
    chunks("a chunk shorter than its size", b"6\r\nhello\r\n0\r\n\r\n"),
    chunks("a chunk size of fullwidth digits", "\uff15\r\nhello\r\n0\r\n\r\n".encode()),
    chunks("a trailer that never ends", b"0\r\nX-A: " + b"x" * 100_000),
    chunks("a trailer folded", b"0\r\nX-A: b\r\n c\r\n\r\n"),
    chunks("a trailer ended by LF", b"0\r\nX-A: b\n\r\n"),
    chunks("a request for a trailer", b"0\r\nGET /open/smuggled HTTP/1.1\r\n\r\n"),
    Case("chunk sizes with leading zeros",
         POST + b"Transfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n000\r\n\r\n",
         passed(body=b"hello")),
    Case("a trailer that claims a length",
         POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 99\r\n"
         b"Transfer-Encoding: x\r\n\r\n", passed(body=b"hello")),
    Case("chunked in HTTP/1.0 beside a length",
         b"POST /open/f HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
         b"\r\n" + FIVE + SMUGGLED, refused(400)),
]  # fmt: skip

HEADERS = [
    Case("Connection that names the length",
         POST + b"Connection: content-length\r\nContent-Length: 5\r\n\r\nhello",
         passed(body=b"hello")),
    Case("Connection that names the coding",
         POST + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n" + FIVE,
         passed(body=b"hello")),
    Case("Connection that names Host", GET + b"Connection: host\r\n\r\n",
         passed(seen={"host": ["<ORIGIN>"]})),
    Case("Connection that names what the gateway sets",
         GET + b"Connection: close, x-user-id, x-request-id, x-forwarded-for, via\r\n"
         b"X-User-Id: admin\r\nX-Request-Id: mine\r\n\r\n",
         passed(closed=True, seen={"x-user-id": [], "x-request-id": ["mine"],
                                   "x-forwarded-for": ["127.0.0.1"], "via": ["1.1 gateway"]})),
    Case("Connection of nothing but commas", GET + b"Connection: , ,\r\n\r\n", passed()),
    Case("Connection: close on the second of two lines",
         GET + b"Connection: keep-alive\r\nConnection: close\r\n\r\n", passed(closed=True)),
    Case("a value of 60 KB", GET + b"X-A: " + b"x" * 60_000 + b"\r\n\r\n",
         passed(seen={"x-a": ["x" * 60_000]})),
    Case("Expect of two things", POST + b"Expect: 100-continue, x\r\nContent-Length: 2\r\n\r\nhi",
         answered(417)),
    Case("Expect twice", POST + b"Expect: 100-continue\r\nExpect: 100-Continue\r\n"
         b"Content-Length: 2\r\n\r\nhi", passed(body=b"hi", seen={"expect": []})),
    Case("Expect without a body", GET + b"Expect: 100-continue\r\n\r\n", passed()),
    Case("Expect in HTTP/1.0", b"POST /open/f HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\n"
         b"Content-Length: 2\r\n\r\nhi", passed(body=b"hi")),
    Case("a host with a trailing dot and a port",
         head("GET /hosted", host="API.example.com.:8001"), passed("/hosted")),
    Case("Upgrade to another protocol",
         GET + b"Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n"
         b"\r\n", passed(seen={"upgrade": [], "http2-settings": [], "connection": []})),
    Case("TE and Trailer stay with the hop",
         GET + b"TE: trailers\r\nConnection: TE\r\nTrailer: X\r\n\r\n",
         passed(seen={"te": [], "trailer": []})),
]  # fmt: skip

ANSWERS = [
    wrong("a version in small letters", headers(b"Content-Length: 2", start=b"http/1.1 200 OK",
                                                body=b"ok")),
    wrong("two spaces before the status", headers(b"Content-Length: 2", start=b"HTTP/1.1  200 OK",
                                                  body=b"ok")),
    wrong("chunked on two lines", headers(b"Transfer-Encoding: chunked",
                                          b"Transfer-Encoding: chunked", body=FIVE)),
    wrong("chunked in HTTP/1.0", headers(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK",
                                         body=FIVE)),
    wrong("identity", headers(b"Transfer-Encoding: identity", body=b"ok"), ends=True),
    wrong("an empty coding", headers(b"Transfer-Encoding:", body=b"ok"), ends=True),
    wrong("lines ended by LF", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    wrong("a status of 099", headers(b"Content-Length: 2", start=b"HTTP/1.1 099 OK", body=b"ok")),
    wrong("a preface of HTTP/2", b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0\x64\0\4\0\1\0\0\0\5\0\0\x40\0",
          ends=True),
    broken("chunk size ended by LF", CHUNKED + b"5\r\nhello\r\n5\nhello\r\n0\r\n\r\n"),
    broken("chunk size behind a blank", CHUNKED + b"5\r\nhello\r\n 5\r\nhello\r\n0\r\n\r\n"),
    broken("a chunk extension without end", CHUNKED + b"5\r\nhello\r\n5;" + b"a" * 200_000),
    broken("trailers without end", CHUNKED + b"5\r\nhello\r\n0\r\n" + b"X-A: b\r\n" * 20_000),
    broken("a NUL in a trailer", CHUNKED + b"5\r\nhello\r\n0\r\nX: \0\r\n\r\n"),
    fine("no space behind the status", headers(b"Content-Length: 2", start=b"HTTP/1.1 200",
                                               body=b"ok"), passed(text=b"ok")),
    fine("Connection that names the length", headers(b"Connection: content-length",
         b"Content-Length: 2", body=b"ok"), passed(text=b"ok")),
    fine("Connection that names Date", headers(b"Connection: date", b"Date: x",
         b"Content-Length: 2", body=b"ok"), passed(text=b"ok")),
    fine("headers of 60 KB", headers(b"X-A: " + b"x" * 60_000, b"Content-Length: 2", body=b"ok"),
         passed(text=b"ok", reply={"x-a": ["x" * 60_000]})),
    fine("205 with a length of nothing", headers(b"Content-Length: 0",
         start=b"HTTP/1.1 205 Reset Content"), passed(status=(205,), text=b"")),
    fine("a chunked answer of nothing", CHUNKED + b"0\r\n\r\n", passed(text=b"")),
    fine("trailers for a client that did not ask", CHUNKED + b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n",
         passed(text=b"ok", reply={"x-sum": []})),
    fine("five interim answers", b"HTTP/1.1 102 Processing\r\n\r\n" * 5
         + headers(b"Content-Length: 2", body=b"ok"), passed(text=b"ok")),
]  # fmt: skip

CASES = [*LINES, *BODIES, *HEADERS, *ANSWERS]
