"""Finding the gateway's credential in the headers of a request. Pure.

Looked for in ``Authorization: Bearer`` (RFC 6750 section 2.1), then in ``X-API-Key``. A bearer
value is always a token, whatever it looks like. When both are there the bearer value says who
calls, and the key beside it must be good too: a wrong credential is never made good by another.
``Authorization`` with another scheme is the upstream's business and is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from keys.errors import InvalidApiKey, InvalidToken

LARGEST_TOKEN = 8 * 1024
LARGEST_API_KEY = 256

_VISIBLE = re.compile(rb"[!-~]+")


class CredentialKind(StrEnum):
    """What was offered; the values are those of ``auth.methods`` and of ``X-Auth-Method``."""

    JWT = "jwt"
    API_KEY = "api_key"


@dataclass(frozen=True, slots=True)
class Credential:
    """One credential as offered. Its text is kept out of every representation."""

    kind: CredentialKind
    text: str = field(repr=False)
    key_beside: str = field(default="", repr=False)
    """The API key that came with a bearer token; empty when none did."""


def extract(headers: Iterable[tuple[bytes, bytes]]) -> Credential | None:
    """The one credential that decides, or ``None``. Header names are lower-case.

    Raises ``InvalidToken`` or ``InvalidApiKey`` for one that is doubled, empty, oversized or not
    made of visible ASCII.
    """
    authorization: bytes | None = None
    api_key: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            if authorization is not None:
                raise InvalidToken("more than one Authorization header")
            authorization = value
        elif name == b"x-api-key":
            if api_key is not None:
                raise InvalidApiKey("more than one X-API-Key header")
            api_key = value
    key = "" if api_key is None else _key(api_key)
    token = None if authorization is None else _bearer(authorization)
    if token is not None:
        if not _is_visible(token, LARGEST_TOKEN):
            raise InvalidToken("empty, oversized or not visible ASCII")
        return Credential(CredentialKind.JWT, token.decode("ascii"), key)
    return Credential(CredentialKind.API_KEY, key) if key else None


def _key(value: bytes) -> str:
    stripped = value.strip(b" \t")
    if not _is_visible(stripped, LARGEST_API_KEY):
        raise InvalidApiKey("empty, oversized or not visible ASCII")
    return stripped.decode("ascii")


def _bearer(authorization: bytes) -> bytes | None:
    scheme, *rest = authorization.split(None, 1) or [b""]
    if scheme.lower() != b"bearer":
        return None
    return rest[0].rstrip() if rest else b""


def _is_visible(value: bytes, largest: int) -> bool:
    return len(value) <= largest and _VISIBLE.fullmatch(value) is not None
