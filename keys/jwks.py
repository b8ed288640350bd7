"""Public keys as JSON Web Keys (RFC 7517): ours written, other issuers' read.

Leans on PyJWT for the shapes and on :mod:`keys.signatures` for what a key is good for. What is
not a public key we verify with is left out of a set, never an error of the whole set.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keys.errors import UnusableKey
from keys.signatures import VerificationKey
from keys.signing_keys import PublicKey

MOST_KEYS = 100

_THUMBED = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
_ALGORITHMS = {("RSA", ""): "RS256", ("EC", "P-256"): "ES256", ("OKP", "Ed25519"): "EdDSA"}
_NAMES = {"RS256": {"RS256"}, "ES256": {"ES256"}, "EdDSA": {"EdDSA", "Ed25519"}}
"""Values of ``alg`` for each algorithm; RFC 9864 gave EdDSA with Ed25519 a name of its own."""


def algorithm_of(key: PublicKey) -> str:
    """The algorithm a key of this kind is used with here; raises ``UnusableKey``."""
    if isinstance(key, RSAPublicKey):
        return "RS256"
    if isinstance(key, EllipticCurvePublicKey):
        if key.curve.name != "secp256r1":
            raise UnusableKey("of elliptic curves only P-256 can be used")
        return "ES256"
    return "EdDSA"


def public_jwk(key: PublicKey) -> dict[str, str]:
    """*key* with its ``kid``, the RFC 7638 thumbprint; raises ``UnusableKey``."""
    algorithm = algorithm_of(key)
    content: Any = jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True)
    members = {name: content[name] for name in _THUMBED[content["kty"]]}
    return {**members, "kid": thumbprint(members), "use": "sig", "alg": algorithm}


def thumbprint(members: Mapping[str, str]) -> str:
    """SHA-256 over the required *members* in their one spelling (RFC 7638 section 3)."""
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def read_jwks(content: bytes, algorithms: Collection[str]) -> dict[str, VerificationKey]:
    """The keys of a set that verify one of *algorithms*, by ``kid`` (empty where one has none).

    Of two keys with one name the first counts. Raises ``ValueError`` for what is no key set.
    """
    try:
        document = json.loads(content)
    except RecursionError as error:
        raise ValueError("no JSON of a sane depth") from error
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise ValueError(f"no JSON object with a list of at most {MOST_KEYS} keys")
    found: dict[str, VerificationKey] = {}
    for entry in entries:
        key = _read_key(entry, algorithms)
        if key is not None:
            found.setdefault(key.kid, key)
    return found


def _read_key(entry: object, algorithms: Collection[str]) -> VerificationKey | None:
    if not isinstance(entry, dict) or "d" in entry or entry.get("use", "sig") != "sig":
        return None
    kid = entry.get("kid", "")
    kind = (str(entry.get("kty")), str(entry.get("crv", "")))
    if not isinstance(kid, str):
        return None
    algorithm = _ALGORITHMS.get(kind, "")
    if algorithm not in algorithms or str(entry.get("alg", algorithm)) not in _NAMES[algorithm]:
        return None
    try:
        key: Any = jwt.get_algorithm_by_name(algorithm).from_jwk(entry)
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return VerificationKey.load(algorithm, pem, kid)
    except (jwt.PyJWTError, UnusableKey, ValueError, TypeError):
        return None
