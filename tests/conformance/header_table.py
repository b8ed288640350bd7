"""Headers both ways: HAZARDS "Headers", CONTRACT §4 and §5."""

from __future__ import annotations

from tests.conformance.case import Case, answered, head, passed

OPEN = "GET /open/h"
PRIVATE = "GET /open/private/h"
KEY = "X-API-Key: <KEY>"
TRACEPARENT = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
IDENTITY = ("X-User-Id", "X-Roles", "X-Permissions", "X-Consumer", "X-Auth-Method")


def _written(name: str) -> list[str]:
    """Ways to write a header name that a CGI-like backend reads as the same."""
    return [
        name,
        name.upper(),
        name.lower(),
        name.replace("-", "_"),
        name.replace("-", "."),
        name.replace("-", "_", 1),
        name.replace("-", "~"),
        name.replace("-", "|"),
    ]


def forged(name: str) -> Case:
    """A stranger claims an identity on a public route, in every spelling at once."""
    lines = [f"{alias}: forged" for alias in _written(name)]
    return Case(f"{name} in every spelling is dropped", head(OPEN, *lines),
                passed(seen={alias: [] for alias in _written(name)}))  # fmt: skip


def travels(name: str, line: str, *values: str, ours_only: bool = False) -> Case:
    """A request header that arrives with *values*."""
    key = line.partition(":")[0]
    return Case(name, head(OPEN, line), passed(seen={key: list(values)}), ours_only=ours_only)


def dropped(line: str, *more: str) -> Case:
    """A request header that ends at the front."""
    return Case(f"{line} ends here", head(OPEN, line, *more),
                passed(seen={line.partition(":")[0]: []}))  # fmt: skip


IDENTITIES = [
    *map(forged, IDENTITY),
    Case("the verified identity replaces a forged one",
         head(PRIVATE, KEY, "X-Consumer: root", "x_consumer: root", "X-Roles: admin",
              "X-Auth-Method: jwt"),
         passed(seen={"x-consumer": ["acme"], "x_consumer": [], "x-roles": [],
                      "x-auth-method": ["api_key"]}), ours_only=True),
    Case("Connection cannot take the identity away",
         head(PRIVATE, KEY, "Connection: close, X-Consumer, X-Auth-Method"),
         passed(seen={"x-consumer": ["acme"], "x-auth-method": ["api_key"]}), ours_only=True),
    Case("X-Gateway-Identity is the gateway's", head(OPEN, "X-Gateway-Identity: a.b.c"),
         passed(seen={"x-gateway-identity": []}), ours_only=True),
    Case("the API key ends here", head(PRIVATE, KEY), passed(seen={"x-api-key": []})),
    Case("the API key ends here on a public route too", head(OPEN, KEY),
         passed(seen={"x-api-key": []})),
    Case("an alias of the API key ends here", head(OPEN, "X_API_KEY: a", "X.Api.Key: b"),
         passed(seen={"x_api_key": [], "x.api.key": []})),
    Case("Basic travels on a public route", head(OPEN, "Authorization: Basic dTpw"),
         passed(seen={"authorization": ["Basic dTpw"]})),
    Case("Basic travels beside a key", head(PRIVATE, KEY, "Authorization: Basic dTpw"),
         passed(seen={"authorization": ["Basic dTpw"], "x-api-key": []})),
    Case("a bearer on a public route is not ours to take", head(OPEN, "Authorization: Bearer abc"),
         passed(seen={"authorization": ["Bearer abc"]})),
]  # fmt: skip

