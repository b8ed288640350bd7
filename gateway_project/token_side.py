"""One worker's token side, put together from the settings: keys, issuers, revocations, signed
identity."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from keys.authentication import Tokens
from keys.claims import TokenRules
from keys.errors import UnusableKey
from keys.identity_token import IdentitySigner
from keys.issuers import Authority, ExternalIssuer, Issuers, own_name, parse_issuer
from keys.key_cache import KeyCache, directory_of
from keys.key_ring import KeyRing
from keys.revocation import RevocationList
from keys.tokens import TokenVerifier
from runtime.database import DatabaseThread
from runtime.notify import Watcher
from runtime.tasks import TaskOwner, repeat

if TYPE_CHECKING:
    from gateway_project.env import Settings
    from keys.key_sets import KeySet

_LOOK_SECONDS = 1.0


class TokenSide:
    """What a worker verifies access tokens and signs identities with.

    ``tokens`` is ``None`` where no key is configured: then every bearer token is refused.
    """

    def __init__(self, settings: Settings, database: DatabaseThread) -> None:
        try:
            self._ring = KeyRing(settings)
        except UnusableKey as error:
            raise SystemExit(f"JWT_ALGORITHM={settings.jwt_algorithm}: {error}") from error
        self._revoked = RevocationList(database)
        self._own = self._own_verifier(settings)
        self._key_sets = _key_sets(settings)
        self.tokens = self._verifier(settings.jwt_leeway_seconds)
        self.identity = IdentitySigner(
            self._ring, own_name(settings.jwt_issuer, settings.jwt_jwks_url)
        )

    async def start(self, owner: TaskOwner, watcher: Watcher) -> None:
        """Read the revocation list and begin to follow it, the key directory and key sets."""
        await self._revoked.start(watcher)
        for keys in self._key_sets:
            await keys.recall()
            keys.start(owner)
        owner.start("signing keys", self._keep_looking)

    def _own_verifier(self, settings: Settings) -> TokenVerifier | None:
        if not self._ring.can_verify:
            return None
        name = own_name(settings.jwt_issuer, settings.jwt_jwks_url)
        rules = TokenRules(
            # Beside the issuer of JWT_JWKS_URL our own tokens must say that they are ours.
            issuer=name if settings.jwt_jwks_url else settings.jwt_issuer,
            audiences=_audiences(settings.jwt_audience),
            leeway=settings.jwt_leeway_seconds,
        )
        return TokenVerifier(self._ring.key_for, rules, revoked=self._revoked)

    def _verifier(self, leeway: int) -> Tokens | None:
        if not self._key_sets:
            return self._own
        external = {keys.issuer.name: _authority(keys, leeway) for keys in self._key_sets}
        return Issuers(self._own, external)

    async def _keep_looking(self) -> None:
        await repeat(_LOOK_SECONDS, self._look)

    async def _look(self) -> None:
        if await asyncio.to_thread(self._ring.reload) and self._own is not None:
            self._own.forget()


def external_issuers(settings: Settings) -> list[ExternalIssuer]:
    """The issuer of ``JWT_JWKS_URL``, whose tokens are asked for ``JWT_AUDIENCE``, and those of
    ``JWT_ISSUERS``; of two with one name the last.
    """
    issuers = [parse_issuer(text) for text in settings.jwt_issuers]
    if settings.jwt_jwks_url:
        short = ExternalIssuer(settings.jwt_issuer, settings.jwt_jwks_url, settings.jwt_audience)
        issuers.insert(0, short)
    return list({issuer.name: issuer for issuer in issuers}.values())


def _key_sets(settings: Settings) -> list[KeySet]:
    issuers = external_issuers(settings)
    if not issuers:
        return []
    from keys.key_sets import KeySet  # httpx and cryptography: not without a use for them

    stored = directory_of(settings.var_directory)
    return [KeySet(issuer, cache=KeyCache(stored, issuer)) for issuer in issuers]


def _authority(keys: KeySet, leeway: int) -> Authority:
    rules = TokenRules(
        issuer=keys.issuer.name,
        audiences=_audiences(keys.issuer.audience),
        leeway=leeway,
        external=True,
    )
    verifier = TokenVerifier(keys.key, rules)
    keys.changed = verifier.forget
    return Authority(keys, verifier)


def _audiences(audience: str) -> frozenset[str]:
    return frozenset([audience] if audience else [])
