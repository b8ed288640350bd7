"""Paths: one canonical form, matched and forwarded (CONTRACT §3, HAZARDS "Paths")."""

from __future__ import annotations

from tests.conformance.case import Case, answered, head, passed


def spelling(target: str) -> Case:
    """Another way to write the protected ``/open/private/x``, asked for without a credential."""
    return Case(f"protected as {target}", head(f"GET {target}"), answered(401, 400))


def kept(target: str, *, ours_only: bool = False) -> Case:
    """A target that is forwarded as it came."""
    return Case(f"{target} stays", head(f"GET {target}"), passed(target), ours_only=ours_only)


def becomes(target: str, forwarded: str) -> Case:
    """A target that is forwarded in its canonical form; others may forward what came."""
    return Case(f"{target} is {forwarded}", head(f"GET {target}"), passed(forwarded),
                ours_only=True)  # fmt: skip


def bad(target: str) -> Case:
    """A target without a canonical form; nginx, say, may decode or forward it."""
    return Case(f"{target} is bad", head(f"GET {target}"), answered(400), ours_only=True)


SPELLINGS = [
    spelling("/open/private/x"),
    spelling("/open/./private/x"),
    spelling("/./open/private/x"),
    spelling("/open/a/../private/x"),
    spelling("/open/a/b/../../private/x"),
    spelling("/../open/private/x"),
    spelling("/open/private/../private/x"),
    spelling("/open/private/./x"),
    spelling("/open/%2e/private/x"),
    spelling("/open/%2E/private/x"),
    spelling("/open/a/%2e%2e/private/x"),
    spelling("/open/a/.%2e/private/x"),
    spelling("/open/a/%2e./private/x"),
    spelling("/open//private/x"),
    spelling("//open/private/x"),
    spelling("///open///private///x"),
    spelling("/open/././/private/x"),
    spelling("/open/%70rivate/x"),
    spelling("/open/privat%65/x"),
    spelling("/%6f%70%65%6e/%70%72%69%76%61%74%65/x"),
    spelling("/open/private;v=1/x"),
    spelling("/open;v=1/private/x"),
    spelling("/open/private;/x"),
    spelling("/open/;/private/x"),
    spelling("/open/.;/private/x"),
    spelling("/open/a/..;/private/x"),
    spelling("/open/a/..;v=1/private/x"),
    spelling("/open/a/%2e%2e;/private/x"),
    spelling("/open/a/..%3b/private/x"),
    spelling("/open/private%3Bv/x"),
    spelling("/open\\private\\x"),
    spelling("/open/a/..\\private/x"),
    spelling("/open/a/..%5cprivate/x"),
    spelling("/open/a%2f..%2fprivate/x"),
    spelling("/open/a%2F..%2Fprivate%2Fx"),
    spelling("/open/a/..%2fprivate/x"),
    spelling("/open/%2fprivate/x"),
    spelling("/open/.%2fprivate/x"),
    spelling("/open/private%00/x"),
    spelling("/open/%00/../private/x"),
    spelling("/open/private%0a/x"),
    spelling("/open/private/x%0d%0aX-User-Id:%201"),
    spelling("/open/%c0%ae%c0%ae/open/private/x"),
    spelling("/open/a/%c0%ae%c0%ae/private/x"),
    spelling("/open/a%c0%af..%c0%afprivate/x"),
    spelling("http://gateway.test/open/private/x"),
    spelling("http://gateway.test/open//private/x"),
    spelling("/open/private/x?"),
    spelling("/open/private/"),
    spelling("/open/private//"),
    spelling("/keep/../open/private/x"),
    spelling("/prefix/../open/private/x"),
]

OPAQUE = [
    kept("/open/%252e%252e/private/x", ours_only=True),
    kept("/open/a%252Fb"),
    kept("/open/private%2Fx", ours_only=True),
    kept("/open/a%2Fb"),
    kept("/open/a%5Cb"),
    kept("/open/a%20b"),
    kept("/open/caf%C3%A9"),
    kept("/open/%E9"),
    kept("/open/a;v=1/b;w"),
    kept("/open/a:b@c!$&'()*+,=~_-."),
    kept('/open/"<>[]^`{|}'),
    kept("/open/..."),
    kept("/open/.a/b./..c"),
    kept("/open/a%3Fb%23c"),
    becomes("/open/%25%32%65", "/open/%252e"),
    becomes("/open/caf%c3%a9", "/open/caf%C3%A9"),
    becomes("/open/%7Euser/%41%2D", "/open/~user/A-"),
    becomes("/open/a/./b/../c", "/open/a/c"),
    becomes("/open/a//b", "/open/a/b"),
    becomes("/open/a/..", "/open/"),
    becomes("/open/a/.", "/open/a/"),
    becomes("/../../open/a", "/open/a"),
    becomes("/keep/a//b", "/keep/a//b"),
    becomes("/keep/a///b//", "/keep/a///b//"),
]

BAD = [
    bad("/open/%00"),
    bad("/open/a%0Ab"),
    bad("/open/a%7Fb"),
    bad("/open/a\\b"),
    bad("/open/..;/x"),
    bad("/open/a%2F%2Fb"),
    bad("/open/%2e%2e%2fx"),
    bad("/open/a%5C..%5Cb"),
    bad("/keep/a/..%2f..%2fopen"),
    bad("/api/..;/x"),
    bad("/api/..%2fopen/private/x"),
]

