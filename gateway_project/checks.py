"""System checks: rules between settings. One setting alone is judged where it is read, ``env``."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning

from gateway_project.env import Settings
from keys.issuers import own_name, parse_issuer
from keys.key_pairs import stored_keys
from keys.key_ring import directory_of

_SHORTEST_SECRET: Final = 32
"""Bytes: RFC 7518 section 3.2 asks as much of an HS256 key."""


def check_settings(**_: Any) -> list[CheckMessage]:
    """Every rule, each reported with its id."""
    settings: Settings = django_settings.GATEWAY
    return [message for rule in _RULES for message in rule(settings)]


def _cluster(settings: Settings) -> Iterator[CheckMessage]:
    if not settings.is_cluster_mode:
        return
    if not settings.has_redis:
        yield Error(
            "Cluster mode without Redis: nodes would not share limits and tokens.",
            hint="Set REDIS_URL, REDIS_HOST or REDIS_CLUSTER_ENABLED.",
            id="gateway.E001",
        )
    if django_settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"):
        yield Error(
            "Cluster mode with SQLite: nodes would not share the configuration.",
            hint="Set DATABASE_URL or MYSQL_HOST.",
            id="gateway.E002",
        )
    if settings.cluster_node_count > 1 and not settings.cluster_node_id:
        yield Error("CLUSTER_NODE_ID is empty in a cluster of several nodes.", id="gateway.E003")
    if settings.cluster_election_timeout <= settings.cluster_heartbeat_interval:
        yield Error(
            "CLUSTER_ELECTION_TIMEOUT is not longer than CLUSTER_HEARTBEAT_INTERVAL.",
            id="gateway.E004",
        )


def _node_lists(settings: Settings) -> Iterator[CheckMessage]:
    lists = (
        ("REDIS_CLUSTER", settings.redis_cluster_enabled, settings.redis_cluster_nodes),
        ("NACOS_CLUSTER", settings.nacos_cluster_enabled, settings.nacos_cluster_nodes),
        (
            "MYSQL_CLUSTER",
            settings.mysql_cluster_enabled,
            settings.mysql_cluster_nodes or settings.mysql_cluster_write_node,
        ),
    )
    for name, enabled, nodes in lists:
        if enabled and not nodes:
            yield Error(f"{name}_ENABLED is true and {name}_NODES is empty.", id="gateway.E005")


def _token_keys(settings: Settings) -> Iterator[CheckMessage]:
    if settings.uses_shared_secret:
        return
    private, public = settings.jwt_private_key, settings.jwt_public_key
    stored = [] if private or public else stored_keys(directory_of(settings))
    if not (private or public or stored or settings.jwt_jwks_url or settings.jwt_issuers):
        yield Error(
            f"JWT_ALGORITHM={settings.jwt_algorithm} and no key to verify tokens with.",
            hint="Run manage.py generate_keys, or set JWT_PRIVATE_KEY, JWT_PUBLIC_KEY, "
            "JWT_JWKS_URL or JWT_ISSUERS.",
            id="gateway.E006",
        )
    signs = private or any(key.signing.algorithm == settings.jwt_algorithm for key in stored)
    if settings.auth_token_enabled and not signs:
        yield Error(
            f"AUTH_TOKEN_ENABLED with JWT_ALGORITHM={settings.jwt_algorithm} and no key to sign "
            "with.",
            hint="Run manage.py generate_keys or set JWT_PRIVATE_KEY.",
            id="gateway.E007",
        )
    if private and not _loads(lambda: load_pem_private_key(private.encode(), password=None)):
        yield Error("JWT_PRIVATE_KEY is not an unencrypted PEM private key.", id="gateway.E008")
    if public and not _loads(lambda: load_pem_public_key(public.encode())):
        yield Error("JWT_PUBLIC_KEY is not a PEM public key.", id="gateway.E009")


def _issuers(settings: Settings) -> Iterator[CheckMessage]:
    if settings.jwt_jwks_url and not settings.jwt_issuer:
        yield Error(
            "JWT_JWKS_URL without JWT_ISSUER: no token would be known to be that issuer's.",
            id="gateway.E011",
        )
    names = [parse_issuer(text).name for text in settings.jwt_issuers]
    taken = [settings.jwt_issuer, own_name(settings.jwt_issuer, settings.jwt_jwks_url)]
    for name in sorted({name for name in names if names.count(name) > 1 or name in taken}):
        yield Error(
            f"JWT_ISSUERS names {name}, which stands for another issuer already.",
            id="gateway.E012",
        )


def _loads(load: Callable[[], object]) -> bool:
    try:
        load()
    except Exception:
        # The library promises no list of errors, and their text may show the key.
        return False
    return True


def _production(settings: Settings) -> Iterator[CheckMessage]:
    if settings.environment == "prod" and settings.debug:
        yield Error("DEBUG is on in the prod environment.", id="gateway.E010")


def _doubtful(settings: Settings) -> Iterator[CheckMessage]:
    for name in settings.undeclared:
        yield Warning(
            f"{settings.env_file} sets {name}, which is no setting of the gateway.",
            hint="docs/settings.md lists them all.",
            id="gateway.W001",
        )
    secrets = {"SECRET_KEY": settings.secret_key}
    if settings.uses_shared_secret:
        secrets["JWT_SECRET_KEY"] = settings.jwt_secret_key
    for name, value in secrets.items():
        if len(value.encode()) < _SHORTEST_SECRET:
            yield Warning(f"{name} is shorter than {_SHORTEST_SECRET} bytes.", id="gateway.W002")
    for text in settings.trusted_proxies:
        if ipaddress.ip_network(text).prefixlen == 0:
            yield Warning(
                f"TRUSTED_PROXIES holds {text}: every client may choose its address.",
                id="gateway.W003",
            )


def _without_effect(settings: Settings) -> Iterator[CheckMessage]:
    told = {
        f"SERVICE_DISCOVERY_TYPE={settings.service_discovery_type}": (
            settings.service_discovery_type != "static",
            "instances come from the configuration alone",
        ),
        "TRACING_ENABLED": (settings.tracing_enabled, "no spans are exported"),
        "MYSQL_CLUSTER_READ_REPLICAS": (
            bool(settings.mysql_cluster_read_replicas),
            "everything is read where it is written",
        ),
    }
    for name, (is_set, instead) in told.items():
        if is_set:
            yield Warning(f"{name} has no effect yet: {instead}.", id="gateway.W004")


_RULES: Final = (
    _cluster,
    _node_lists,
    _token_keys,
    _issuers,
    _production,
    _doubtful,
    _without_effect,
)
