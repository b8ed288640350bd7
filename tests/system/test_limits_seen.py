"""Limits as a client sees them, counted in the process: one worker behind a trusted proxy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import Reply
from tests.support.upstream import Upstream

CONFIGURATION = """
services:
  echo: {{instances: [{{url: "{url}"}}], breaker: null, retry: {{attempts: 1}}}}
  dead: {{instances: [{{url: "http://127.0.0.1:{dead}"}}], breaker: null, retry: {{attempts: 1}}}}
routes:
  - {{name: plain, path: /plain, rate_limit: {{limit: 100, per: day}}, {public}}}
  - {{name: burst, path: /burst, rate_limit: {{limit: 60, per: day, burst: 5}}, {public}}}
  - {{name: edited, path: /edited, rate_limit: {{limit: {edited}, per: day}}, {public}}}
  - name: listed
    path: /listed
    rate_limit: [{{limit: 3, per: second}}, {{limit: 5, per: day}}]
    {listed}
  - name: beside
    path: /beside
    rate_limit: [{{limit: 2, per: day, mode: shadow}}, {{limit: 4, per: day}}]
    {listed}
  - {{name: shadow, path: /shadow, rate_limit: {{limit: 1, per: day, mode: shadow}}, {public}}}
  - {{name: tenant, path: /tenant, rate_limit: {{limit: 2, per: day, by: "header:X-T"}}, {public}}}
  - {{name: method, path: /method, methods: [GET], rate_limit: {{limit: 3, per: day}}, {public}}}
  - {{name: second, path: /second, rate_limit: {{limit: 1, per: second}}, {public}}}
  - {{name: closed, path: /closed, service: echo, rate_limit: {{limit: 1, per: day}}}}
  - {{name: dead, path: /dead, service: dead, auth_required: false, rate_limit: 7}}
