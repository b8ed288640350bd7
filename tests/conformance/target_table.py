"""Request line, Host, target, limits and early answers (RFC 9112 section 3, HAZARDS "framing")."""

from __future__ import annotations

from tests.conformance.case import SMUGGLED, Case, answered, head, passed, refused
from tests.conformance.framing_table import GET, HOST, POST

REQUEST_LINES = [
    Case("HTTP/0.9", b"GET /open/f\r\n\r\n", refused(400, 505), ours_only=True),
    Case("HTTP/2.0 in the line", b"GET /open/f HTTP/2.0\r\n" + HOST + b"\r\n", refused(505, 400)),
    Case("http/1.1 in small letters", b"GET /open/f http/1.1\r\n" + HOST + b"\r\n", refused(400)),
    Case("HTTP/1.1x", b"GET /open/f HTTP/1.1x\r\n" + HOST + b"\r\n", refused(400, 505)),
    Case("HTTP/01.1", b"GET /open/f HTTP/01.1\r\n" + HOST + b"\r\n", refused(400, 505)),
    Case(
        "two spaces before the target",
        b"GET  /open/f HTTP/1.1\r\n" + HOST + b"\r\n",
        refused(400),
        ours_only=True,
    ),
    Case(
        "two spaces after the target",
        b"GET /open/f  HTTP/1.1\r\n" + HOST + b"\r\n",
        refused(400),
        ours_only=True,
    ),
    Case(
        "tab for a space",
        b"GET\t/open/f HTTP/1.1\r\n" + HOST + b"\r\n",
        refused(400, 501),
    ),
    Case("space in the target", b"GET /open/f f HTTP/1.1\r\n" + HOST + b"\r\n", refused(400)),
    Case("method with a colon", b"GE:T /open/f HTTP/1.1\r\n" + HOST + b"\r\n", refused(400)),
    Case(
        "unknown method",
        b"BREW /open/f HTTP/1.1\r\n" + HOST + b"\r\n",
        answered(501, 405),
        ours_only=True,
    ),
    Case(
        "method in small letters is another method",
        b"get /open/f HTTP/1.1\r\n" + HOST + b"\r\n",
        answered(501, 405, 400),
    ),
    Case("CONNECT host:port", b"CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
         answered(405, also=(400,))),
    Case("CONNECT in origin form", b"CONNECT /open/f HTTP/1.1\r\n" + HOST + b"\r\n",
         answered(405, also=(400,))),
    Case("TRACE", head("TRACE /open/f"), answered(405)),
    Case("GET *", head("GET *"), answered(400)),
    Case("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", refused(400)),
    Case("HTTP/1.0 without Host", b"GET /open/f HTTP/1.0\r\n\r\n",
         passed("/open/f", closed=True)),
    Case("HTTP/1.0 closes", b"GET /open/f HTTP/1.0\r\nHost: h\r\n\r\n", passed(closed=True)),
    Case("Connection: close closes", head("GET /open/f", "Connection: close"),
         passed(closed=True, reply={"connection": ["close"]})),
    Case("Connection: CLOSE in a list closes", head("GET /open/f", "Connection: x, CLOSE"),
         passed(closed=True)),
]  # fmt: skip

HOSTS = [
    Case("no Host", b"GET /open/f HTTP/1.1\r\n\r\n", answered(400)),
    Case("two Hosts", GET + b"Host: other.test\r\n\r\n", answered(400)),
    Case("two equal Hosts", GET + HOST + b"\r\n", answered(400)),
    Case("empty Host", b"GET /open/f HTTP/1.1\r\nHost:\r\n\r\n", answered(400)),
    Case("Host with a space", head("GET /open/f", host="a b"), answered(400)),
    Case("Host with a path", head("GET /open/f", host="a/b"), answered(400)),
    Case("Host with a backslash", head("GET /open/f", host="a\\b"), answered(400)),
    Case("Host with user information", head("GET /open/f", host="u@a"), answered(400)),
    Case("Host with a list", head("GET /open/f", host="a, b"), answered(400)),
    Case("Host with a word for a port", head("GET /open/f", host="a:http"), answered(400)),
    Case("Host with too large a port", head("GET /open/f", host="a:65536"), answered(400)),
    Case("Host with two ports", head("GET /open/f", host="a:80:80"), answered(400)),
    Case("Host with a query", head("GET /open/f", host="a?b"), answered(400)),
    Case("Host with a fragment", head("GET /open/f", host="a#b"), answered(400)),
    Case("Host with an unclosed bracket", head("GET /open/f", host="[::1"), answered(400)),
    Case("Host in Latin-1", head("GET /open/f", host="caf\xe9.test"), answered(400)),
    Case("Host as an IPv6 address", head("GET /open/f", host="[::1]:8001"), passed("/open/f")),
    Case(
        "the host of an absolute-form target decides",
        head("GET http://api.example.com/hosted", host="other.test"),
        passed("/hosted"),
    ),
    Case(
        "Host beside an absolute-form target does not decide",
        head("GET http://other.test/hosted", host="api.example.com"),
        answered(404),
    ),
    Case(
        "absolute-form target with a query",
        head("GET http://api.example.com/hosted?a=%2F&", host="api.example.com"),
        passed("/hosted?a=%2F&"),
    ),
    Case(
        "absolute-form target in capitals, with a port",
        head("GET HTTP://API.EXAMPLE.COM:80/hosted", host="x"),
        passed("/hosted"),
    ),
    Case(
        "absolute-form target without Host",
        b"GET http://api.example.com/hosted HTTP/1.1\r\n\r\n",
        answered(400),
    ),
    Case("absolute-form target with two Hosts",
         b"GET http://api.example.com/hosted HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
         answered(400)),
    Case("absolute-form target with user information",
         head("GET http://u:p@api.example.com/hosted"), answered(400)),
    Case("absolute-form target with an empty host", head("GET http:///hosted"), answered(400)),
    Case("absolute-form target of another scheme", head("GET ftp://api.example.com/hosted"),
         answered(400, 404), ours_only=True),
]  # fmt: skip

