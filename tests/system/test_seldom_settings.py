"""One gateway with settings that few change and that leave each other alone.

``ADMIN_EXPOSED=false``: the admin and the API answer on the loopback port of ``serve`` alone.
``RATE_LIMIT_MYSQL_ASYNC=false``: a record is written before the answer.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import find_free_port
from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import request
from tests.support.upstream import Upstream
from tests.system.test_answers import assert_problem

CONFIGURATION = """
services:
  echo: {{instances: [{{url: "{url}"}}], breaker: null, retry: {{attempts: 1}}}}
routes:
  - {{path: /open, service: echo, rate_limit: 60, auth_required: false}}
"""


@pytest.fixture(scope="module")
def seldom(
    tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream
) -> Iterator[GatewayProcess]:
    """``serve`` with these settings."""
    gateway = new_gateway(
        tmp_path_factory.mktemp("seldom"),
        {
            "ADMIN_EXPOSED": "false",
            "ADMIN_PORT": str(find_free_port()),
            "ALLOWED_HOSTS": "gateway.test",
            "RATE_LIMIT_MYSQL_ASYNC": "false",
            "RATE_LIMIT_RECORD_SECONDS": "60",
        },
    )
    gateway.apply(CONFIGURATION.format(url=_upstream.url))
    with gateway.serving():
        yield gateway


@pytest.mark.parametrize(
    "target", ["/admin/", "/admin/login/", "/admin", "/x/../admin/", "/admin;a/",
               "//admin/", "/api/gateway/routes/"],
)  # fmt: skip
def test_the_public_port_has_no_admin(seldom: GatewayProcess, target: str) -> None:
    assert_problem(seldom.request("GET", target), 404, "route_not_found")


def test_the_loopback_port_has_it(seldom: GatewayProcess) -> None:
    port = int(seldom.environment["ADMIN_PORT"])
    login = request(port, "GET", "/admin/login/")
    assert (login.status, b"password" in login.body) == (200, True)


def test_what_clients_need_stays(seldom: GatewayProcess) -> None:
    assert seldom.request("GET", "/health").status == 200
    assert seldom.request("POST", "/auth/refresh", body=b"{}").get("x-gateway-error") != (
        "route_not_found"
    )


def test_with_async_off_the_record_is_there_before_the_answer(seldom: GatewayProcess) -> None:
    asked = "SELECT allowed FROM rate_limit_records WHERE route = 'open'"
    for number in range(1, 6):
        assert seldom.request("GET", "/open").status == 200
        assert seldom.query(asked) == [(number,)]