"""


def configuration(upstream: Upstream, dead_port: int, edited: int = 100) -> str:
    public = "service: echo, auth_required: false"
    listed = "service: echo\n    auth_required: false"
    return CONFIGURATION.format(
        url=upstream.url, dead=dead_port, public=public, listed=listed, edited=edited
    )


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream, dead_port: int
) -> Iterator[GatewayProcess]:
    extra = {"TRUSTED_PROXIES": "127.0.0.1/32"}
    gateway = new_gateway(tmp_path_factory.mktemp("seen"), extra)
    gateway.apply(configuration(_upstream, dead_port))
    with gateway.serving():
        yield gateway


def client(address: str) -> str:
    """A header line by which the proxy says who the client is."""
    return f"X-Forwarded-For: {address}"


def told(reply: Reply) -> tuple[str, ...]:
    return tuple(reply.get(f"ratelimit-{name}") for name in ("limit", "remaining", "reset"))


def statuses(gateway: GatewayProcess, target: str, many: int, *lines: str) -> list[int]:
    return [gateway.request("GET", target, *lines).status for _ in range(many)]


def test_the_hundred_and_first_request_is_refused(limited: GatewayProcess) -> None:
    replies = [limited.request("GET", "/plain", client("192.0.2.1")) for _ in range(101)]
    assert told(replies[0]) == ("100", "99", "864")
    assert [reply.status for reply in replies] == [200] * 100 + [429]
    assert told(replies[100])[:2] == ("100", "0")
    assert 860 - 60 < int(replies[100].get("retry-after")) <= 864


def test_a_burst_below_the_limit_is_what_passes_at_once(limited: GatewayProcess) -> None:
    replies = [limited.request("GET", "/burst", client("192.0.2.2")) for _ in range(6)]
    assert [reply.status for reply in replies] == [200] * 5 + [429]
    assert told(replies[0]) == ("60", "4", "1440")
    assert replies[5].get("retry-after") == "1440"


def test_what_one_limit_of_a_list_refuses_drains_no_other(limited: GatewayProcess) -> None:
    who = client("192.0.2.3")
    assert told(limited.request("GET", "/listed", who)) == ("3", "2", "1")
    passed, deadline = 1, time.monotonic() + 60
    # Hammered: most are refused by the second, and the day still gives its five.
    while time.monotonic() < deadline:
        reply = limited.request("GET", "/listed", who)
        passed += reply.status == 200
        if reply.status == 429 and told(reply)[0] == "5":
            break
    assert passed == 5
    assert 17_000 < int(reply.get("retry-after")) <= 17_280


def test_a_shadow_beside_an_enforced_limit_is_neither_told_nor_refuses(
    limited: GatewayProcess,
) -> None:
    replies = [limited.request("GET", "/beside", client("192.0.2.4")) for _ in range(5)]
    assert [reply.status for reply in replies] == [200] * 4 + [429]
    assert {told(reply)[0] for reply in replies} == {"4"}


def test_a_shadow_alone_tells_nothing(limited: GatewayProcess) -> None:
    replies = [limited.request("GET", "/shadow", client("192.0.2.5")) for _ in range(3)]
    assert {(reply.status, *told(reply)) for reply in replies} == {(200, "", "", "")}


def test_without_its_header_a_request_is_counted_by_caller(limited: GatewayProcess) -> None:
    one, other = client("192.0.2.6"), client("192.0.2.7")
    assert statuses(limited, "/tenant", 3, "X-T: a", one) == [200, 200, 429]
    assert statuses(limited, "/tenant", 1, "X-T: a", other) == [429]
    assert statuses(limited, "/tenant", 3, one) == [200, 200, 429]
    assert statuses(limited, "/tenant", 1, "X-T:", one) == [429]
    assert statuses(limited, "/tenant", 1, other) == [200]


def test_every_method_of_the_route_counts_and_no_other(limited: GatewayProcess) -> None:
    who = client("192.0.2.8")
    methods = ("POST", "HEAD", "OPTIONS", "GET", "GET", "HEAD")
    replies = [limited.request(method, "/method", who) for method in methods]
    assert [reply.status for reply in replies] == [405, 200, 405, 200, 200, 429]
    assert [told(reply)[1] for reply in replies] == ["", "2", "", "1", "0", "0"]


def test_who_hammers_gets_a_request_a_second_all_the_same(limited: GatewayProcess) -> None:
    who = client("192.0.2.9")
    began, passed = time.monotonic(), 0
    while time.monotonic() - began < 2.5:
        passed += limited.request("GET", "/second", who).status == 200
    assert 2 <= passed <= 1 + (time.monotonic() - began)


def test_without_credentials_nothing_is_spent(limited: GatewayProcess) -> None:
    assert statuses(limited, "/closed", 3) == [401] * 3
    key = f"X-API-Key: {limited.key('acme')}"
    assert statuses(limited, "/closed", 2, key) == [200, 429]


def test_a_failed_service_is_told_with_what_is_left(limited: GatewayProcess) -> None:
    reply = limited.request("GET", "/dead", client("192.0.2.10"))
    assert (reply.status, told(reply)[:2]) == (502, ("7", "6"))


def test_a_network_of_ipv6_shares_a_bucket_and_the_proxy_says_whose(
    limited: GatewayProcess,
) -> None:
    addresses = ("2001:db8:5::1", "2001:db8:5::ffff:1", "2001:db8:5:1::1", "192.0.2.11")
    left = [told(limited.request("GET", "/burst", client(one)))[1] for one in addresses]
    assert left == ["4", "3", "4", "4"]
    # Only the last address was written by the proxy.
    forged = limited.request("GET", "/burst", client("203.0.113.1, 192.0.2.11"))
    assert told(forged)[1] == "3"


def test_a_live_edit_keeps_the_level_in_the_process(
    limited: GatewayProcess, upstream: Upstream, dead_port: int
) -> None:
    who = client("192.0.2.12")
    statuses(limited, "/edited", 60, who)
    left = []
    for limit in (200, 30, 100):
        limited.apply(configuration(upstream, dead_port, limit))
        left.append(int(told(limited.request("GET", "/edited", who))[1]))
    assert left == [39, 29, 28]


@pytest.mark.slow
def test_switched_off_limits_refuse_and_tell_nothing(
    limited: GatewayProcess, tmp_path: Path
) -> None:
    off = limited.copy(tmp_path, {"RATE_LIMIT_ENABLED": "false"})
    with off.serving():
        replies = [off.request("GET", "/tenant", "X-T: a") for _ in range(5)]
    assert {(reply.status, *told(reply)) for reply in replies} == {(200, "", "", "")}
