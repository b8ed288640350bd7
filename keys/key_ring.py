"""The gateway's own keys: which one signs now, which ones verify, which ones are published.

They come from the settings, or from ``VAR_DIRECTORY/keys``, where ``manage.py generate_keys`` puts
them: one private key a file, named ``<when it begins to sign>.<kid>.pem``. A new key is published
and verified at once and signs only when every cache of the key set has it, so nobody ever meets a
token whose key is not known yet. Leans on :mod:`keys.signatures` and, only where there are pairs,
on :mod:`keys.key_pairs`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from keys.signatures import HMAC_ALGORITHMS, VerificationKey

CACHED_SECONDS = 300
"""How long others may cache our key set, and so how long before it signs a key is published."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs. ``kid`` is empty for a shared secret."""

    algorithm: str
    kid: str
    _material: Any = field(repr=False)

    def sign(self, claims: Mapping[str, Any], kind: str) -> str:
        """A compact token of *claims*; *kind* is its ``typ``."""
        import jwt  # Where tokens are only verified with a secret, nothing needs it.

        headers = {"typ": kind, "kid": self.kid} if self.kid else {"typ": kind}
        return jwt.encode(dict(claims), self._material, self.algorithm, headers)


@dataclass(frozen=True, slots=True)
class Keys:
    """What the ring holds at one time."""

    signing: tuple[tuple[float, SigningKey], ...] = ()
    """With the time each begins to sign, the latest last."""
    verifying: Mapping[str, VerificationKey] = field(default_factory=dict)
    otherwise: VerificationKey | None = None
    """For every ``kid`` that is not in *verifying*."""
    published: tuple[Mapping[str, str], ...] = ()


class TokenKeySettings(Protocol):
    """The settings that say what tokens are signed and verified with."""

    @property
    def jwt_algorithm(self) -> str: ...
    @property
    def jwt_secret_key(self) -> str: ...
    @property
    def jwt_private_key(self) -> str: ...
    @property
    def jwt_public_key(self) -> str: ...
    @property
    def var_directory(self) -> Path: ...


def directory_of(settings: TokenKeySettings) -> Path:
    """Where ``generate_keys`` keeps the keys."""
    return settings.var_directory / "keys"


class KeyRing:
    """The keys of *settings*. Raises ``UnusableKey`` for one there that cannot be used.

    ``JWT_PRIVATE_KEY`` and ``JWT_PUBLIC_KEY`` win over the directory. With both, a token is
    verified by the one its ``kid`` names, and by the public key when it names neither: so an old
    public key may stand beside a new private one.
    """

    def __init__(self, settings: TokenKeySettings, now: Callable[[], float] = time.time) -> None:
        self._algorithm = settings.jwt_algorithm
        self._now = now
        self._directory: Path | None = None
        self._seen: tuple[tuple[str, int, int], ...] | None = None
        self._keys = Keys()
        if self._algorithm in HMAC_ALGORITHMS:
            self._keys = _from_secret(self._algorithm, settings.jwt_secret_key)
        elif settings.jwt_private_key or settings.jwt_public_key:
            from keys.key_pairs import keys_of_pair

            self._keys = keys_of_pair(
                self._algorithm, settings.jwt_private_key, settings.jwt_public_key
            )
        else:
            self._directory = directory_of(settings)
            self.reload()

    @property
    def asymmetric(self) -> bool:
        """Whether others can verify what this ring signs."""
        return self._algorithm not in HMAC_ALGORITHMS

    @property
    def can_verify(self) -> bool:
        """Whether any token can be good, now or once a key is put into the directory."""
        keys = self._keys
        return bool(self._directory or keys.otherwise or keys.verifying)

    def reload(self) -> bool:
        """Read the directory if its files have changed; whether they had."""
        if self._directory is None:
            return False
        from keys.key_pairs import keys_of_stored, listing, stored_keys

        listed = listing(self._directory)
        if listed == self._seen:
            return False
        self._keys = keys_of_stored(stored_keys(self._directory), self._algorithm)
        self._seen = listed
        return True

    def signing(self) -> SigningKey | None:
        """The key that signs now: the latest that has begun to."""
        now = self._now()
        begun = [key for signs_from, key in self._keys.signing if signs_from <= now]
        return begun[-1] if begun else None

    def key_for(self, kid: str) -> VerificationKey | None:
        """The key a token with this ``kid`` must be signed by."""
        return self._keys.verifying.get(kid, self._keys.otherwise)

    def published(self) -> tuple[Mapping[str, str], ...]:
        """The public keys as JSON Web Keys."""
        return self._keys.published


def _from_secret(algorithm: str, secret: str) -> Keys:
    if not secret:
        return Keys()
    key = VerificationKey.load(algorithm, secret)
    return Keys(((0.0, SigningKey(algorithm, "", secret)),), otherwise=key)
