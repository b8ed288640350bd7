"""Tokens as signed envelopes: what is checked before a claim is believed (RFC 7515, RFC 8725).

The algorithm is the configured key's; a token can only agree with it. The envelope is taken apart
once, strictly, and the very bytes that were checked are the bytes whose signature is verified.
A secret needs no more than the standard library; of key pairs :mod:`keys.ciphers` knows, which is
imported with the first of them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from keys.credentials import LARGEST_TOKEN
from keys.errors import InvalidToken, UnusableKey

HMAC_ALGORITHMS = frozenset({"HS256", "HS384", "HS512"})
ALGORITHMS = HMAC_ALGORITHMS | {"RS256", "ES256", "EdDSA"}

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_KEY_ID = re.compile(r"[A-Za-z0-9_.:=+/@~-]{1,256}")
_TYPES = frozenset({"jwt", "at+jwt"})
_KEY_LIKE = re.compile(rb'0|ssh-|ecdsa-|.*(BEGIN|[{"])', re.DOTALL)
"""How DER and OpenSSH begin, and what PEM and JSON hold."""
_REFUSED_PARAMETERS = ("jwk", "jku", "x5u", "x5c", "crit", "b64")


class Cipher(Protocol):
    """What an algorithm is to a key that verifies."""

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
        """Whether *sig* over *msg* was made with *key*."""
        ...


@dataclass(frozen=True, slots=True)
class _Hmac:
    digest: str

    def verify(self, msg: bytes, key: Any, sig: bytes) -> bool:
        return hmac.compare_digest(hmac.digest(key, msg, self.digest), sig)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key and the one algorithm it verifies. ``kid`` is its name in a key set, if it has one."""

    algorithm: str
    kid: str
    _material: Any = field(repr=False)
    _cipher: Cipher = field(repr=False)

    @classmethod
    def load(cls, algorithm: str, text: str, kid: str = "") -> VerificationKey:
        """Prepare the secret (HS*) or the PEM key in *text*; of a private key the public half.

        Raises ``UnusableKey``: unknown algorithm, key of another kind, or, as an HS* secret,
        something that is a public key in any form and therefore no secret.
        """
        if algorithm not in ALGORITHMS:
            raise UnusableKey(f"unknown algorithm; allowed are {', '.join(sorted(ALGORITHMS))}")
        if algorithm in HMAC_ALGORITHMS:
            if not is_no_public_key(text):
                from keys.ciphers import refuse_public

                refuse_public(algorithm, text)
            return cls(algorithm, kid, text.encode(), _Hmac(f"sha{algorithm[2:]}"))
        # Here, not above: `cryptography` is a tenth of the memory of a process that needs none.
        from keys.ciphers import public_cipher

        return cls(algorithm, kid, *public_cipher(algorithm, text))

    def verifies(self, signed: bytes, signature: bytes) -> bool:
        """Whether *signature* over *signed* was made with this key."""
        return self._cipher.verify(signed, self._material, signature)


def is_no_public_key(secret: str) -> bool:
    """Whether *secret* cannot be a public key in any form, base64 included; else it may be one."""
    forms = [secret.encode()]
    with suppress(ValueError):
        forms.append(base64.b64decode("".join(secret.split()), validate=True))
    return secret != "" and not any(map(_KEY_LIKE.match, forms))


KeyChoice = Callable[[str], VerificationKey | None]
"""From a token's ``kid`` (empty when it has none) to the key that must have signed it."""


def open_envelope(token: str, key_for: KeyChoice) -> dict[str, Any]:
    """The claims of a token whose form, header and signature are good; else ``InvalidToken``."""
    parts = _parts(token)
    header = _read_json(_decode(parts[0]))
    _check_header(header)
    key = key_for(header.get("kid", ""))
    if key is None:
        raise InvalidToken("no key of this name")
    if header.get("alg") != key.algorithm:
        raise InvalidToken("not the algorithm of the key")
    payload, signature = _decode(parts[1]), _decode(parts[2])
    if not key.verifies(f"{parts[0]}.{parts[1]}".encode("ascii"), signature):
        raise InvalidToken("the signature does not match")
    return _read_json(payload)


def peek(token: str) -> tuple[str, str]:
    """The ``iss`` and ``kid`` that *token* says it has, empty where it has none; ``InvalidToken``.

    Nothing is verified: this only chooses the keys that the token is then verified with.
    """
    header, payload, _ = _parts(token)
    parameters, claims = _read_json(_decode(header)), _read_json(_decode(payload))
    _check_header(parameters)
    issuer = claims.get("iss", "")
    return issuer if isinstance(issuer, str) else "", parameters.get("kid", "")


def _parts(token: str) -> list[str]:
    if len(token) > LARGEST_TOKEN:
        raise InvalidToken("oversized")
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidToken("not three parts")
    return parts


def _check_header(header: dict[str, Any]) -> None:
    if any(name in header for name in _REFUSED_PARAMETERS):
        raise InvalidToken("a header parameter that is never honoured")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower().removeprefix("application/") not in _TYPES:
        raise InvalidToken("not typed as an access token")
    if "kid" in header:
        kid = header["kid"]
        if not isinstance(kid, str) or not _KEY_ID.fullmatch(kid) or ".." in kid:
            raise InvalidToken("strange key name")


def _decode(text: str) -> bytes:
    """Base64url without padding, in its one canonical spelling (RFC 7515 section 2)."""
    if not _BASE64URL.fullmatch(text):
        raise InvalidToken("not base64url")
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise InvalidToken("not base64url") from None
    if base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii") != text:
        raise InvalidToken("not canonical base64url")
    return content


def _read_json(content: bytes) -> dict[str, Any]:
    """One JSON object without doubled names (RFC 7519 section 4), ``NaN`` or great depth."""
    try:
        value = json.loads(
            content.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_refuse
        )
    except (ValueError, RecursionError):
        raise InvalidToken("not a JSON object") from None
    if not isinstance(value, dict):
        raise InvalidToken("not a JSON object")
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a doubled name")
    return content


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
