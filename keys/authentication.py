"""Identify the caller of a request, the second step of the journey.

Leans on :mod:`keys.credentials` (which credential decides), :mod:`keys.lookup` (API keys) and
:mod:`keys.tokens` or :mod:`keys.issuers` (access tokens). Nothing waits unless an API key, or
the key an external issuer signed with, must be fetched.
"""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Protocol

from keys.caller import Caller, KeyRecord
from keys.claims import AccessToken
from keys.credentials import CredentialKind, extract
from keys.digest import hash_api_key
from keys.errors import (
    ApiKeyRefused,
    AuthenticationError,
    InvalidApiKey,
    InvalidCredentials,
    InvalidToken,
    MissingCredentials,
)
from keys.pacing import FailurePace

__all__ = ["Authenticator", "Caller", "challenge"]

_REALM = 'realm="gateway"'
_SCHEMES = {CredentialKind.JWT: "Bearer", CredentialKind.API_KEY: "ApiKey"}


class Keys(Protocol):
    """Where API keys are looked up by digest: ``keys.lookup.KeyLookup``."""

    def remembered(self, digest: str) -> KeyRecord | None:
        """The record if it can be given at once, else ``None``."""
        ...

    async def find(self, digest: str) -> KeyRecord | None:
        """The record, ``None`` if there is none; raises ``KeyStoreUnavailable``."""
        ...

    def note_use(self, key_id: int) -> None:
        """Remember that the key was used now."""
        ...


class Tokens(Protocol):
    """What verifies access tokens: ``keys.tokens.TokenVerifier``."""

    def verify(self, text: str) -> AccessToken | Awaitable[AccessToken]:
        """The token's facts, or an awaitable of them where its issuer's keys must be fetched;
        raises, or ends with, a ``TokenRefused`` or ``KeyStoreUnavailable``.
        """
        ...


class Authenticator:
    """Turns a request's credential into a :class:`Caller`. *now* is in epoch seconds.

    Without *tokens* every bearer token is refused. *failures_per_second* of one address are
    answered at once, further ones held back (:mod:`keys.pacing`); 0 holds none.
    """

    def __init__(
        self,
        keys: Keys,
        tokens: Tokens | None,
        *,
        failures_per_second: int = 0,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._pace = FailurePace(failures_per_second)
        self._now = now
        self._clock = clock

    async def authenticate(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        methods: Collection[str],
        client_ip: str,
        route_name: str,
    ) -> Caller:
        """The caller, by a credential of one of the kinds in *methods* (``jwt``, ``api_key``).

        Raises ``AuthenticationError`` (401) or ``KeyStoreUnavailable`` (503). Does not suspend
        when the answer is remembered and no refusal.
        """
        try:
            return await self._identify(headers, methods, client_ip, route_name)
        except MissingCredentials:
            raise
        except AuthenticationError as error:
            refusal = error
        held = self._pace.hold(client_ip, self._clock())
        if held:
            await asyncio.sleep(held)
        raise refusal

    async def _identify(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        methods: Collection[str],
        client_ip: str,
        route_name: str,
    ) -> Caller:
        credential = extract(headers)
        if credential is None:
            raise MissingCredentials(methods)
        if credential.kind is CredentialKind.JWT:
            if CredentialKind.JWT not in methods:
                raise InvalidToken("this route takes no tokens")
            caller = await self.authenticate_jwt(credential.text)
            if credential.key_beside:
                # Good for this route or not, it never travels on: so it is one for us, and wrong.
                await self.authenticate_api_key(credential.key_beside, client_ip, route_name)
            return caller
        if CredentialKind.API_KEY not in methods:
            raise InvalidApiKey("this route takes no API keys")
        return await self.authenticate_api_key(credential.text, client_ip, route_name)

    async def authenticate_jwt(self, text: str) -> Caller:
        """The caller an access token speaks for; raises a ``TokenRefused`` or
        ``KeyStoreUnavailable``. Suspends only for a key that its issuer may have made since.
        """
        if self._tokens is None:
            raise InvalidToken("no key to verify tokens with is configured")
        verified = self._tokens.verify(text)
        token = verified if isinstance(verified, AccessToken) else await verified
        issuer = token.issuer if token.external else ""
        return Caller(
            kind=CredentialKind.JWT,
            user_id=token.subject,
            identity=f"issuer:{issuer} {token.subject}" if issuer else f"user:{token.subject}",
            roles=token.roles,
            permissions=token.permissions,
            issuer=issuer,
        )

    async def authenticate_api_key(self, text: str, client_ip: str, route_name: str) -> Caller:
        """The consumer an API key belongs to; raises an ``ApiKeyRefused``."""
        digest = hash_api_key(text)
        record = self._keys.remembered(digest) or await self._keys.find(digest)
        # A look-up by digest has compared already; this one takes constant time and would also
        # catch a table that gave another key's record.
        if record is None or not hmac.compare_digest(record.digest, digest):
            raise InvalidApiKey("unknown")
        try:
            record.check(client_ip, route_name, self._now())
        except ApiKeyRefused as refusal:
            refusal.caller = record.caller
            raise
        self._keys.note_use(record.key_id)
        return record.caller


def challenge(error: AuthenticationError) -> str:
    """The value of ``WWW-Authenticate`` (RFC 9110 section 11.6.1, RFC 6750 section 3).

    Without credentials: one challenge for each kind the route accepts. A refused token is told
    ``invalid_token``, the one code RFC 6750 has for it, and why in words.
    """
    if isinstance(error, MissingCredentials):
        accepted = [scheme for kind, scheme in _SCHEMES.items() if kind in error.methods]
        return ", ".join(f"{scheme} {_REALM}" for scheme in accepted or _SCHEMES.values())
    if isinstance(error, ApiKeyRefused):
        return f"ApiKey {_REALM}"
    if isinstance(error, InvalidCredentials):
        return f"Bearer {_REALM}"
    return f'Bearer {_REALM}, error="invalid_token", error_description="{error}"'
