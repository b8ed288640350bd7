"""The admin through the gateway: what it says behind TLS, locked out, and with which request id."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.process import PASSWORD, GatewayProcess, new_gateway
from tests.system.identity import CONFIGURATION, asked

pytestmark = pytest.mark.timeout(180)

LOGIN = "/admin/login/"


@pytest.fixture(scope="module")
def behind_tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway behind a proxy that ends TLS, on this machine."""
    settings = {"ADMIN_HTTPS": "true", "TRUSTED_PROXIES": "127.0.0.1/32"}
    gateway = new_gateway(tmp_path_factory.mktemp("tls"), settings)
    gateway.apply(CONFIGURATION.format(url="http://127.0.0.1:9"))
    gateway.add_operator()
    with gateway.serving():
        yield gateway


@pytest.fixture
def proxy(behind_tls: GatewayProcess) -> Iterator[httpx.Client]:
    """What the proxy sends on for a browser at 192.0.2.7."""
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
    base = f"http://127.0.0.1:{behind_tls.port}"
    with httpx.Client(base_url=base, headers=headers, timeout=30) as client:
        yield client


def sign_in(proxy: httpx.Client, password: str) -> httpx.Response:
    # The jar keeps secure cookies to itself: towards the proxy the connection is not secure.
    token = proxy.get(LOGIN).headers["set-cookie"].partition("=")[2].partition(";")[0]
    return proxy.post(
        LOGIN,
        data={"username": "ops", "password": password, "csrfmiddlewaretoken": token},
        headers={
            "Cookie": f"csrftoken={token}",
            "Origin": str(proxy.base_url).replace("http:", "https:").rstrip("/"),
        },
    )


def test_behind_tls_cookies_are_secure_and_hsts_is_sent(proxy: httpx.Client) -> None:
    page = proxy.get(LOGIN)
    assert page.headers["strict-transport-security"] == "max-age=31536000"
    assert "Secure" in page.headers["set-cookie"]
    answer = sign_in(proxy, PASSWORD)
    assert answer.status_code == 302
    [session] = [
        cookie
        for cookie in answer.headers.get_list("set-cookie")
        if cookie.startswith("gateway_session=")
    ]
    assert {"Secure", "HttpOnly"} <= {part.strip() for part in session.split(";")}


def test_pages_have_a_policy_and_the_requests_id(proxy: httpx.Client) -> None:
    page = proxy.get(LOGIN, headers={"X-Request-Id": "r-1"})
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert page.headers.get_list("x-request-id") == ["r-1"]


def test_a_lock_out_shows_a_page_and_is_audited_with_the_browsers_address(
    proxy: httpx.Client, behind_tls: GatewayProcess
) -> None:
    # An address of its own: what is locked out is a name at an address.
    proxy.headers["X-Forwarded-For"] = "192.0.2.66"
    answers = [sign_in(proxy, "guess") for _ in range(11)]
    assert {answer.status_code for answer in answers[:9]} == {200}
    assert answers[-1].status_code == 429
    assert "Too many failed attempts" in answers[-1].text
    assert sign_in(proxy, PASSWORD).status_code == 429
    entry = asked(
        behind_tls,
        "E.objects.filter(action='login.locked_out').values('actor', 'client_ip').get()",
        "from audit.models import AuditEntry as E",
    )
    assert entry == {"actor": "ops", "client_ip": "192.0.2.66"}
