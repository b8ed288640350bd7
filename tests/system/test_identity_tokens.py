"""Tokens over their life, seen from outside: issued, refreshed, reused, revoked, signed for."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.keys import forge
from tests.support.process import GatewayProcess
from tests.support.raw import Reply
from tests.support.upstream import Upstream
from tests.system.identity import api, code, post, sign_in

pytestmark = pytest.mark.timeout(180)


def call(gateway: GatewayProcess, access: str, path: str = "/keyed", *lines: str) -> Reply:
    return gateway.request("GET", path, f"Authorization: Bearer {access}", *lines)


def met(gateway: GatewayProcess, access: str) -> set[str]:
    """What a token is answered by all workers."""
    return {code(call(gateway, access)) for _ in range(20)}


def published(gateway: GatewayProcess) -> jwt.PyJWKSet:
    reply = gateway.request("GET", "/.well-known/jwks.json")
    assert (reply.status, reply.get("cache-control")) == (200, "public, max-age=300")
    return jwt.PyJWKSet.from_dict(json.loads(reply.body))


def session_of(access: str) -> str:
    claims: dict[str, Any] = jwt.decode(access, options={"verify_signature": False})
    return str(claims["sid"])


def audited(gateway: GatewayProcess, session: str) -> list[tuple[str, str, str, str]]:
    """Action, actor, outcome and address of what became of a session, in order."""
    found = api(gateway, "GET", f"audit-entries/?object_name={session}")["results"]
    return [
        (one["action"], one["actor"], one["outcome"], one["client_ip"])
        for one in sorted(found, key=lambda one: int(one["id"]))
    ]


def test_a_user_signs_in_calls_and_refreshes(world: GatewayProcess, upstream: Upstream) -> None:
    pair = sign_in(world)
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 1800)
    assert met(world, pair["access"]) == {"ok"}
    received = upstream.requests[-1]
    assert (received.get("x-user-id"), received.get("x-auth-method")) == ("1", "jwt")
    assert received.get("authorization") is None
    second = json.loads(post(world, "/auth/refresh", refresh=pair["refresh"]).body)
    assert met(world, second["access"]) == {"ok"}
    assert second["refresh"] != pair["refresh"]


def test_a_spent_refresh_token_ends_its_session_everywhere(world: GatewayProcess) -> None:
    first = sign_in(world)
    second = json.loads(post(world, "/auth/refresh", refresh=first["refresh"]).body)
    assert code(post(world, "/auth/refresh", refresh=first["refresh"])) == "revoked_token"
    time.sleep(1)  # the promise itself
    assert met(world, first["access"]) == met(world, second["access"]) == {"revoked_token"}
    assert code(post(world, "/auth/refresh", refresh=second["refresh"])) == "revoked_token"
    assert audited(world, session_of(first["access"])) == [
        ("token.issued", "ops", "success", "127.0.0.1"),
        ("token.refreshed", "ops", "success", "127.0.0.1"),
        ("token.reused", "ops", "refused", "127.0.0.1"),
    ]


def test_of_fifty_refreshes_at_once_one_wins(world: GatewayProcess) -> None:
    pair = sign_in(world)
    with ThreadPoolExecutor(50) as pool:
        replies = list(
            pool.map(lambda _: post(world, "/auth/refresh", refresh=pair["refresh"]), range(50))
        )
    answers = sorted(code(reply) for reply in replies)
    assert answers == ["ok", *["revoked_token"] * 49]


def test_a_revocation_reaches_every_worker_within_a_second(world: GatewayProcess) -> None:
    pair = sign_in(world)
    assert met(world, pair["access"]) == {"ok"}
    assert post(world, "/auth/revoke", refresh=pair["refresh"]).status == 204
    time.sleep(1)  # the promise itself
    assert met(world, pair["access"]) == {"revoked_token"}
    assert code(post(world, "/auth/refresh", refresh=pair["refresh"])) == "revoked_token"
    assert post(world, "/auth/revoke", refresh=pair["refresh"]).status == 204


def test_a_failed_sign_in_is_audited(world: GatewayProcess) -> None:
    assert code(post(world, "/auth/token", username="ops", password="x")) == "invalid_credentials"
    query = "audit-entries/?action=login.failed&actor=ops"
    assert api(world, "GET", query)["results"][0]["client_ip"] == "127.0.0.1"


def test_the_public_key_is_no_secret_to_sign_with(world: GatewayProcess) -> None:
    key = published(world).keys[0]
    claims = {"sub": "1", "exp": int(time.time()) + 600, "iss": "gateway"}
    forms = [
        key.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        world.request("GET", "/.well-known/jwks.json").body,
        b"",
    ]
    for secret in forms:
        for header in ({"alg": "HS256", "kid": key.key_id}, {"alg": "ES256", "kid": key.key_id}):
            forged = forge.signed({**header, "typ": "JWT"}, claims, secret)
            assert code(call(world, forged)) == "invalid_token"


def test_a_backend_verifies_the_caller_with_the_published_keys(
    world: GatewayProcess, upstream: Upstream
) -> None:
    call(world, sign_in(world)["access"], "/signed", "X-Gateway-Identity: forged")
    received = upstream.requests[-1]
    [token] = received.all("x-gateway-identity")
    key = published(world)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["ES256"], audience="signed", issuer="gateway")
    assert claims["sub"] == received.get("x-user-id")
    assert claims["exp"] - claims["iat"] == 60


def test_on_a_public_route_nobody_is_signed_for(world: GatewayProcess, upstream: Upstream) -> None:
    world.request("GET", "/public", "X-Gateway-Identity: forged")
    assert upstream.requests[-1].get("x-gateway-identity") is None


def test_a_key_rotated_under_way_costs_no_request(world: GatewayProcess) -> None:
    before = sign_in(world)
    world.manage("generate_keys")
    deadline = time.monotonic() + 10
    while len(published(world).keys) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    after = sign_in(world)
    answers = {code(call(world, pair["access"])) for pair in (before, after) for _ in range(5)}
    assert answers == {"ok"}
