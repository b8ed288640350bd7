"""The gateway's own keys: which one signs now, which ones verify, which ones are published.

They come from the settings, or from ``VAR_DIRECTORY/keys``, where ``manage.py generate_keys`` puts
them: one private key a file, named ``<when it begins to sign>.<kid>.pem``. A new key is published
and verified at once and signs only when every cache of the key set has it, so nobody ever meets a
token whose key is not known yet. Leans on :mod:`keys.jwks` and :mod:`keys.signatures`.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keys.errors import UnusableKey
from keys.jwks import public_jwk
from keys.signatures import HMAC_ALGORITHMS, VerificationKey
from keys.signing_keys import PrivateKey, load_private_key, load_public_key
from runtime.files import replace_file

logger = logging.getLogger(__name__)

CACHED_SECONDS = 300
"""How long others may cache our key set, and so how long before it signs a key is published."""

_NAME = re.compile(r"([0-9]{8}T[0-9]{6}Z)\.[A-Za-z0-9_-]{43}\.pem")
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs. ``kid`` is empty for a shared secret."""

    algorithm: str
    kid: str
    _material: Any = field(repr=False)

    def sign(self, claims: Mapping[str, Any], kind: str) -> str:
        """A compact token of *claims*; *kind* is its ``typ``."""
        headers = {"typ": kind, "kid": self.kid} if self.kid else {"typ": kind}
        return jwt.encode(dict(claims), self._material, self.algorithm, headers)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One file of the key directory. ``signs_from`` is in epoch seconds."""

    path: Path
    signs_from: float
    signing: SigningKey
    verifying: VerificationKey
    jwk: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Keys:
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
        self._keys = _Keys()
        if self._algorithm in HMAC_ALGORITHMS:
            self._keys = _from_secret(self._algorithm, settings.jwt_secret_key)
        elif settings.jwt_private_key or settings.jwt_public_key:
            self._keys = _from_pair(
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
        listed = _listing(self._directory)
        if listed == self._seen:
            return False
        self._keys = _from_stored(stored_keys(self._directory), self._algorithm)
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


def stored_keys(directory: Path) -> list[StoredKey]:
    """The keys in *directory* by the time they begin to sign. One that cannot be used is logged."""
    found = []
    for name, _, _ in _listing(directory):
        try:
            found.append(_stored(directory / name))
        except (OSError, UnusableKey) as error:
            logger.error("the key file %s cannot be used: %s", name, error)
    return sorted(found, key=lambda key: key.signs_from)


def store_key(directory: Path, key: PrivateKey, signs_from: float) -> StoredKey:
    """Write *key*, for its owner's eyes only, whole or not at all."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = datetime.fromtimestamp(signs_from, UTC).strftime(_STAMP)
    path = directory / f"{stamp}.{public_jwk(key.public_key())['kid']}.pem"
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    replace_file(path, content)
    return _stored(path)


def superseded(keys: Iterable[StoredKey], algorithm: str, before: float) -> list[StoredKey]:
    """Those of *keys* in whose place a later key of *algorithm* signs since *before*."""
    successors = [key.signs_from for key in keys if key.signing.algorithm == algorithm]
    return [key for key in keys if any(key.signs_from < at <= before for at in successors)]


def _listing(directory: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        with os.scandir(directory) as entries:
            files = [(entry.name, entry.stat()) for entry in entries if _NAME.fullmatch(entry.name)]
    except FileNotFoundError:
        return ()
    return tuple(sorted((name, stat.st_mtime_ns, stat.st_size) for name, stat in files))


def _stored(path: Path) -> StoredKey:
    signs_from = datetime.strptime(path.name.partition(".")[0], _STAMP).replace(tzinfo=UTC)
    pem = path.read_text("ascii", "replace")
    key = load_private_key(pem)
    jwk = public_jwk(key.public_key())
    return StoredKey(
        path,
        signs_from.timestamp(),
        SigningKey(jwk["alg"], jwk["kid"], key),
        VerificationKey.load(jwk["alg"], pem, jwk["kid"]),
        jwk,
    )


def _from_stored(stored: Iterable[StoredKey], algorithm: str) -> _Keys:
    keys = list(stored)
    return _Keys(
        tuple((key.signs_from, key.signing) for key in keys if key.signing.algorithm == algorithm),
        {key.verifying.kid: key.verifying for key in keys},
        published=tuple(key.jwk for key in keys),
    )


def _from_secret(algorithm: str, secret: str) -> _Keys:
    if not secret:
        return _Keys()
    key = VerificationKey.load(algorithm, secret)
    return _Keys(((0.0, SigningKey(algorithm, "", secret)),), otherwise=key)


def _from_pair(algorithm: str, private: str, public: str) -> _Keys:
    signing: tuple[tuple[float, SigningKey], ...] = ()
    jwks = [public_jwk(load_public_key(public))] if public else []
    verifying = [VerificationKey.load(algorithm, public, jwks[0]["kid"])] if public else []
    if private:
        key = load_private_key(private)
        jwk = public_jwk(key.public_key())
        verifying.append(VerificationKey.load(algorithm, private, jwk["kid"]))
        signing = ((0.0, SigningKey(algorithm, jwk["kid"], key)),)
        jwks += [jwk] if jwk not in jwks else []
    by_name = {key.kid: key for key in verifying}
    return _Keys(signing, by_name, verifying[0], tuple(jwks))
