"""The token side of the control plane, put together from the settings once a process.

The data plane has its own key ring and revocation list; here are the parts that issue, refresh and
revoke. Leans on ``django.conf`` and on ``runtime.redis``.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

from django.conf import settings
from redis.exceptions import RedisClusterException, RedisError

from keys.errors import KeyStoreUnavailable
from keys.issuer import Issuer
from keys.issuers import own_name
from keys.key_ring import KeyRing, TokenKeySettings
from keys.refresh.base import RefreshStore
from keys.refresh.memory import MemoryStore
from keys.refresh.redis import RedisStore
from keys.refresh.sessions import Sessions
from keys.refresh.texts import TokenPress
from keys.revocation import revoke, until
from keys.throttling import Throttle
from runtime import redis
from runtime.redis_place import Place, place

_DAY_MS = 86_400_000
_UPKEEP = 10
"""How many refreshes an address may make for each sign-in. A refresh token cannot be guessed, and
many people behind one address refresh at their own times."""
_assembling = threading.Lock()
"""Two first requests at once must not make two stores: one would forget its sessions."""


class TokenSettings(TokenKeySettings, Protocol):
    """The settings this module reads; those of the gateway have more."""

    @property
    def auth_token_enabled(self) -> bool: ...
    @property
    def auth_requests_per_minute(self) -> int: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def jwt_issuer(self) -> str: ...
    @property
    def jwt_audience(self) -> str: ...
    @property
    def jwt_jwks_url(self) -> str: ...
    @property
    def jwt_leeway_seconds(self) -> int: ...
    @property
    def jwt_expiration_minutes(self) -> int: ...
    @property
    def jwt_refresh_expiration_days(self) -> int: ...
    @property
    def jwt_refresh_rotation_enabled(self) -> bool: ...
    @property
    def jwt_refresh_grace_seconds(self) -> int: ...


@dataclass(frozen=True, slots=True)
class TokenDesk:
    """What the token endpoints stand on."""

    enabled: bool
    """Whether passwords are taken (``AUTH_TOKEN_ENABLED``)."""
    ring: KeyRing
    sessions: Sessions
    throttle: Throttle
    """Of passwords."""
    upkeep_throttle: Throttle
    """Of refreshing and revoking."""


def token_desk() -> TokenDesk:
    """The desk for the current settings. Raises ``KeyStoreUnavailable`` and ``UnusableKey``."""
    with _assembling:
        return _desk(settings.GATEWAY, place())


@lru_cache(maxsize=1)
def _desk(given: TokenSettings, here: Place) -> TokenDesk:
    ring = KeyRing(given)
    lifetime = given.jwt_expiration_minutes * 60
    sessions = Sessions(
        _store(given, here),
        Issuer(ring, own_name(given.jwt_issuer, given.jwt_jwks_url), lifetime, given.jwt_audience),
        TokenPress(given.secret_key),
        partial(revoke, lifetime=until(lifetime, given.jwt_leeway_seconds)),
        rotation=given.jwt_refresh_rotation_enabled,
        now=time.time,
    )
    return TokenDesk(
        given.auth_token_enabled,
        ring,
        sessions,
        Throttle(given.auth_requests_per_minute),
        Throttle(given.auth_requests_per_minute * _UPKEEP),
    )


def _store(given: TokenSettings, here: Place) -> RefreshStore:
    lifetime = given.jwt_refresh_expiration_days * _DAY_MS
    grace = given.jwt_refresh_grace_seconds * 1000
    if not (here.url or here.cluster_nodes):
        return MemoryStore(lifetime=lifetime, grace=grace)
    try:
        client = redis.blocking_client(here)
    except (RedisError, RedisClusterException, OSError) as error:
        raise KeyStoreUnavailable(f"{type(error).__name__}: {error}") from error
    return RedisStore(client, lifetime=lifetime, grace=grace, prefix=here.prefix)
