"""``explain`` tells why, and sends nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from django.core.management import CommandError

from routing import files, revision
from routing.models import Route
from tests.revision.test_commands import run

pytestmark = pytest.mark.django_db(transaction=True)

SHOP = """
limits: [{limit: 900, per: minute, by: ip}]
services:
  shop:
    instances: [{url: "http://10.0.0.1"}, {url: "http://10.0.0.2", weight: 0}]
routes:
  - {name: wide, path: "/{rest:path}", service: shop, auth_required: false}
  - {name: item, path: "/items/{id}", service: shop, rewrite: "/v2/{id}", rate_limit: 5}
  - {name: urgent, path: "/items/{id}", service: shop, priority: 9, methods: [DELETE]}
  - {name: hosted, path: "/items/{id}", service: shop, hosts: [a.example.com]}
"""


@pytest.fixture(autouse=True)
def shop(transactional_db: None) -> None:
    revision.apply(files.parse([("shop.yaml", SHOP)]))


def test_the_winner_is_shown_with_its_policies_in_order() -> None:
    lines = run("explain", "GET", "/items/%37?x", "-H", "X-API-Key: secret").splitlines()
    assert [line.split()[0] for line in lines[:8]] == [
        "request",
        "route",
        "body",
        "identify",
        "spend",
        "spend",
        "forward",
        "timeouts",
    ]
    assert lines[0] == "request    GET /items/7"
    assert "/v2/7 to shop" in lines[6]
    assert "secret" not in "".join(lines)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("GET", "/items/7"), "lost       wide by path: /items/{id} of item is more specific"),
        (("GET", "/items/7"), "lost       urgent by method: only DELETE"),
        (("GET", "/items/7"), "lost       hosted by host: only for a.example.com"),
        (("DELETE", "/items/7"), "lost       item by priority: 0 is below 9 of urgent"),
        (
            ("GET", "http://a.example.com/items/7"),
            "lost       item by host: hosted names the host more closely",
        ),
        (
            ("GET", "/items/7", "-H", "Host: A.example.com:8001"),
            "lost       item by host: hosted names the host more closely",
        ),
        (("GET", "/other"), "lost       item by path: /items/{id} does not match"),
        (("GET", "/items/7"), "instance   http://10.0.0.2 weight 0: not used, drained"),
        (("GET", "/items/7"), "spend      900 per minute, burst 900, by ip, over all routes"),
        (("GET", "/items/7"), "connect 2 s, first byte 30 s, read 30 s, total 60 s"),
        (("GET", "/a/%zz"), "400 bad_path: "),
        (("GET", "/admin/x"), "reserved   the gateway answers this path itself"),
    ],
)
def test_what_decided_is_named(arguments: tuple[str, ...], line: str) -> None:
    assert line in run("explain", *arguments)


def test_limits_over_all_routes_are_shown_behind_those_of_the_route() -> None:
    revision.apply(files.parse([("limits.yaml", "limits: [{limit: 9, per: second, by: ip}]")]))
    spend = [one for one in run("explain", "GET", "/items/7").splitlines() if "spend" in one]
    assert spend == [
        "spend      5 per minute, burst 5, by caller",
        "spend      9 per second, burst 9, by ip, over all routes",
    ]


def test_what_is_switched_off_is_said(settings: Any) -> None:
    settings.GATEWAY = replace(
        settings.GATEWAY, rate_limit_enabled=False, circuit_breaker_enabled=False
    )
    lines = run("explain", "GET", "/items/7")
    assert "spend      no limit: RATE_LIMIT_ENABLED is false" in lines
    assert "breaker    none: CIRCUIT_BREAKER_ENABLED is false" in lines


def test_no_route_is_404_and_another_method_is_405() -> None:
    text = SHOP.replace("/{rest:path}", "/w, methods: [GET]").replace('"/w, methods', "/w, methods")
    revision.apply(files.parse([("f", text.replace('[GET]"', "[GET]"))]), prune=True)
    assert "404 route_not_found" in run("explain", "GET", "/nowhere")
    assert "405 method_not_allowed: allowed are GET, HEAD" in run("explain", "PUT", "/w")


def test_a_route_that_does_not_compile_is_shown_closed() -> None:
    Route.objects.filter(name="item").update(rewrite="/{nothing}")
    assert "503 route_misconfigured: rewrite: " in run("explain", "GET", "/items/7")


@pytest.mark.parametrize(
    "arguments",
    [("GET", "items"), ("GET", "http://["), ("G T", "/a"), ("GET", "/a", "-H", "nonsense")],
)
def test_what_cannot_be_read_is_said(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="expected"):
        run("explain", *arguments)
