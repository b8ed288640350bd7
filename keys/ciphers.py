"""Key pairs made ready to verify with, and told from secrets.

Leans on PyJWT's algorithm objects and on :mod:`keys.signing_keys`, for the cryptography alone.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from jwt.algorithms import Algorithm

from keys.errors import UnusableKey
from keys.signing_keys import load_private_key, load_public_key


def public_cipher(algorithm: str, text: str) -> tuple[Any, Algorithm]:
    """The PEM key in *text*, of a private one the public half, and what verifies with it.

    Raises ``UnusableKey``.
    """
    cipher = jwt.get_algorithm_by_name(algorithm)
    with _refusing(algorithm):
        return cipher.prepare_key(_public_half(text)), cipher


def refuse_public(algorithm: str, secret: str) -> None:
    """Raises ``UnusableKey`` if *secret* is empty or a key that others may know, in any form."""
    cipher = jwt.get_algorithm_by_name(algorithm)
    with _refusing(algorithm):
        cipher.prepare_key(secret)
        _refuse_armoured(cipher, secret)


@contextmanager
def _refusing(algorithm: str) -> Iterator[None]:
    try:
        yield
    except jwt.InvalidKeyError as error:
        raise UnusableKey(f"not a key for {algorithm}: {error}") from error
    except TypeError as error:
        raise UnusableKey(f"not a key for {algorithm}") from error


def _public_half(text: str) -> Any:
    if "PRIVATE KEY" in text:
        return load_private_key(text).public_key()
    return load_public_key(text)


def _refuse_armoured(cipher: Algorithm, secret: str) -> None:
    """Refuse a key in DER form that was written as base64 text without its PEM lines."""
    try:
        decoded = base64.b64decode("".join(secret.split()), validate=True)
    except (binascii.Error, ValueError):
        return
    if decoded:
        cipher.prepare_key(decoded)
