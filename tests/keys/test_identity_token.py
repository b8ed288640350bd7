"""Signed identity: what a backend can verify, and when nothing is signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from keys.caller import Caller
from keys.credentials import CredentialKind
from keys.errors import InvalidToken
from keys.identity_token import IdentitySigner
from keys.key_pairs import store_key
from keys.key_ring import KeyRing, directory_of
from keys.tokens import TokenVerifier
from proxying.errors import RouteMisconfigured
from proxying.exchange import Bytes, Exchange
from proxying.forwarding import Forwarder
from proxying.services import Upstreams
from proxying.snapshot import Plan
from proxying.upstream.base import Timeouts
from quotas.rules import RouteLimits
from routing.document import Document, InstanceSpec, RouteSpec, ServiceSpec
from routing.table import build_table
from tests.keys.forge import NOW, SECRET
from tests.keys.shelf import Clock, acme
from tests.keys.test_issuer import Given
from tests.keys.test_jwks import EC

ALICE = Caller(CredentialKind.JWT, "7", "user:7", roles=("editors",), permissions=("a", "b"))


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    given = Given(var_directory=tmp_path)
    store_key(directory_of(given), EC, NOW)
    return KeyRing(given)


def read(ring: KeyRing, token: bytes | None, service: str) -> dict[str, Any]:
    assert token is not None
    [published] = ring.published()
    assert jwt.get_unverified_header(token)["kid"] == published["kid"]
    key = jwt.PyJWK(dict(published))
    options: Any = {"verify_exp": False, "verify_iat": False}
    return jwt.decode(token, key, ["ES256"], audience=service, options=options)


def test_a_backend_verifies_who_calls_with_our_key_set(ring: KeyRing) -> None:
    signer = IdentitySigner(ring, "gateway", now=Clock(NOW))
    assert read(ring, signer.token(ALICE, "billing"), "billing") == {
        "iss": "gateway", "aud": "billing", "sub": "7", "iat": NOW, "exp": NOW + 60,
        "auth_method": "jwt", "roles": ["editors"], "permissions": ["a", "b"],
    }  # fmt: skip
    consumer = read(ring, signer.token(acme(), "billing"), "billing")
    assert (consumer["consumer"], consumer["auth_method"]) == ("acme", "api_key")


def test_one_backend_cannot_use_it_at_another(ring: KeyRing) -> None:
    signer = IdentitySigner(ring, "gateway", now=Clock(NOW))
    with pytest.raises(jwt.InvalidAudienceError):
        read(ring, signer.token(ALICE, "billing"), "reports")


def test_it_is_no_access_token_here(ring: KeyRing) -> None:
    token = IdentitySigner(ring, "gateway", now=Clock(NOW)).token(ALICE, "billing")
    assert token is not None
    with pytest.raises(InvalidToken):
        TokenVerifier(ring.key_for, now=Clock(NOW)).verify(token.decode())


def test_it_is_signed_once_for_half_its_life(ring: KeyRing) -> None:
    clock = Clock(NOW)
    signer = IdentitySigner(ring, "gateway", now=clock)
    first = signer.token(ALICE, "billing")
    clock.seconds += 29
    assert signer.token(ALICE, "billing") is first
    clock.seconds += 1
    assert signer.token(ALICE, "billing") != first


def test_other_rights_are_another_token(ring: KeyRing) -> None:
    signer = IdentitySigner(ring, "gateway", now=Clock(NOW))
    demoted = Caller(CredentialKind.JWT, "7", "user:7")
    signer.token(ALICE, "billing")
    assert "roles" not in read(ring, signer.token(demoted, "billing"), "billing")


def test_a_shared_secret_signs_nothing_for_others() -> None:
    ring = KeyRing(Given("HS256", SECRET))
    assert IdentitySigner(ring, "gateway").token(ALICE, "billing") is None


def test_without_a_key_nothing_is_signed(tmp_path: Path) -> None:
    ring = KeyRing(Given(var_directory=tmp_path))
    assert IdentitySigner(ring, "gateway").token(ALICE, "billing") is None


async def test_a_service_that_asks_for_a_signature_gets_no_request_without_one() -> None:
    service = ServiceSpec(instances=(InstanceSpec(url="http://192.0.2.1"),), signed_identity=True)
    route = RouteSpec(name="r", path="/", service="s")
    table = build_table(Document(services={"s": service}, routes=(route,)))
    nobody: Any = None
    upstreams = Upstreams(None).adopt(table.services)
    plan = Plan(table.routes["r"], RouteLimits("r"), upstreams["s"], Timeouts(1, 1, 1, 1))
    exchange = Exchange("GET", b"/", None, [], Bytes(b""), "192.0.2.9", "http", 80)
    exchange.caller = ALICE
    for signer in (None, IdentitySigner(KeyRing(Given("HS256", SECRET)), "gateway")):
        forwarder = Forwarder(nobody, max_body_bytes=0, signer=signer)
        with pytest.raises(RouteMisconfigured):
            await forwarder.forward(exchange, plan)