_LONG = b"x" * 8192
TARGETS = [
    Case("fragment in the target", head("GET /open/f#part"), answered(400)),
    Case("fragment behind the query", head("GET /open/f?a=b#part"), answered(400)),
    Case("raw control byte in the target", head("GET /open/\x01"), answered(400)),
    Case("raw DEL in the target", head("GET /open/\x7f"), answered(400)),
    Case("raw tab in the target", head("GET /open/a\tb"), answered(400)),
    Case("raw NUL in the target", head("GET /open/a\0b"), answered(400)),
    Case("raw non-ASCII byte in the path", head("GET /open/caf\xe9"), answered(400)),
    Case("raw UTF-8 in the path", head("GET /open/caf\xc3\xa9"), answered(400)),
    Case("raw non-ASCII byte in the query", head("GET /open/f?q=caf\xe9"), answered(400)),
    Case("raw control byte in the query", head("GET /open/f?q=\x1b[31m"), answered(400)),
    Case("broken escape %zz", head("GET /open/%zz"), answered(400)),
    Case("broken escape %4", head("GET /open/%4"), answered(400)),
    Case("broken escape %", head("GET /open/%"), answered(400)),
    Case("broken escape %u0041", head("GET /open/%u0041"), answered(400)),
    Case("target without a slash", head("GET open/f"), answered(400)),
    Case("target that is a query", head("GET ?a=b"), answered(400)),
    Case("target of 9 KB", b"GET /open/" + _LONG + b"x" * 1024 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
         refused(414)),
    Case("query of 9 KB",
         b"GET /open/f?" + _LONG + b"x" * 1024 + b" HTTP/1.1\r\n" + HOST + b"\r\n", refused(414)),
    Case("target of 100 KB that never ends", b"GET /open/" + b"x" * 100_000, refused(414)),
    Case("target of 8 KB", b"GET /open/" + b"x" * 8000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
         passed("/open/" + "x" * 8000)),
]  # fmt: skip

LIMITS = [
    Case("one header of 70 KB", GET + b"X-A: " + b"x" * 70_000 + b"\r\n\r\n",
         refused(431, also=(400,))),
    Case("headers of 70 KB together", GET + (b"X-A: " + b"x" * 995 + b"\r\n") * 70 + b"\r\n",
         refused(431, also=(400,))),
    Case("header block that never ends", GET + b"X-A: " + b"x" * 200_000,
         refused(431, also=(400,))),
    Case("101 header lines", GET + b"X-A: b\r\n" * 100 + b"\r\n", refused(431, also=(400,)),
         ours_only=True),
    Case("100 header lines", GET + b"X-A: b\r\n" * 99 + b"\r\n", passed()),
    Case("headers of 50 KB", GET + (b"X-A: " + b"x" * 995 + b"\r\n") * 50 + b"\r\n", passed()),
    Case("body over the route's bound by its length",
         b"POST /small HTTP/1.1\r\n" + HOST + b"Content-Length: 11\r\n\r\nhello world",
         answered(413)),
    Case("body at the route's bound",
         b"POST /small HTTP/1.1\r\n" + HOST + b"Content-Length: 10\r\n\r\nhelloworld",
         passed(body=b"helloworld")),
    Case("body over the bound by counted bytes",
         b"POST /small HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
         b"6\r\nhello \r\n6\r\nworlds\r\n0\r\n\r\n", answered(413)),
    Case("body over the node's bound, none of it sent",
         POST + b"Content-Length: 99999999999\r\n\r\n", refused(413)),
]  # fmt: skip

EARLY = [
    Case(
        "the body of a request answered with 401 is no request",
        b"POST /open/private/f HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
        + SMUGGLED,
        answered(401),
    ),
    Case(
        "the chunked body of a request answered with 401 is no request",
        b"POST /open/private/f HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n"
        % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
        answered(401),
    ),
    Case(
        "the body of a request answered with 404 is no request",
        b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
        + SMUGGLED,
        answered(404),
    ),
    Case(
        "a body over the bound is no request",
        b"POST /small HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
        + SMUGGLED,
        answered(413),
    ),
    Case(
        "the body of a request with a bad path is no request",
        b"POST /open/..;/f HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
        + SMUGGLED,
        answered(400),
        ours_only=True,
    ),
]  # fmt: skip

CASES = [*REQUEST_LINES, *HOSTS, *TARGETS, *LIMITS, *EARLY]
