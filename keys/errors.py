"""Why a caller is not known, and what a verifying key can be unfit for.

::

    KeysError
    ├── AuthenticationError        401; ``code`` is public (CONTRACT §4)
    │   ├── MissingCredentials     missing_credentials
    │   ├── InvalidCredentials     invalid_credentials (``/auth/token`` only)
    │   ├── ApiKeyRefused
    │   │   ├── InvalidApiKey      invalid_api_key
    │   │   ├── ExpiredApiKey      expired_api_key
    │   │   └── RevokedApiKey      revoked_api_key
    │   └── TokenRefused
    │       ├── InvalidToken       invalid_token
    │       ├── ExpiredToken       expired_token
    │       └── RevokedToken       revoked_token
    ├── KeyStoreUnavailable        503 ``key_store_unavailable``: neither yes nor no
    └── UnusableKey                configuration: this key cannot verify or sign tokens

``str(error)`` is one fixed sentence per class, fit for the client. ``reason`` says more, for the
gateway's own log; it is written by us and never holds any part of a credential.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from keys.caller import Caller


class KeysError(Exception):
    """Base of this app's errors."""


class AuthenticationError(KeysError):
    """The caller could not be identified."""

    code: ClassVar[str]
    sentence: ClassVar[str]

    def __init__(self, reason: str = "") -> None:
        super().__init__(self.sentence)
        self.reason = reason
        self.caller: Caller | None = None
        """Whose credential it was, where that is known: for the audit log alone."""


class MissingCredentials(AuthenticationError):
    """No credential at all. ``methods`` are the kinds the route would have accepted."""

    code = "missing_credentials"
    sentence = "This route needs a credential."

    def __init__(self, methods: Collection[str] = ()) -> None:
        super().__init__()
        self.methods = frozenset(methods)


class InvalidCredentials(AuthenticationError):
    """A user name and a password that do not belong together; which of them is not said."""

    code = "invalid_credentials"
    sentence = "User name or password is wrong."


class ApiKeyRefused(AuthenticationError):
    """An API key was offered and is not good."""


class InvalidApiKey(ApiKeyRefused):
    """Unknown, malformed, or not for this route or address."""

    code = "invalid_api_key"
    sentence = "The API key is not valid here."


class ExpiredApiKey(ApiKeyRefused):
    """Past its expiry, or past the grace time after it was rotated."""

    code = "expired_api_key"
    sentence = "The API key has expired."


class RevokedApiKey(ApiKeyRefused):
    """The key was revoked or disabled, or its consumer is disabled."""

    code = "revoked_api_key"
    sentence = "The API key has been revoked."


class TokenRefused(AuthenticationError):
    """A bearer token was offered and is not good."""


class InvalidToken(TokenRefused):
    """Malformed, wrongly signed, or not a token for this gateway."""

    code = "invalid_token"
    sentence = "The token is not valid."


class ExpiredToken(TokenRefused):
    """Past its ``exp``."""

    code = "expired_token"
    sentence = "The token has expired."


class RevokedToken(TokenRefused):
    """Taken back before its ``exp``."""

    code = "revoked_token"
    sentence = "The token has been revoked."


class KeyStoreUnavailable(KeysError):
    """The store could not say whether the credential is good; never read as yes or as no."""

    code: ClassVar[str] = "key_store_unavailable"

    def __init__(self, reason: str = "") -> None:
        super().__init__("The key store cannot be reached.")
        self.reason = reason


class UnusableKey(KeysError):
    """A key in the configuration cannot serve its algorithm; the message says why, not what."""
