"""API keys as text and as what is stored of them. Pure, but for the random source.

A key is ``gw_`` and 43 URL-safe characters. Only its SHA-256 is ever stored or compared.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

HEAD = "gw_"
PREFIX_LENGTH = 12
_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key. ``text`` is shown once and forgotten; ``prefix`` and ``digest`` are stored."""

    text: str = field(repr=False)
    prefix: str
    digest: str


def generate_api_key() -> GeneratedKey:
    """Make a key of 256 random bits.

    The head lets people and secret scanners recognise a key. The prefix (the first 12 characters,
    54 random bits) tells keys apart in lists; 202 bits remain unknown to its readers.
    """
    text = HEAD + secrets.token_urlsafe(_RANDOM_BYTES)
    return GeneratedKey(text=text, prefix=text[:PREFIX_LENGTH], digest=hash_api_key(text))


def hash_api_key(text: str) -> str:
    """SHA-256 of *text* as 64 hexadecimal digits.

    A plain fast hash is right here. Slow, salted hashes exist for passwords, which people choose
    and attackers can therefore guess. These keys are 256 random bits: no list of guesses reaches
    them however fast the hash is, two keys never collide, and an unsalted digest can be an index.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def verify_api_key(text: str, digest: str) -> bool:
    """Whether *digest* is that of *text*; takes the same time wherever they differ."""
    return hmac.compare_digest(hash_api_key(text).encode(), digest.encode())
