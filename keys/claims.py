"""What the claims of an access token must look like, and the facts taken from them. Pure.

The rules are those of RFC 7519 section 4.1, read strictly, and those of headers: a claim that
becomes a header cannot carry anything that would mean something else there. How much there can
be is bounded before: a token of at most 8 KB holds less than 6 KB of claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keys.errors import ExpiredToken, InvalidToken

LONGEST_SUBJECT = 256
_LAST_SECOND = 253_402_300_799  # the end of year 9999: no date type holds more
_KIND_CLAIMS = ("token_type", "typ", "token_use")
_ACCESS_KINDS = frozenset({"access", "access_token", "bearer", "jwt", "at+jwt"})


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What is asked of tokens beyond ``exp`` and ``sub``. Empty means not checked.

    ``leeway`` is in seconds, for clocks that differ.
    """

    issuer: str = ""
    audiences: frozenset[str] = frozenset()
    leeway: int = 0
    external: bool = False
    """Whether the issuer is somebody else, whose subjects are not our users."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """The facts of a verified token. Times are seconds since the epoch.

    ``token_id`` is ``jti``, ``session_id`` is ``sid``: what revocation lists name.
    """

    subject: str
    roles: tuple[str, ...]
    permissions: tuple[str, ...]
    expires_at: int
    issued_at: int | None
    issuer: str
    token_id: str
    session_id: str
    external: bool = False
    """Whether an external issuer made it: then ``subject`` means something only with ``issuer``."""


def read_claims(claims: Mapping[str, Any], rules: TokenRules, now: float) -> AccessToken:
    """Check *claims* at the time *now*; raises ``InvalidToken`` or ``ExpiredToken``."""
    _check_kind(claims)
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise InvalidToken("no exp")
    check_expiry(expires_at, rules, now)
    not_before = _time(claims, "nbf")
    if not_before is not None and not_before > now + rules.leeway:
        raise InvalidToken("nbf lies ahead")
    _check_origin(claims, rules)
    return AccessToken(
        subject=_name(claims, "sub"),
        roles=_list(claims, "roles"),
        permissions=_list(claims, "permissions"),
        expires_at=expires_at,
        issued_at=_time(claims, "iat"),
        issuer=_name(claims, "iss") if "iss" in claims else "",
        token_id=_name(claims, "jti") if "jti" in claims else "",
        session_id=_name(claims, "sid") if "sid" in claims else "",
        external=rules.external,
    )


def check_expiry(expires_at: int, rules: TokenRules, now: float) -> None:
    """Raise ``ExpiredToken`` from the second ``exp`` names on (RFC 7519 section 4.1.4)."""
    if now >= expires_at + rules.leeway:
        raise ExpiredToken("exp has passed")


def _check_kind(claims: Mapping[str, Any]) -> None:
    for name in _KIND_CLAIMS:
        kind = claims.get(name, "access")
        if not isinstance(kind, str) or kind.lower() not in _ACCESS_KINDS:
            raise InvalidToken(f"{name} is not that of an access token")
    kind = claims.get("type")
    if isinstance(kind, str) and "refresh" in kind.lower():
        raise InvalidToken("type is that of a refresh token")


def _time(claims: Mapping[str, Any], name: str) -> int | None:
    if name not in claims:
        return None
    value = claims[name]
    if type(value) is not int or not 0 <= value <= _LAST_SECOND:
        raise InvalidToken(f"{name} is not a whole number of seconds")
    return value


def _check_origin(claims: Mapping[str, Any], rules: TokenRules) -> None:
    if rules.issuer and claims.get("iss") != rules.issuer:
        raise InvalidToken("another issuer")
    if rules.audiences:
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if not all(isinstance(name, str) for name in named):
            raise InvalidToken("aud is neither text nor a list of texts")
        if rules.audiences.isdisjoint(named):
            raise InvalidToken("another audience")


def _name(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or len(value) > LONGEST_SUBJECT or not is_plain(value):
        raise InvalidToken(f"{name} is not 1 to {LONGEST_SUBJECT} visible characters")
    return value


def _list(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = claims.get(name)
    if value is None or value == "":
        return ()
    if isinstance(value, str) and is_plain(value):
        return tuple(value.replace(",", " ").split())
    if isinstance(value, list) and all(_is_item(item) for item in value):
        return tuple(value)
    raise InvalidToken(f"{name} cannot be a list in a header")


def _is_item(value: object) -> bool:
    return isinstance(value, str) and is_plain(value) and "," not in value


def is_plain(text: str) -> bool:
    """Whether *text* means the same as a header value: printable, not empty, no edge blanks.

    Excludes control characters, line and paragraph separators, lone surrogates and every blank
    but an inner space. Non-ASCII letters travel as UTF-8.
    """
    return text.isprintable() and text == text.strip() and bool(text)
