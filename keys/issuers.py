"""External issuers of access tokens: how one is written down, and which one a token is judged by.

The claim ``iss`` of a token chooses, by equality, the issuer whose keys must have signed it; it is
read unverified for that choice alone, and then everything is verified by that issuer's rules.
Leans on no library: the settings are read with it before Django exists.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol
from urllib.parse import urlsplit

from keys.bounded import Bounded
from keys.claims import AccessToken
from keys.errors import InvalidToken
from keys.signatures import ALGORITHMS, HMAC_ALGORITHMS, peek

GATEWAY = "gateway"
"""The ``iss`` of the gateway's own tokens where the settings name no other."""

ASYMMETRIC = ALGORITHMS - HMAC_ALGORITHMS

_WRITTEN = re.compile(
    r"(?P<name>[^\s|,]+?)=(?P<url>https?://[^\s|,]+)"
    r"(?:\|(?P<audience>[^\s|,]*))?(?:\|(?P<algorithms>[A-Za-z0-9+]+))?"
)
_MEMORY = 10_000


@dataclass(frozen=True, slots=True)
class ExternalIssuer:
    """Somebody else's tokens. An empty *audience* is not checked."""

    name: str
    """The exact ``iss`` of its tokens."""
    jwks_url: str
    audience: str = ""
    algorithms: frozenset[str] = ASYMMETRIC


def parse_issuer(text: str) -> ExternalIssuer:
    """Read ``issuer=jwks_url[|audience][|alg+alg]``; raises ``ValueError``."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(text)
    check_jwks_url(match["url"])
    named = frozenset((match["algorithms"] or "+".join(ASYMMETRIC)).split("+"))
    if not named <= ASYMMETRIC:
        raise ValueError(text)
    return ExternalIssuer(match["name"], match["url"], match["audience"] or "", named)


def check_jwks_url(text: str) -> None:
    """Accept HTTPS, and plain HTTP to this very machine; raise ``ValueError`` otherwise.

    Who can change the keys on their way can sign anything.
    """
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None or not parts.hostname:
        raise ValueError(text)
    if parts.port == 0 or not (
        parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))
    ):
        raise ValueError(text)


def own_name(issuer: str, jwks_url: str) -> str:
    """The ``iss`` of the gateway's own tokens: ``JWT_ISSUER``, unless that names the external
    issuer of ``JWT_JWKS_URL``.
    """
    return issuer if issuer and not jwks_url else GATEWAY


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Verifies(Protocol):
    """What verifies a token at once: ``keys.tokens.TokenVerifier``."""

    def verify(self, text: str) -> AccessToken:
        """The token's facts; raises a ``TokenRefused`` or ``KeyStoreUnavailable``."""
        ...


class Learns(Protocol):
    """A set of keys that can grow: ``keys.key_sets.KeySet``."""

    def knows(self, kid: str) -> bool:
        """Whether there is a key of this name."""
        ...

    async def learn(self) -> None:
        """Wait, bounded, for newer keys if they may be asked for; raises ``KeyStoreUnavailable``
        when that could not be found out.
        """
        ...


@dataclass(frozen=True, slots=True)
class Authority:
    """One external issuer at work: its keys, and the verifier that uses them."""

    keys: Learns
    verifier: Verifies


class Issuers:
    """Verifies tokens of our own and of *external* issuers, by ``iss``.

    Answers at once unless the issuer's key is not known yet: then what it gives is to be awaited.
    """

    def __init__(self, own: Verifies | None, external: Mapping[str, Authority]) -> None:
        self._own = own
        self._external = external
        self._chosen: Bounded[bytes, Verifies] = Bounded(_MEMORY)

    def verify(self, text: str) -> AccessToken | Awaitable[AccessToken]:
        """The facts of the token, or an awaitable of them; raises or ends as ``Verifies`` does."""
        digest = sha256(text.encode()).digest()
        verifier = self._chosen.get(digest)
        if verifier is not None:
            return verifier.verify(text)
        issuer, kid = peek(text)
        authority = self._external.get(issuer)
        if authority is None:
            return self._by(self._own, text, digest)
        if authority.keys.knows(kid):
            return self._by(authority.verifier, text, digest)
        return self._after_learning(authority, text, digest)

    async def _after_learning(self, authority: Authority, text: str, digest: bytes) -> AccessToken:
        await authority.keys.learn()
        return self._by(authority.verifier, text, digest)

    def _by(self, verifier: Verifies | None, text: str, digest: bytes) -> AccessToken:
        """Only a good token is remembered: nobody fills the memory with others."""
        if verifier is None:
            raise InvalidToken("another issuer, and no key of our own is configured")
        token = verifier.verify(text)
        self._chosen.put(digest, verifier)
        return token
