"""The built-in issuer: what stands in an access token of a Django user.

Leans on :mod:`keys.key_ring` for the signature. The token is one :mod:`keys.claims` accepts
(RFC 9068 in form): typed ``at+jwt``, its subject the user's primary key as text, because a name
can be changed and given to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractUser

from keys.claims import is_plain
from keys.errors import UnusableKey
from keys.key_ring import KeyRing

ACCESS_TYPE = "at+jwt"

_MOST_ROLE_BYTES = 1_024
_MOST_PERMISSION_BYTES = 3_072


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a token speaks for."""

    subject: str
    roles: tuple[str, ...] = ()
    permissions: tuple[str, ...] = ()

    @classmethod
    def of(cls, user: AbstractUser) -> Holder:
        """The user's primary key, groups and permissions (``app.codename``), read from the
        database.

        What cannot stand in a header is left out, and so is what goes beyond 1 KB of roles and
        3 KB of permissions, in alphabetical order: a token carries fewer rights, never others.
        """
        groups = user.groups.values_list("name", flat=True)
        return cls(
            str(user.pk),
            _bounded(groups, _MOST_ROLE_BYTES),
            _bounded(user.get_all_permissions(), _MOST_PERMISSION_BYTES),
        )


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs access tokens that live *lifetime* seconds. An empty *audience* is left out."""

    ring: KeyRing
    name: str
    lifetime: int
    audience: str = ""

    def issue(self, holder: Holder, session: str, token_id: str, issued_at: int) -> str:
        """A token of *session*; ``UnusableKey`` when there is no key to sign with."""
        claims: dict[str, Any] = {
            "iss": self.name,
            "sub": holder.subject,
            "iat": issued_at,
            "exp": issued_at + self.lifetime,
            "jti": token_id,
            "sid": session,
            "roles": holder.roles,
            "permissions": holder.permissions,
        }
        if self.audience:
            claims["aud"] = self.audience
        self.ring.reload()
        key = self.ring.signing()
        if key is None:
            raise UnusableKey("there is no key to sign tokens with")
        return key.sign(claims, ACCESS_TYPE)


def _bounded(items: Iterable[str], most: int) -> tuple[str, ...]:
    kept: list[str] = []
    for item in sorted(items):
        most -= len(item.encode()) + 3
        if most < 0:
            break
        if is_plain(item) and "," not in item:
            kept.append(item)
    return tuple(kept)