HOPS = [
    dropped("Keep-Alive: timeout=5"),
    dropped("Proxy-Connection: keep-alive"),
    dropped("TE: trailers, deflate"),
    dropped("Trailer: X-A"),
    Case("no h2c upgrade is forwarded",
         head(OPEN, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
              "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
         passed(seen={"upgrade": [], "http2-settings": []})),
    Case("what Connection names ends here",
         head(OPEN, "Connection: X-Drop, x-drop-too", "X-Drop: 1", "X-Drop-Too: 2", "X-Stay: 3"),
         passed(seen={"x-drop": [], "x-drop-too": [], "x-stay": ["3"]})),
    Case("what two Connection lines name ends here",
         head(OPEN, "Connection: X-A", "X-A: 1", "Connection: X-B", "X-B: 2"),
         passed(seen={"x-a": [], "x-b": []})),
    Case("Connection cannot take our headers away",
         head(OPEN, "Connection: X-Forwarded-For, X-Request-Id, Via, Host, traceparent",
              "X-Request-Id: mine"),
         passed(seen={"x-forwarded-for": ["127.0.0.1"], "x-request-id": ["mine"],
                      "via": ["1.1 gateway"]}), ours_only=True),
    Case("Connection cannot take the length away",
         head("POST /open/h", "Connection: Content-Length", "Content-Length: 5") + b"hello",
         passed(body=b"hello")),
    Case("Connection cannot take the coding away",
         head("POST /open/h", "Connection: Transfer-Encoding", "Transfer-Encoding: chunked")
         + b"5\r\nhello\r\n0\r\n\r\n", passed(body=b"hello")),
    Case("the client's own Connection does not travel", head(OPEN, "Connection: keep-alive, x"),
         passed(seen={"connection": []})),
]  # fmt: skip

CONTENT = [
    travels("non-ASCII bytes pass", "X-Name: caf\xe9 \xff\x80", "caf\xe9 \xff\x80"),
    travels("a long value passes", "X-Long: " + "x" * 7000, "x" * 7000),
    travels("inner blanks stay", "X-A: a  b\tc", "a  b\tc"),
    travels("blanks around a value are none of it", "X-A: \t b \t", "b"),
    travels("quotes and commas stay", 'X-A: "a, b", c;q="\\"d"', '"a, b", c;q="\\"d"'),
    travels("Accept-Encoding passes", "Accept-Encoding: br;q=1, *;q=0", "br;q=1, *;q=0"),
    travels("Range passes", "Range: bytes=0-1,-1", "bytes=0-1,-1"),
    travels("If-None-Match passes", 'If-None-Match: W/"a", "b"', 'W/"a", "b"'),
    travels("Cache-Control passes", "Cache-Control: no-cache", "no-cache"),
    travels("Content-Type passes", "Content-Type: text/Plain; Charset=X", "text/Plain; Charset=X"),
    travels("a name with odd characters passes", "X-!#$%&'*+.^`|~9: 1", "1", ours_only=True),
    Case("nothing is invented", head(OPEN),
         passed(seen={"accept": [], "accept-encoding": [], "user-agent": [], "content-type": [],
                      "cookie": [], "cache-control": [], "pragma": []})),
    Case("lines of one name keep number and order",
         head(OPEN, "X-A: 1", "X-B: 2", "x-a: 3", "X-A: 1"),
         passed(seen={"x-a": ["1", "3", "1"], "x-b": ["2"]})),
    Case("Host is the instance's", head(OPEN), passed(seen={"host": ["<ORIGIN>"]})),
    Case("Host is the client's with preserve_host",
         head("GET /host-kept", host="Shop.Example.com:8443"),
         passed(seen={"host": ["Shop.Example.com:8443"]})),
]  # fmt: skip

ORIGIN = [
    Case("a stranger's X-Forwarded-For is replaced", head(OPEN, "X-Forwarded-For: 6.6.6.6"),
         passed(seen={"x-forwarded-for": ["127.0.0.1"]})),
    Case("a stranger's two X-Forwarded-For lines are replaced",
         head(OPEN, "X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 7.7.7.7"),
         passed(seen={"x-forwarded-for": ["127.0.0.1"]})),
    Case("a stranger's X-Forwarded-Proto is replaced", head(OPEN, "X-Forwarded-Proto: https"),
         passed(seen={"x-forwarded-proto": ["http"]})),
    Case("a stranger's X-Forwarded-Host is replaced", head(OPEN, "X-Forwarded-Host: evil.test"),
         passed(seen={"x-forwarded-host": ["gateway.test"]})),
    Case("a stranger's X-Forwarded-Port is replaced", head(OPEN, "X-Forwarded-Port: 1"),
         passed(seen={"x-forwarded-port": ["<PORT>"]})),
    Case("a stranger's X-Real-IP does not travel", head(OPEN, "X-Real-IP: 6.6.6.6"),
         passed(seen={"x-real-ip": []})),
    Case("a stranger's Forwarded does not travel", head(OPEN, "Forwarded: for=6.6.6.6"),
         passed(seen={"forwarded": []})),
    Case("aliases of X-Forwarded-For do not travel",
         head(OPEN, "X_Forwarded_For: 6.6.6.6", "X.Forwarded.For: 7.7.7.7"),
         passed(seen={"x_forwarded_for": [], "x.forwarded.for": [],
                      "x-forwarded-for": ["127.0.0.1"]})),
    Case("a stranger's other X-Forwarded headers do not travel",
         head(OPEN, "X-Forwarded-Prefix: /p", "X-Forwarded-User: root", "X-Forwarded-Uri: /a",
              "X_Forwarded_Client_Cert: a"),
         passed(seen={"x-forwarded-prefix": [], "x-forwarded-user": [], "x-forwarded-uri": [],
                      "x_forwarded_client_cert": []}), ours_only=True),
]  # fmt: skip

TRACES = [
    Case("tracestate goes with its traceparent", head(OPEN, TRACEPARENT, "tracestate: a=1"),
         passed(seen={"tracestate": ["a=1"]})),
    Case("tracestate of no trace ends here", head(OPEN, "tracestate: a=1"),
         passed(seen={"tracestate": []}), ours_only=True),
    Case("tracestate of a faulty traceparent ends here",
         head(OPEN, TRACEPARENT.upper(), "tracestate: a=1"),
         passed(seen={"tracestate": []}), ours_only=True),
    Case("Via is added", head(OPEN), passed(seen={"via": ["1.1 gateway"]}), ours_only=True),
    Case("Via is appended", head(OPEN, "Via: 1.0 fred"),
         passed(seen={"via": ["1.0 fred, 1.1 gateway"]}), ours_only=True),
    Case("Via of two lines is appended", head(OPEN, "Via: 1.0 fred", "Via: 1.1 b"),
         passed(seen={"via": ["1.0 fred, 1.1 b, 1.1 gateway"]}), ours_only=True),
    Case("our own name in Via is a loop", head(OPEN, "Via: 1.1 gateway"), answered(508),
         ours_only=True),
    Case("our own name among others is a loop", head(OPEN, "Via: 1.0 a", "Via: 1.1 b, 1.1 gateway"),
         answered(508), ours_only=True),
    Case("our own name with a comment is a loop", head(OPEN, "Via: 1.1 Gateway (x/1)"),
         answered(508), ours_only=True),
    Case("a name that contains ours is no loop", head(OPEN, "Via: 1.1 gateway2, 1.1 my-gateway"),
         passed(seen={"via": ["1.1 gateway2, 1.1 my-gateway, 1.1 gateway"]}), ours_only=True),
    Case("Max-Forwards 0 on OPTIONS is answered here", head("OPTIONS /open/h", "Max-Forwards: 0"),
         answered(200, 204)),
    Case("Max-Forwards on OPTIONS counts down", head("OPTIONS /open/h", "Max-Forwards: 3"),
         passed(seen={"max-forwards": ["2"]})),
    Case("Max-Forwards 0 on OPTIONS names the route's methods", head("OPTIONS /open/h",
         "Max-Forwards: 0"), answered(204, reply={
             "allow": ["DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"], "x-gateway-error": []}),
         ours_only=True),
    Case("Max-Forwards 0 opens nothing", head("OPTIONS /open/private/h", "Max-Forwards: 0"),
         answered(401)),
    Case("Max-Forwards that is no number", head("OPTIONS /open/h", "Max-Forwards: -1"),
         answered(400), ours_only=True),
    Case("two Max-Forwards", head("OPTIONS /open/h", "Max-Forwards: 1", "Max-Forwards: 0"),
         answered(400), ours_only=True),
    Case("Max-Forwards 0 on GET means nothing", head(OPEN, "Max-Forwards: 0"),
         passed(seen={"max-forwards": ["0"]})),
    Case("a client's request id is kept", head(OPEN, "X-Request-Id: abc-123"),
         passed(seen={"x-request-id": ["abc-123"]}, reply={"x-request-id": ["abc-123"]}),
         ours_only=True),
    Case("a client's traceparent is kept",
         head(OPEN, "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
         passed(seen={"traceparent":
                      ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]}),
         ours_only=True),
    Case("an unknown expectation", head(OPEN, "Expect: 200-maybe"), answered(417),
         ours_only=True),
    Case("an unknown expectation beside the known one",
         head(OPEN, "Expect: 100-continue, 200-maybe"), answered(417), ours_only=True),
]  # fmt: skip


def answer(*lines: bytes, body: bytes = b"ok") -> bytes:
    """An answer of the origin."""
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([b"HTTP/1.1 200 OK", *lines, length, b"", body])


ANSWERS = [
    Case("two Set-Cookie lines stay two", head(OPEN),
         passed(reply={"set-cookie": ["a=1; Path=/", "b=2, c"]}),
         answer=answer(b"Set-Cookie: a=1; Path=/", b"Set-Cookie: b=2, c")),
    Case("one Date and one Server: the origin's", head(OPEN),
         passed(reply={"date": ["Tue, 15 Nov 1994 08:12:31 GMT"], "server": ["origin/1"]}),
         answer=answer(b"Date: Tue, 15 Nov 1994 08:12:31 GMT", b"Server: origin/1")),
    Case("no Server is invented", head(OPEN), passed(reply={"server": []}), ours_only=True),
    Case("non-ASCII bytes of an answer pass", head(OPEN),
         passed(reply={"x-name": ["caf\xe9 \xff"]}), answer=answer(b"X-Name: caf\xe9 \xff")),
    Case("what the answer's Connection names ends here", head(OPEN),
         passed(reply={"x-secret": [], "keep-alive": [], "x-stay": ["1"]}),
         answer=answer(b"Connection: X-Secret", b"X-Secret: 1", b"Keep-Alive: timeout=5",
                       b"X-Stay: 1")),
    Case("the answer's Upgrade ends here", head(OPEN), passed(reply={"upgrade": []}),
         answer=answer(b"Upgrade: h2c", b"Connection: Upgrade")),
    Case("the answer's Connection cannot take our headers away", head(OPEN, "X-Request-Id: mine"),
         passed(reply={"x-request-id": ["mine"], "via": ["1.1 gateway"]}),
         answer=answer(b"Connection: X-Request-Id, Via"), ours_only=True),
    Case("the answer's Connection cannot take the length away", head(OPEN), passed(text=b"hello"),
         answer=answer(b"Connection: Content-Length", body=b"hello")),
    Case("Via is appended to the answer", head(OPEN),
         passed(reply={"via": ["1.0 cache, 1.1 gateway"]}), answer=answer(b"Via: 1.0 cache"),
         ours_only=True),
    Case("an origin cannot speak as the gateway", head(OPEN),
         passed(reply={"x-gateway-error": []}), answer=answer(b"X-Gateway-Error: rate_limited"),
         ours_only=True),
    Case("headers of an answer keep number and order", head(OPEN),
         passed(reply={"x-a": ["1", "3", "1"]}),
         answer=answer(b"X-A: 1", b"X-B: 2", b"x-a: 3", b"X-A: 1")),
    Case("an encoded body is not touched", head(OPEN, "Accept-Encoding: gzip"),
         passed(text=b"\x1f\x8b\0not gzip", reply={"content-encoding": ["gzip"]}),
         answer=answer(b"Content-Encoding: gzip", body=b"\x1f\x8b\0not gzip")),
    Case("a redirect is the client's to follow", head(OPEN),
         passed(status=(302,), reply={"location": ["http://internal.test:1/a"]}),
         answer=b"HTTP/1.1 302 Found\r\nLocation: http://internal.test:1/a\r\n"
                b"Content-Length: 0\r\n\r\n"),
    Case("an origin's 404 is its own", head(OPEN), passed(status=(404,), text=b"no",
         reply={"x-gateway-error": [], "content-type": ["text/x"]}),
         answer=b"HTTP/1.1 404 No\r\nContent-Type: text/x\r\nContent-Length: 2\r\n\r\nno"),
    Case("an origin's 503 is its own", head(OPEN), passed(status=(503,), text=b"no",
         reply={"x-gateway-error": [], "retry-after": ["7"]}),
         answer=b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno"),
    Case("an origin's 401 is its own", head(OPEN), passed(status=(401,),
         reply={"www-authenticate": ['Basic realm="o"', "Digest x"]}),
         answer=b'HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm="o"\r\n'
                b"WWW-Authenticate: Digest x\r\nContent-Length: 0\r\n\r\n"),
]  # fmt: skip

CASES = [*IDENTITIES, *HOPS, *CONTENT, *ORIGIN, *TRACES, *ANSWERS]
