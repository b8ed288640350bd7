"""Key pairs of the gateway's own, out of the key directory or the settings.

One private key a file, named ``<when it begins to sign>.<kid>.pem``. Leans on :mod:`keys.jwks` and
``cryptography``.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from keys.errors import UnusableKey
from keys.jwks import public_jwk
from keys.key_ring import Keys, SigningKey
from keys.signatures import VerificationKey
from keys.signing_keys import PrivateKey, load_private_key, load_public_key
from runtime.files import replace_file

logger = logging.getLogger(__name__)

_NAME = re.compile(r"([0-9]{8}T[0-9]{6}Z)\.[A-Za-z0-9_-]{43}\.pem")
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """One file of the key directory. ``signs_from`` is in epoch seconds."""

    path: Path
    signs_from: float
    signing: SigningKey
    verifying: VerificationKey
    jwk: Mapping[str, str]


def stored_keys(directory: Path) -> list[StoredKey]:
    """The keys in *directory* by the time they begin to sign. One that cannot be used is logged."""
    found = []
    for name, _, _ in listing(directory):
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


def listing(directory: Path) -> tuple[tuple[str, int, int], ...]:
    """The key files of *directory*: name, when it was written in nanoseconds, size."""
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


def keys_of_stored(stored: Iterable[StoredKey], algorithm: str) -> Keys:
    """What a ring holds that signs with *algorithm*."""
    keys = list(stored)
    return Keys(
        tuple((key.signs_from, key.signing) for key in keys if key.signing.algorithm == algorithm),
        {key.verifying.kid: key.verifying for key in keys},
        published=tuple(key.jwk for key in keys),
    )


def keys_of_pair(algorithm: str, private: str, public: str) -> Keys:
    """What a ring holds by ``JWT_PRIVATE_KEY`` and ``JWT_PUBLIC_KEY``; raises ``UnusableKey``."""
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
    return Keys(signing, by_name, verifying[0], tuple(jwks))
