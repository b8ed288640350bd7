"""The seam to the store of refresh tokens, and what a family of them is.

A *family* is everything that came from one sign-in; its name, the session, is the ``sid`` of its
access tokens. Stored are digests and a counter, never a token. The store's one hard duty is that
:meth:`RefreshStore.rotate` is atomic over every process that shares it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What became of a presented token."""

    ROTATED = "rotated"
    """It was the current one and is spent now."""
    REPEATED = "repeated"
    """It is the one spent last, within the grace: the same answer once more."""
    VALID = "valid"
    """It is the current one, and stays it."""
    REUSED = "reused"
    """It was spent before: the family is revoked by this."""
    REVOKED = "revoked"
    """Its family was revoked before."""
    UNKNOWN = "unknown"
    """There is no such family (any more)."""


@dataclass(frozen=True, slots=True)
class Presented:
    """A genuine token of a session, as a caller presents it, and what may follow it.

    ``successor`` is the digest of the next token; empty, the presented one stays current.
    ``salt`` is random; what is derived from it can be derived again within the grace.
    """

    session: str
    generation: int
    digest: str
    successor: str
    salt: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """The store's answer. ``salt`` and ``at`` (ms) are those of the rotation, made now or, when
    it is repeated, then; otherwise empty.
    """

    outcome: Outcome
    salt: str = ""
    at: int = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose family it is. ``stamp`` changes with the user's password."""

    user: str
    stamp: str


class RefreshStore(Protocol):
    """Keeps families until *lifetime* after their last rotation. Every call may raise
    ``KeyStoreUnavailable``.
    """

    def open(self, session: str, owner: Owner, digest: str) -> None:
        """Keep a new family whose first token, generation 0, has *digest*."""
        ...

    def owner(self, session: str) -> Owner | None:
        """Whose family it is, revoked or not."""
        ...

    def rotate(self, presented: Presented) -> Rotation:
        """Judge the token and, if it is the current one, put its successor in its place."""
        ...

    def revoke(self, session: str) -> None:
        """No token of the family is good from now on."""
        ...
