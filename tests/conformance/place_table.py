"""Hosts, exemptions and the gateway's own paths (CONTRACT §3 and §6, HAZARDS "Paths")."""

from __future__ import annotations

from tests.conformance.case import Case, answered, head, passed


def host(name: str, value: str, target: str) -> Case:
    """``/where`` asked of a host: routes of several hosts rewrite it differently."""
    return Case(name, head("GET /where", host=value), passed(target))


HOSTS = [
    host("exact host", "api.example.com", "/exactly"),
    host("host in capitals", "API.Example.COM", "/exactly"),
    host("host with a port", "api.example.com:8001", "/exactly"),
    host("host with a trailing dot", "api.example.com.", "/exactly"),
    host("host with a trailing dot and a port", "Api.example.com.:443", "/exactly"),
    host("wildcard host", "b.wild.example.com", "/wildcard"),
    host("wildcard host in capitals with a port", "B.WILD.example.com:80", "/wildcard"),
    host("exact host before the wildcard", "a.wild.example.com", "/nearer"),
    host("a wildcard needs a label", "wild.example.com", "/anywhere"),
    host("a wildcard begins at a label", "bwild.example.com", "/anywhere"),
    host("a host is no suffix", "xapi.example.com", "/anywhere"),
    host("a host is no prefix", "api.example.com.evil.test", "/anywhere"),
    host("any host where none is named", "other.test", "/anywhere"),
    host("an address for a host", "127.0.0.1:8001", "/anywhere"),
    Case("a route of another host is not found", head("GET /hosted", host="other.test"),
         answered(404)),
    *(Case(f"host {n} of three hundred", head("GET /many", host=f"M{n}.example.com.:80"),
           passed(f"/many-{n}")) for n in (0, 150, 299)),
    Case("host 300 of three hundred", head("GET /many", host="m300.example.com"), answered(404),
         ours_only=True),
    Case("X-Forwarded-Host chooses no route",
         head("GET /where", "X-Forwarded-Host: api.example.com", host="other.test"),
         passed("/anywhere")),
]  # fmt: skip

PRIVATE = "GET /open/private/x"
EXEMPTIONS = [
    Case("a query is no path", head("GET /open/private/x?/open/public"), answered(401)),
    Case("a query that looks like a probe", head("GET /open/private/x?/health"), answered(401)),
    *(Case(f"{line.partition(':')[0]} is no path", head(PRIVATE, line), answered(401)) for line in (
        "X-Original-URL: /open/a", "X-Rewrite-URL: /open/a", "X-Forwarded-Uri: /open/a",
        "X-Original-Uri: /open/a", "X-Envoy-Original-Path: /open/a", "Referer: /open/a",
        "X-Forwarded-Prefix: /open", "X-Forwarded-Path: /open/a", "X-Forwarded-Method: OPTIONS")),
    Case("X-HTTP-Method-Override is no method",
         head("DELETE /got", "X-HTTP-Method-Override: GET"), answered(405, also=(403,)),
         ours_only=True),
    Case("a probe's user agent opens nothing", head(PRIVATE, "User-Agent: kube-probe/1.29"),
         answered(401)),
    Case("an internal address in a header opens nothing",
         head(PRIVATE, "X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1",
              "Client-IP: 127.0.0.1"), answered(401)),
    Case("OPTIONS opens nothing", head("OPTIONS /open/private/x",
         "Origin: http://a.test", "Access-Control-Request-Method: GET"), answered(401)),
    Case("HEAD opens nothing", head("HEAD /open/private/x"), answered(401)),
]  # fmt: skip


def reserved(target: str, *status: int) -> Case:
    """One of the gateway's own paths, where a route takes every path of the host."""
    problem = "/admin" not in target and "ateway" not in target
    return Case(f"{target} is ours", head(f"GET {target}", host="all.example.com"),
                answered(*status, problem=problem), ours_only=True)  # fmt: skip


def route_takes(target: str) -> Case:
    """A path that is none of the gateway's own."""
    return Case(f"{target} is the route's", head(f"GET {target}", host="all.example.com"),
                passed(target), ours_only=True)  # fmt: skip


RESERVED = [
    reserved("/health", 200),
    reserved("/health?a", 200),
    reserved("//health", 200),
    reserved("/a/../health", 200),
    reserved("/%68ealth", 200),
    reserved("/ready", 200),
    reserved("/metrics", 200),
    reserved("http://all.example.com/health", 200),
    reserved("/admin/", 302),
    reserved("/admin", 301, 302),
    reserved("/%61dmin/", 302),
    reserved("/a/../admin/", 302),
    reserved("//admin/", 302),
    reserved("/admin;v=1/", 302, 404),
    reserved("/admin/nowhere/", 302, 404),
    reserved("/api/gateway/", 401, 403),
    reserved("/api/%67ateway/", 401, 403),
    reserved("/auth/token", 405),
    reserved("/auth/refresh", 405),
    reserved("/.well-known/jwks.json", 404),
    route_takes("/"),
    route_takes("/healthz"),
    route_takes("/Health"),
    route_takes("/health/"),
    route_takes("/health/a"),
    route_takes("/administrator"),
    route_takes("/a/admin/"),
    route_takes("/auth"),
    route_takes("/auth/tokens"),
    route_takes("/api/gateways"),
    route_takes("/favicon.ico"),
    route_takes("/static/a.css"),
]

CASES = [*HOSTS, *EXEMPTIONS, *RESERVED]
