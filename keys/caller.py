"""The verified caller of one request, and the stored facts of an API key. Pure.

Both are built once, when a token is verified or a key is fetched, and shared by every request
that follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from keys.credentials import CredentialKind
from keys.errors import ExpiredApiKey, InvalidApiKey, RevokedApiKey
from runtime.networks import Network, contains


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. ``identity`` is the stable name that limits count by."""

    kind: CredentialKind
    """``jwt`` or ``api_key``: the value of ``X-Auth-Method``."""
    user_id: str
    """``X-User-Id``: the subject of a token, the consumer's name for an API key."""
    identity: str
    """``user:<sub>``, ``issuer:<iss> <sub>`` (external tokens) or ``consumer:<name>``."""
    consumer: str = ""
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()
    key_id: int | None = None
    key_prefix: str = ""
    allowed_routes: frozenset[str] | None = None
    """Route names an API key is good for; ``None`` is all."""
    allowed_networks: tuple[Network, ...] | None = None
    """Networks an API key may come from; ``None`` is all, an empty tuple none."""
    policy: Any = field(default=None, compare=False, repr=False)
    """What an app above attached to the consumer (:mod:`keys.policies`)."""
    issuer: str = ""
    """The external issuer of the token; empty for our own tokens and for API keys."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key as stored. Times are seconds since the epoch, ``None`` is never."""

    digest: str
    caller: Caller
    key_id: int
    active: bool = True
    """Neither revoked nor disabled, and its consumer enabled."""
    expires_at: float | None = None
    """The earlier of the key's expiry and, once rotated, the end of its grace time."""
    mark: int = field(default=0, compare=False)
    """Another one in this process when what is stored has changed (``keys.store.read_marks``)."""

    def check(self, client_ip: str, route_name: str, now: float) -> None:
        """Raise the ``ApiKeyRefused`` that applies.

        Place comes before standing: who calls from elsewhere learns nothing about the key.
        """
        networks, routes = self.caller.allowed_networks, self.caller.allowed_routes
        if networks is not None and not contains(networks, client_ip):
            raise InvalidApiKey("not from one of the key's networks")
        if routes is not None and route_name not in routes:
            raise InvalidApiKey("not for this route")
        if not self.active:
            raise RevokedApiKey("revoked or disabled")
        if self.expires_at is not None and now >= self.expires_at:
            raise ExpiredApiKey("past its expiry or grace time")
