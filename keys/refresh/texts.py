"""Refresh tokens as text: ``gwr_<session>.<generation>.<random>.<tag>``. Pure, but for the source
of random bytes.

The tag, made with the gateway's secret, tells a token that was ours from an invention: anybody who
reads an access token knows the session, and must not be able to end it by making up a "spent"
token. A successor is derived from the token it replaces and a salt that the store keeps, so the
grace can give the same one again although no token is stored. The store knows only digests and
salts; with the secret too, nobody makes a current token without having had an earlier one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

_WRITTEN = re.compile(
    r"gwr_([A-Za-z0-9_-]{22})\.(0|[1-9][0-9]{0,14})\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{22})"
)


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A genuine token; its text is kept out of every representation."""

    session: str
    generation: int
    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 as 64 hexadecimal digits. The tokens are random: no slow hash is needed."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class TokenPress:
    """Makes tokens and recognises its own, by *secret*."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"gateway refresh tokens\0" + secret.encode()).digest()

    def first(self) -> RefreshToken:
        """The first token of a new session."""
        return self._token(secrets.token_urlsafe(16), 0, secrets.token_urlsafe(32))

    def successor(self, token: RefreshToken, salt: str) -> RefreshToken:
        """The token after *token*: always the same for one *salt*."""
        return self._token(
            token.session, token.generation + 1, self._mac("next", salt, token.text, size=32)
        )

    def token_id(self, token: RefreshToken, salt: str) -> str:
        """The ``jti`` of the access token that comes with the successor."""
        return self._mac("jti", salt, token.text, size=16)

    def read(self, text: str) -> RefreshToken | None:
        """The token in *text*; ``None`` for what was never one of ours."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            return None
        session, generation, middle, _ = match.groups()
        token = self._token(session, int(generation), middle)
        genuine = hmac.compare_digest(token.text, text)
        return token if genuine else None

    def _token(self, session: str, generation: int, middle: str) -> RefreshToken:
        tag = self._mac("tag", session, str(generation), middle, size=16)
        return RefreshToken(session, generation, f"gwr_{session}.{generation}.{middle}.{tag}")

    def _mac(self, *parts: str, size: int) -> str:
        content = "\0".join(parts).encode()
        mac = hmac.new(self._key, content, hashlib.sha256).digest()[:size]
        return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
