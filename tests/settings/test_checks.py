"""Rules between settings, each by its id."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from django.conf import settings as django_settings

from gateway_project.checks import check_settings
from keys.key_pairs import store_key


def private_key(password: bytes = b"") -> str:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()


def ids(settings: Any, **changes: Any) -> set[str | None]:
    settings.GATEWAY = replace(django_settings.GATEWAY, **changes)
    return {message.id for message in check_settings()}


def test_the_settings_of_the_tests_break_no_rule(settings: Any) -> None:
    assert ids(settings) == set()


def test_a_cluster_needs_redis_a_database_server_and_a_name(settings: Any) -> None:
    found = ids(settings, deployment_mode="cluster", cluster_node_count=3)
    assert found == {"gateway.E001", "gateway.E002", "gateway.E003"}


def test_an_election_outlasts_a_heartbeat(settings: Any) -> None:
    found = ids(settings, cluster_enabled=True, cluster_election_timeout=5.0)
    assert "gateway.E004" in found


@pytest.mark.parametrize("kind", ["redis", "mysql", "nacos"])
def test_a_cluster_that_is_switched_on_has_nodes(settings: Any, kind: str) -> None:
    assert ids(settings, **{f"{kind}_cluster_enabled": True}) == {"gateway.E005"}
    nodes = {f"{kind}_cluster_enabled": True, f"{kind}_cluster_nodes": ("a:1",)}
    assert ids(settings, **nodes) == set()


def test_an_asymmetric_algorithm_needs_keys(settings: Any) -> None:
    assert ids(settings, jwt_algorithm="ES256") == {"gateway.E006", "gateway.E007"}
    assert ids(settings, jwt_algorithm="ES256", jwt_private_key=private_key()) == set()


def test_a_key_made_by_generate_keys_is_enough(settings: Any, tmp_path: Path) -> None:
    store_key(tmp_path / "keys", ec.generate_private_key(ec.SECP256R1()), 0.0)
    assert ids(settings, jwt_algorithm="ES256", var_directory=tmp_path) == set()
    assert ids(settings, jwt_algorithm="EdDSA", var_directory=tmp_path) == {"gateway.E007"}


def test_an_external_issuer_has_a_name_of_its_own(settings: Any) -> None:
    url, lines = "https://a.example/keys", ("a=https://a.example/keys", "b=https://b.example/keys")
    assert ids(settings, jwt_jwks_url=url) == {"gateway.E011"}
    assert ids(settings, jwt_jwks_url=url, jwt_issuer="c", jwt_issuers=lines) == set()
    for name in ("a", "b"):
        assert ids(settings, jwt_issuer=name, jwt_issuers=lines) == {"gateway.E012"}
    assert ids(settings, jwt_issuers=(*lines, lines[0])) == {"gateway.E012"}
    assert ids(settings, jwt_issuers=("gateway=https://a.example/keys",)) == {"gateway.E012"}


@pytest.mark.parametrize("pem", ["nonsense", private_key(b"locked")], ids=["text", "encrypted"])
def test_keys_must_be_readable(settings: Any, pem: str) -> None:
    found = ids(settings, jwt_algorithm="ES256", jwt_private_key=pem, jwt_public_key="nonsense")
    assert found == {"gateway.E008", "gateway.E009"}


def test_no_message_shows_a_key(settings: Any) -> None:
    changes: dict[str, Any] = {
        "jwt_algorithm": "ES256",
        "jwt_private_key": "hunter2",
        "secret_key": "hunter2",
    }
    settings.GATEWAY = replace(django_settings.GATEWAY, **changes)
    assert "hunter2" not in str(check_settings())


def test_debug_is_off_in_production(settings: Any) -> None:
    assert ids(settings, environment="prod", debug=True) == {"gateway.E010"}


def test_doubtful_settings_are_warned_of(settings: Any) -> None:
    changes = {"undeclared": ("PROT",), "secret_key": "short", "trusted_proxies": ("0.0.0.0/0",)}
    assert ids(settings, **changes) == {"gateway.W001", "gateway.W002", "gateway.W003"}


@pytest.mark.parametrize(
    "change",
    [
        {"service_discovery_type": "consul"},
        {"tracing_enabled": True},
        {"mysql_cluster_read_replicas": ("db2:3306",)},
    ],
)
def test_what_has_no_effect_yet_is_said(settings: Any, change: dict[str, Any]) -> None:
    assert ids(settings, **change) == {"gateway.W004"}
