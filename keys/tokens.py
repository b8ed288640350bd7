"""Access tokens: verified once, remembered until they expire.

The journey of a token: remembered? → envelope (``signatures``) → claims (``claims``) → revoked?
Nothing here waits: a key that is not known refuses the token. Whoever owns the keys fetches new
ones (:mod:`keys.key_sets`, :mod:`keys.key_ring`) and calls :meth:`TokenVerifier.forget`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256

from keys.bounded import Bounded
from keys.claims import AccessToken, TokenRules, check_expiry, read_claims
from keys.errors import RevokedToken
from keys.signatures import KeyChoice, VerificationKey, open_envelope

Revoked = Callable[[AccessToken], bool]


def _never_revoked(_token: AccessToken) -> bool:
    return False


def only_key(key: VerificationKey) -> KeyChoice:
    """One configured key for every token, whatever ``kid`` the issuer writes."""
    return lambda _kid: key


class TokenVerifier:
    """Turns the text of an access token into its facts, or refuses it.

    *key_for* chooses the key by ``kid`` and with it the algorithm. *revoked* is asked on every
    use, remembered tokens included, so it must be quick and must not wait; what it raises
    (``KeyStoreUnavailable`` when it cannot tell) passes through. *now* is in epoch seconds.
    """

    def __init__(
        self,
        key_for: KeyChoice,
        rules: TokenRules | None = None,
        *,
        revoked: Revoked = _never_revoked,
        size: int = 10_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key_for = key_for
        self._rules = rules or TokenRules()
        self._revoked = revoked
        self._verified: Bounded[bytes, AccessToken] = Bounded(size)
        self._now = now

    def verify(self, text: str) -> AccessToken:
        """The facts of the token; raises ``InvalidToken``, ``ExpiredToken``, ``RevokedToken``."""
        digest = sha256(text.encode()).digest()
        token = self._verified.get(digest)
        if token is None:
            token = read_claims(open_envelope(text, self._key_for), self._rules, self._now())
            self._verified.put(digest, token)
        elif self._now() >= token.expires_at:
            self._verified.discard(digest)
            check_expiry(token.expires_at, self._rules, self._now())
        if self._revoked(token):
            raise RevokedToken("on the revocation list")
        return token

    def forget(self) -> None:
        """Verify every token anew: the keys have changed."""
        self._verified.clear()

    def __len__(self) -> int:
        """How many verified tokens are remembered."""
        return len(self._verified)
