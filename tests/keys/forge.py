"""Tokens of any shape, signed or not: what an issuer, or an attacker, could send."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

NOW = 1_750_000_000
SECRET = "a-secret-of-at-least-thirty-two-bytes-0123456789"
CLAIMS: dict[str, Any] = {"sub": "42", "exp": NOW + 600}
HEADER: dict[str, Any] = {"alg": "HS256", "typ": "JWT"}


def segment(content: Any) -> str:
    """Base64url of bytes as they are, or of anything else as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, claims: Any, secret: bytes = SECRET.encode()) -> str:
    """A compact token with an HMAC-SHA256 signature, whatever the header says."""
    body = f"{segment(header)}.{segment(claims)}"
    return f"{body}.{segment(hmac.new(secret, body.encode(), hashlib.sha256).digest())}"


def token(**claims: Any) -> str:
    """A good token with *claims* changed; a claim that is ``...`` is left out."""
    merged = {name: value for name, value in (CLAIMS | claims).items() if value is not ...}
    return signed(HEADER, merged)


def headed(**parameters: Any) -> str:
    """A good token with header *parameters* changed; one that is ``...`` is left out."""
    merged = {name: value for name, value in (HEADER | parameters).items() if value is not ...}
    return signed(merged, CLAIMS)
