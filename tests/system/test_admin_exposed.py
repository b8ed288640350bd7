"""``ADMIN_EXPOSED=false``: the admin and the API answer on the loopback port of ``serve`` alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import find_free_port
from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import request
from tests.system.test_answers import assert_problem


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """``serve`` with the admin hidden."""
    gateway = new_gateway(
        tmp_path_factory.mktemp("hidden"),
        {
            "ADMIN_EXPOSED": "false",
            "ADMIN_PORT": str(find_free_port()),
            "ALLOWED_HOSTS": "gateway.test",
        },
    )
    with gateway.serving():
        yield gateway


@pytest.mark.parametrize(
    "target", ["/admin/", "/admin/login/", "/admin", "/x/../admin/", "/admin;a/",
               "//admin/", "/api/gateway/routes/"],
)  # fmt: skip
def test_the_public_port_has_no_admin(hidden: GatewayProcess, target: str) -> None:
    assert_problem(hidden.request("GET", target), 404, "route_not_found")


def test_the_loopback_port_has_it(hidden: GatewayProcess) -> None:
    port = int(hidden.environment["ADMIN_PORT"])
    login = request(port, "GET", "/admin/login/")
    assert (login.status, b"password" in login.body) == (200, True)


def test_what_clients_need_stays(hidden: GatewayProcess) -> None:
    assert hidden.request("GET", "/health").status == 200
    assert hidden.request("POST", "/auth/refresh", body=b"{}").get("x-gateway-error") != (
        "route_not_found"
    )