QUERIES = [
    kept("/open/f?"),
    kept("/open/f??"),
    kept("/open/f?a"),
    kept("/open/f?&&a=&=b&"),
    kept("/open/f?b=2&a=1&b=1"),
    kept("/open/f?a=%2f%2F%41+%20~"),
    kept("/open/f?a=/../..//b/./c"),
    kept("/open/f?a=\\b"),
    kept("/open/f?a=b;c=d"),
    kept("/open/f?a[]=1&b={}&c=|^`\"<>"),
    kept("/open/f?a=%zz&b=%"),
    kept("/open/f?a=%00%0D%0A"),
    kept("/open/f?api_key=abc&access_token=def"),
    Case("a query travels through rewrite", head("GET /old/42?a=%2f&"),
         passed("/v2/42/item?a=%2f&")),
    Case("an empty query travels through rewrite", head("GET /old/42?"), passed("/v2/42/item?"),
         ours_only=True),
    Case("a query travels through strip_prefix", head("GET /api/x?a=%2f?"), passed("/x?a=%2f?")),
]  # fmt: skip

CHANGED = [
    Case("strip_prefix", head("GET /api/a/b"), passed("/a/b")),
    Case("strip_prefix to the root", head("GET /api/"), passed("/")),
    Case("strip_prefix takes whole segments", head("GET /apix/a"), answered(404)),
    Case("strip_prefix takes the prefix once", head("GET /api/api/a"), passed("/api/a")),
    Case("strip_prefix of an encoded prefix", head("GET /%61pi/a"), passed("/a")),
    Case("strip_prefix after merging", head("GET //api//a"), passed("/a")),
    Case("strip_prefix cannot climb", head("GET /api/../open/private/x"), answered(401, 400)),
    Case("strip_prefix leaves no host", head("GET /api//evil.test/a"), passed("/evil.test/a")),
    Case("strip_prefix keeps escapes", head("GET /api/a%2Fb%20c"), passed("/a%2Fb%20c"),
         ours_only=True),
    Case("strip_prefix leaves double escapes", head("GET /api/%252e%252e/a"),
         passed("/%252e%252e/a"), ours_only=True),
    Case("rewrite fills in the segment", head("GET /old/42"), passed("/v2/42/item")),
    Case("rewrite keeps an escaped slash", head("GET /old/a%2Fb"), passed("/v2/a%2Fb/item"),
         ours_only=True),
    Case("rewrite takes no climbing value", head("GET /old/%2e%2e"), answered(400, 404)),
    Case("rewrite takes no disguised climbing value", head("GET /old/..%2f..%2fadmin"),
         answered(400, 404)),
    Case("rewrite takes no empty value", head("GET /old/"), answered(404)),
]  # fmt: skip

MATCHING = [
    Case("a path is exact", head("GET /exact"), passed("/exact")),
    Case("no slash is added", head("GET /exact/"), answered(404)),
    Case("no slash is dropped", head("GET /prefix"), answered(404), ours_only=True),
    Case("a trailing slash travels", head("GET /open/a/"), passed("/open/a/")),
    Case("case matters", head("GET /EXACT"), answered(404)),
    Case("case matters for what is protected", head("GET /open/PRIVATE/x"),
         passed("/open/PRIVATE/x")),
    Case("a prefix ends at a segment", head("GET /prefixed/a"), answered(404)),
    Case("a protected prefix ends at a segment", head("GET /open/privately/x"),
         passed("/open/privately/x")),
    Case("an exact path has nothing below", head("GET /exact/a"), answered(404)),
    Case("unknown path", head("GET /nowhere"), answered(404)),
    Case("wrong method names the right ones", head("DELETE /got"),
         answered(405, also=(403,), reply={"allow": ["GET, HEAD"]}), ours_only=True),
    Case("HEAD goes where GET goes", head("HEAD /got"), passed("/got"),
         answer=b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
    Case("OPTIONS is forwarded like others", head("OPTIONS /open/a"), passed("/open/a")),
    Case("PATCH is forwarded", head("PATCH /open/a", "Content-Length: 2") + b"hi",
         passed("/open/a", body=b"hi")),
    Case("DELETE with a body is forwarded", head("DELETE /open/a", "Content-Length: 2") + b"hi",
         passed("/open/a", body=b"hi")),
    Case("POST needs no CSRF token", head("POST /open/a", "Content-Length: 3",
         "Content-Type: application/x-www-form-urlencoded", "Origin: http://evil.test",
         "Cookie: csrftoken=a; sessionid=b") + b"a=b",
         passed("/open/a", body=b"a=b")),
    Case("Django adds no header", head("GET /open/a"),
         passed(reply={"x-frame-options": [], "x-content-type-options": [], "vary": [],
                       "referrer-policy": [], "cross-origin-opener-policy": [],
                       "set-cookie": [], "content-language": []})),
]  # fmt: skip

CASES = [*SPELLINGS, *OPAQUE, *BAD, *QUERIES, *CHANGED, *MATCHING]
