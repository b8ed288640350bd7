"""What the upstream sees (CONTRACT §3 and §5), through a real socket."""

from __future__ import annotations

import re

import pytest

from tests.support.process import GatewayProcess
from tests.support.raw import RawClient
from tests.support.upstream import Upstream


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        ("/open/a/./b/../c", "/open/a/c"),
        ("/open//a///b", "/open/a/b"),
        ("/%6fpen/%7Ea", "/open/~a"),
        ("/open/a%2fb", "/open/a%2Fb"),
        ("/open/%252e%252e/x", "/open/%252e%252e/x"),
        ("/open/a;v=1/b", "/open/a;v=1/b"),
        ("/open/a?x=%2f&&y=//a/../b", "/open/a?x=%2f&&y=//a/../b"),
        ("/keep/a//b", "/keep/a//b"),
        ("/api/users/7", "/users/7"),
        ("/api/", "/"),
        ("/old/7?q=1", "/v2/7/item?q=1"),
    ],
)
def test_the_path_is_matched_and_forwarded_in_one_form(
    gateway: GatewayProcess, upstream: Upstream, sent: str, seen: str
) -> None:
    assert gateway.request("GET", sent).status == 200
    assert upstream.requests[0].target == seen


@pytest.mark.parametrize(
    "target",
    [
        "/open/..%2fclosed/a",
        "/open/..;/closed/a",
        "/open/%2e%2e;x/closed",
        "/open/a\\..\\closed",
        "/open/%00",
        "/open/a%",
        "/open/%zz",
        "/open/caf\xe9",
        "/api/..%2f..%2fclosed",
    ],
)
def test_a_path_without_one_form_never_reaches_an_upstream(
    gateway: GatewayProcess, upstream: Upstream, target: str
) -> None:
    assert gateway.request("GET", target).status == 400
    assert not upstream.requests


def test_every_spelling_of_a_protected_path_is_protected(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    for target in ("/open/../closed/a", "//closed/a", "/%63losed/a", "/closed;x/a", "/./closed/a"):
        assert gateway.request("GET", target).status == 401
    assert not upstream.requests


def test_identity_comes_from_the_verified_caller_alone(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    forged = [
        "X-User-Id: root", "X-Roles: admin", "X_User_Id: root", "X.User.Id: root",
        "X-Consumer: root", "X-Permissions: all", "X-Auth-Method: jwt",
    ]  # fmt: skip
    key = gateway.key("acme")
    gateway.request("GET", "/closed/a", *forged, f"X-API-Key: {key}")
    seen = upstream.requests[0]
    assert seen.all("x-user-id") == ["acme"]
    assert seen.all("x-consumer") == ["acme"]
    assert seen.all("x-auth-method") == ["api_key"]
    assert b"root" not in seen.head
    assert key.encode() not in seen.head


def test_a_public_route_drops_forged_identity_too(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    gateway.request("GET", "/open/a", "X-User-Id: root", "x_roles: admin", "X-API-Key: k")
    head = upstream.requests[0].head.lower()
    assert not re.search(rb"x[-_.](?:user|roles|api)", head)


def test_forwarding_headers_of_strangers_are_replaced(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    gateway.request(
        "GET", "/open/a", "X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https",
        "X-Forwarded-Host: evil", "X-Forwarded-Port: 1", "X-Real-IP: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
    )  # fmt: skip
    seen = upstream.requests[0]
    assert seen.all("x-forwarded-for") == ["127.0.0.1"]
    assert seen.all("x-forwarded-proto") == ["http"]
    assert seen.all("x-forwarded-host") == ["gateway.test"]
    assert seen.all("x-forwarded-port") == [str(gateway.port)]
    assert b"6.6.6.6" not in seen.head


def test_hop_by_hop_and_nominated_headers_stay(gateway: GatewayProcess, upstream: Upstream) -> None:
    with RawClient(gateway.port) as client:
        client.send(
            b"GET /open/a HTTP/1.1\r\nHost: h\r\nConnection: close, X-Secret, X-Forwarded-For\r\n"
            b"X-Secret: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\n\r\n"
        )
        client.read_reply()
    seen = upstream.requests[0]
    for name in ("connection", "x-secret", "te", "keep-alive", "proxy-authorization"):
        assert seen.get(name) is None
    assert seen.get("x-forwarded-for") == "127.0.0.1"


def test_header_bytes_and_order_are_kept(gateway: GatewayProcess, upstream: Upstream) -> None:
    gateway.request("GET", "/open/a", "X-Raw: caf\xe9", "Cookie: a=1", "X-Raw: two")
    assert upstream.requests[0].all("x-raw") == ["caf\xe9", "two"]
    assert b"user-agent" not in upstream.requests[0].head.lower()
    assert b"accept" not in upstream.requests[0].head.lower()


def test_the_host_is_the_instances_unless_kept(gateway: GatewayProcess, upstream: Upstream) -> None:
    gateway.request("GET", "/open/a")
    gateway.request("GET", "/host-kept")
    assert [seen.get("host") for seen in upstream.requests] == [
        f"127.0.0.1:{upstream.port}",
        "gateway.test",
    ]


def test_a_credential_the_gateway_did_not_use_travels_on(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    gateway.request("GET", "/open/a", "Authorization: Basic dTpw")
    assert upstream.requests[0].get("authorization") == "Basic dTpw"


def test_a_trace_context_is_passed_on_or_begun(gateway: GatewayProcess, upstream: Upstream) -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    gateway.request("GET", "/open/a", f"traceparent: {given}")
    gateway.request("GET", "/open/a", "traceparent: nonsense")
    assert upstream.requests[0].all("traceparent") == [given]
    [begun] = upstream.requests[1].all("traceparent")
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", begun)


def test_via_is_appended(gateway: GatewayProcess, upstream: Upstream) -> None:
    gateway.request("GET", "/open/a", "Via: 1.0 fred")
    assert upstream.requests[0].all("via") == ["1.0 fred, 1.1 gateway"]


def test_a_body_arrives_byte_for_byte(gateway: GatewayProcess, upstream: Upstream) -> None:
    body = bytes(range(256)) * 1000
    assert gateway.request("POST", "/open/a", body=body).status == 200
    assert upstream.requests[0].body == body
    assert upstream.requests[0].get("content-length") == str(len(body))


def test_a_chunked_body_stays_chunked(gateway: GatewayProcess, upstream: Upstream) -> None:
    with RawClient(gateway.port) as client:
        client.send(b"POST /open/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        assert client.read_reply().status == 200
    assert upstream.requests[0].body == b"hello world"
    assert upstream.requests[0].get("transfer-encoding") == "chunked"
