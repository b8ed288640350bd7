"""What the client sees (CONTRACT §4), through a real socket."""

from __future__ import annotations

import json

import pytest

from tests.support.process import GatewayProcess
from tests.support.raw import RawClient, Reply
from tests.support.upstream import Upstream, answering


def assert_problem(reply: Reply, status: int, code: str) -> None:
    content = json.loads(reply.body)
    assert (reply.status, content["code"], content["status"]) == (status, code, status)
    assert reply.get("x-gateway-error") == code
    assert reply.get("content-type") == "application/problem+json"
    assert content["request_id"] == reply.get("x-request-id")
    assert set(content) == {"type", "title", "status", "detail", "code", "request_id"}


def test_an_allowed_request_gets_the_upstreams_answer(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    upstream.script = answering(
        b"HTTP/1.1 203 Fine\r\nContent-Length: 5\r\nX-Two: 1\r\nX-Two: 2\r\n"
        b"X-Raw: caf\xe9\r\n\r\nhello"
    )
    reply = gateway.request("GET", "/closed/a", f"X-API-Key: {gateway.key('acme')}")
    assert (reply.status, reply.body) == (203, b"hello")
    assert reply.all("x-two") == ["1", "2"]
    assert reply.get("x-raw") == "caf\xe9"
    assert reply.get("via") == "1.1 gateway"
    assert not reply.all("x-gateway-error")


def test_no_credential_is_401(gateway: GatewayProcess, upstream: Upstream) -> None:
    reply = gateway.request("GET", "/closed/a")
    assert_problem(reply, 401, "missing_credentials")
    assert reply.get("www-authenticate").startswith("Bearer")
    assert sent_to(upstream, "GET /closed") == 0


def test_an_unknown_key_is_401(gateway: GatewayProcess) -> None:
    reply = gateway.request("GET", "/closed/a", "X-API-Key: gw_nonsense")
    assert_problem(reply, 401, "invalid_api_key")


def test_a_bad_token_is_refused_even_beside_a_good_key(gateway: GatewayProcess) -> None:
    key = gateway.key("acme")
    reply = gateway.request("GET", "/closed/a", "Authorization: Bearer x.y.z", f"X-API-Key: {key}")
    assert_problem(reply, 401, "invalid_token")


def test_an_unknown_path_is_404(gateway: GatewayProcess) -> None:
    assert_problem(gateway.request("GET", "/nowhere"), 404, "route_not_found")


def test_a_wrong_method_is_405_and_names_the_right_ones(gateway: GatewayProcess) -> None:
    reply = gateway.request("DELETE", "/closed/a")
    assert_problem(reply, 405, "method_not_allowed")
    assert reply.get("allow") == "GET, HEAD, POST"


def test_the_request_after_the_last_token_is_429(gateway: GatewayProcess) -> None:
    key = gateway.key("eager")
    head = f"GET /limited HTTP/1.1\r\nHost: h\r\nX-API-Key: {key}\r\n\r\n".encode()
    with RawClient(gateway.port) as client:
        client.send(head * 110)
        replies = [client.read_reply() for _ in range(110)]
    assert [reply.status for reply in replies[:100]] == [200] * 100
    refused = replies[-1]
    assert_problem(refused, 429, "rate_limited")
    assert int(refused.get("retry-after")) >= 1
    assert refused.get("ratelimit-limit") == "100"
    assert refused.get("ratelimit-remaining") == "0"


def test_a_shadow_limit_refuses_nobody(gateway: GatewayProcess) -> None:
    statuses = [gateway.request("GET", "/shadowed").status for _ in range(3)]
    assert statuses == [200, 200, 200]


def test_a_dead_instance_beside_a_live_one_costs_no_client_an_error(
    gateway: GatewayProcess,
) -> None:
    assert {gateway.request("GET", "/pair").status for _ in range(20)} == {200}


def test_all_instances_dead_is_502(gateway: GatewayProcess) -> None:
    assert_problem(gateway.request("GET", "/dead"), 502, "upstream_unreachable")


def test_a_broken_service_is_left_alone_with_503(gateway: GatewayProcess) -> None:
    replies = [gateway.request("GET", "/fragile") for _ in range(3)]
    assert_problem(replies[-1], 503, "breaker_open")
    assert 0 < int(replies[-1].get("retry-after")) <= 60


def test_a_service_without_instances_is_503(gateway: GatewayProcess) -> None:
    assert_problem(gateway.request("GET", "/empty"), 503, "no_instance")


def test_a_slow_upstream_is_504_at_the_routes_timeout(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    upstream.script = answering(b"")
    assert_problem(gateway.request("GET", "/slow"), 504, "upstream_timeout")


def test_an_answer_that_is_not_http_is_502(gateway: GatewayProcess, upstream: Upstream) -> None:
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", close=True)
    assert_problem(gateway.request("GET", "/open/a"), 502, "upstream_protocol_error")


def sent_to(upstream: Upstream, line: str) -> int:
    """How many requests begin so; what an earlier test gave up may arrive only now."""
    return sum(one.line.startswith(line) for one in upstream.requests)


def test_a_failing_answer_is_tried_again(gateway: GatewayProcess, upstream: Upstream) -> None:
    upstream.script = answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    assert gateway.request("GET", "/retrying").status == 503
    assert sent_to(upstream, "GET /retrying") == 3


def test_a_post_is_sent_once(gateway: GatewayProcess, upstream: Upstream) -> None:
    upstream.script = answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
    assert gateway.request("POST", "/retrying", body=b"pay").status == 503
    assert sent_to(upstream, "POST /retrying") == 1


def test_an_upstreams_own_failure_is_not_the_gateways(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    upstream.script = answering(
        b"HTTP/1.1 404 Gone\r\nX-Gateway-Error: forged\r\nContent-Length: 0\r\n\r\n"
    )
    reply = gateway.request("GET", "/open/a")
    assert (reply.status, reply.all("x-gateway-error")) == (404, [])


def test_a_body_over_the_routes_bound_is_413(gateway: GatewayProcess, upstream: Upstream) -> None:
    reply = gateway.request("POST", "/small?declared", body=b"x" * 11)
    assert_problem(reply, 413, "body_too_large")
    assert sent_to(upstream, "POST /small?declared") == 0


def test_a_chunked_body_over_the_bound_is_413(gateway: GatewayProcess) -> None:
    with RawClient(gateway.port) as client:
        client.send(
            b"POST /small HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"8\r\n12345678\r\n8\r\n12345678\r\n0\r\n\r\n"
        )
        assert_problem(client.read_reply(), 413, "body_too_large")


def test_the_clients_request_id_is_kept(gateway: GatewayProcess, upstream: Upstream) -> None:
    reply = gateway.request("GET", "/open/a", "X-Request-Id: abc-123")
    assert reply.get("x-request-id") == "abc-123"
    assert upstream.requests[0].all("x-request-id") == ["abc-123"]


@pytest.mark.parametrize("value", ["x" * 129, "two words", "caf\xe9"])
def test_a_request_id_that_is_none_is_replaced(gateway: GatewayProcess, value: str) -> None:
    reply = gateway.request("GET", "/open/a", f"X-Request-Id: {value}")
    assert reply.get("x-request-id") not in ("", value)


def test_a_truncated_answer_is_never_a_clean_end(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    upstream.script = answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", close=True
    )
    reply = gateway.request("GET", "/open/a")
    assert (reply.status, reply.body, reply.complete) == (200, b"hello", False)


def test_head_has_the_length_and_no_body(gateway: GatewayProcess, upstream: Upstream) -> None:
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n")
    with RawClient(gateway.port) as client:
        for _ in range(2):
            client.send(b"HEAD /open/a HTTP/1.1\r\nHost: h\r\n\r\n")
            assert client.read_reply(head=True).get("content-length") == "42"


def test_a_request_that_passed_us_before_is_a_loop(gateway: GatewayProcess) -> None:
    reply = gateway.request("GET", "/open/a", "Via: 1.1 other, 1.1 gateway")
    assert_problem(reply, 508, "loop_detected")


def test_a_request_that_cannot_be_read_is_answered_counted_and_logged(
    gateway: GatewayProcess,
) -> None:
    with RawClient(gateway.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\n")
        reply = client.read_reply()
        assert_problem(reply, 400, "bad_request")
        assert client.at_end()
    assert b'code="bad_request"' in gateway.request("GET", "/metrics").body
