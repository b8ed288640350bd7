"""RSA and other asymmetric keys as PEM text: made, and read with a clear refusal.

Leans on ``cryptography``. Foreign errors end here as ``UnusableKey``; no message quotes a key.
"""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)

from keys.errors import UnusableKey

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey
PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

SMALLEST_RSA_BITS = 2048
_PUBLIC_EXPONENT = 65537


def generate_rsa_key_pair(bits: int = 3072, password: str = "") -> tuple[str, str]:
    """A new key pair as ``(private, public)`` PEM text: PKCS #8 and SubjectPublicKeyInfo.

    With a *password* the private key is encrypted. Raises ``UnusableKey`` below 2048 bits.
    """
    if bits < SMALLEST_RSA_BITS:
        raise UnusableKey(f"an RSA key needs at least {SMALLEST_RSA_BITS} bits")
    key = generate_private_key(public_exponent=_PUBLIC_EXPONENT, key_size=bits)
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(password.encode())
        if password
        else serialization.NoEncryption()
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def load_private_key(pem: str | bytes, password: str = "") -> PrivateKey:
    """Read a private RSA, EC or Ed25519 key; raises ``UnusableKey``."""
    try:
        key = serialization.load_pem_private_key(
            _as_bytes(pem), password.encode() if password else None
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("not a private key in PEM form, or its password is wrong") from error
    if not isinstance(key, PrivateKey):
        raise UnusableKey("only RSA, EC and Ed25519 private keys can be used")
    _refuse_small(key)
    return key


def load_public_key(pem: str | bytes) -> PublicKey:
    """Read a public RSA, EC or Ed25519 key; raises ``UnusableKey``."""
    try:
        key = serialization.load_pem_public_key(_as_bytes(pem))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKey("not a public key in PEM form") from error
    if not isinstance(key, PublicKey):
        raise UnusableKey("only RSA, EC and Ed25519 public keys can be used")
    _refuse_small(key)
    return key


def _refuse_small(key: PrivateKey | PublicKey) -> None:
    if isinstance(key, RSAPrivateKey | RSAPublicKey) and key.key_size < SMALLEST_RSA_BITS:
        raise UnusableKey(f"an RSA key needs at least {SMALLEST_RSA_BITS} bits")


def _as_bytes(pem: str | bytes) -> bytes:
    return pem.encode() if isinstance(pem, str) else pem
