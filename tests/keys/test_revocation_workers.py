"""The token side of a real gateway with two workers, through its sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import Reply
from tests.support.upstream import Upstream

PASSWORD = "correct horse battery staple"
CONFIGURATION = """
services:
  backend: {{instances: [{{url: "{url}"}}], signed_identity: true}}
routes:
  - {{name: closed, path: /closed, service: backend}}
  - {{name: open, path: /open, service: backend, auth_required: false}}
"""


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream
) -> Iterator[GatewayProcess]:
    gateway = new_gateway(
        tmp_path_factory.mktemp("tokens"),
        {"RATE_LIMIT_PER_WORKER": "true", "ALLOWED_HOSTS": "gateway.test"},
    )
    gateway.manage("generate_keys", "--algorithm", "ES256")
    gateway.environment |= {"JWT_ALGORITHM": "ES256", "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    gateway.manage("createsuperuser", "--noinput", "--username", "ops", "--email", "ops@localhost")
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    with gateway.serving("--workers", "2"):
        yield gateway


def post(gateway: GatewayProcess, path: str, **content: str) -> Reply:
    return gateway.request("POST", path, body=json.dumps(content).encode())


def sign_in(gateway: GatewayProcess) -> dict[str, Any]:
    reply = post(gateway, "/auth/token", username="ops", password=PASSWORD)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)  # type: ignore[no-any-return]  # an object, by the contract


def call(gateway: GatewayProcess, access: str, path: str = "/closed") -> Reply:
    return gateway.request("GET", path, f"Authorization: Bearer {access}")


def published(gateway: GatewayProcess) -> jwt.PyJWKSet:
    reply = gateway.request("GET", "/.well-known/jwks.json")
    assert (reply.status, reply.get("cache-control")) == (200, "public, max-age=300")
    return jwt.PyJWKSet.from_dict(json.loads(reply.body))


def test_a_revocation_reaches_every_worker_within_a_second(gateway: GatewayProcess) -> None:
    pair = sign_in(gateway)
    assert {call(gateway, pair["access"]).status for _ in range(10)} == {200}
    assert post(gateway, "/auth/revoke", refresh=pair["refresh"]).status == 204
    time.sleep(1)  # the promise itself
    replies = [call(gateway, pair["access"]) for _ in range(20)]
    assert {(one.status, one.get("x-gateway-error")) for one in replies} == {(401, "revoked_token")}
    assert post(gateway, "/auth/refresh", refresh=pair["refresh"]).status == 401


def test_a_backend_verifies_the_caller_with_the_published_keys(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    pair = sign_in(gateway)
    forged = "X-Gateway-Identity: forged"
    gateway.request("GET", "/closed", f"Authorization: Bearer {pair['access']}", forged)
    token = upstream.requests[-1].get("x-gateway-identity") or ""
    key = published(gateway)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["ES256"], audience="backend", issuer="gateway")
    assert claims["sub"] == upstream.requests[-1].get("x-user-id")
    assert claims["exp"] - claims["iat"] == 60


def test_on_a_public_route_nobody_is_signed_for(
    gateway: GatewayProcess, upstream: Upstream
) -> None:
    gateway.request("GET", "/open", "X-Gateway-Identity: forged")
    assert upstream.requests[-1].get("x-gateway-identity") is None


def test_a_key_rotated_under_way_costs_no_request(gateway: GatewayProcess) -> None:
    before = sign_in(gateway)
    gateway.manage("generate_keys")
    deadline = time.monotonic() + 10
    while len(published(gateway).keys) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    after = sign_in(gateway)
    statuses = {call(gateway, pair["access"]).status for pair in (before, after) for _ in range(5)}
    assert statuses == {200}
