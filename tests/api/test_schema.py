"""The OpenAPI schema and the page that shows it."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django.live_server_helper import LiveServer

from routing.document import RouteSpec, ServiceSpec
from tests.api.conftest import API, Send

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.django_db


def test_the_schema_is_valid_and_made_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn")
    assert "openapi: 3.1.0" in capsys.readouterr().out


def test_services_and_routes_are_described_as_they_are_read(send: Send) -> None:
    schemas = send("GET", "schema/?format=json").json()["components"]["schemas"]
    for name, spec in (("Service", ServiceSpec), ("Route", RouteSpec)):
        described = {*schemas[name]["properties"]}
        assert described == {"name", *spec.__struct_fields__}
        assert schemas[name]["additionalProperties"] is False
    assert "round_robin" in schemas["BalancerEnum"]["enum"]


def test_every_operation_answers_problems(send: Send) -> None:
    paths = send("GET", "schema/?format=json").json()["paths"]
    for path, operations in paths.items():
        assert path.startswith(API)
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


def test_the_page_has_nothing_inline_that_its_policy_forbids(admin_client: Client) -> None:
    page = admin_client.get(f"{API}docs/")
    assert "unsafe-eval" not in page.headers["Content-Security-Policy"]
    assert "<script>" not in page.content.decode()
    script = admin_client.get(f"{API}docs/?script=")
    assert script.headers["Content-Type"].startswith("application/javascript")


@pytest.mark.services
@pytest.mark.django_db(transaction=True)
def test_a_browser_shows_the_operations(
    browser: Browser, live_server: LiveServer, admin_client: Client
) -> None:
    context = browser.new_context()
    for name, cookie in admin_client.cookies.items():
        context.add_cookies([{"name": name, "value": cookie.value, "url": live_server.url}])
    page = context.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    answer = page.goto(f"{live_server.url}{API}docs/")
    assert answer is not None
    assert answer.status == HTTPStatus.OK
    page.wait_for_selector("text=/api/gateway/routes/{name}/", timeout=20_000)
    assert [text for text in refused if "Content Security Policy" in text] == []
    context.close()
