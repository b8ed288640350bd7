"""Signed identity: the caller as a short-lived JWT for services that ask for one.

A backend that verifies ``X-Gateway-Identity`` with our key set need not trust plain headers, nor
the network between. The token names its service as audience, so one backend cannot use it at
another, and its type is its own, so it is no access token here. Leans on :mod:`keys.key_ring`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from keys.bounded import Bounded
from keys.caller import Caller
from keys.key_ring import KeyRing

IDENTITY_TYPE = "identity+jwt"
LIFETIME = 60
"""Seconds. A token is reused for half of them, so a backend sees at least the other half."""


class IdentitySigner:
    """Signs and remembers identity tokens, at most *size*. *now* is in epoch seconds."""

    def __init__(
        self,
        ring: KeyRing,
        name: str,
        *,
        size: int = 10_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ring = ring
        self._name = name
        self._now = now
        self._signed: Bounded[tuple[Caller, str], tuple[float, bytes]] = Bounded(size)

    def token(self, caller: Caller, service: str) -> bytes | None:
        """The caller's token for *service*; ``None`` where no key others could verify signs."""
        now = self._now()
        remembered = self._signed.get((caller, service))
        if remembered is not None and 0 <= now - remembered[0] < LIFETIME / 2:
            return remembered[1]
        key = self._ring.signing() if self._ring.asymmetric else None
        if key is None:
            return None
        token = key.sign(self._claims(caller, service, int(now)), IDENTITY_TYPE).encode()
        self._signed.put((caller, service), (now, token))
        return token

    def _claims(self, caller: Caller, service: str, now: int) -> dict[str, Any]:
        claims = {
            "iss": self._name,
            "aud": service,
            "sub": caller.user_id,
            "iat": now,
            "exp": now + LIFETIME,
            "auth_method": caller.kind.value,
            "roles": caller.roles,
            "permissions": caller.permissions,
            "consumer": caller.consumer,
            "idp": caller.issuer,
        }
        return {name: value for name, value in claims.items() if value not in ("", ())}
