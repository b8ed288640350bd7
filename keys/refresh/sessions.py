"""Sign-in sessions: opened with a password, kept up by refresh tokens, ended for good.

What is decided here: who may still hold a session, what reuse of a spent token means, and what the
audit log learns. Leans on a store, the issuer, the revocation list and the ORM; runs in the
control plane.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser
from django.db import Error

from audit.recorder import record
from keys.errors import InvalidToken, KeyStoreUnavailable, RevokedToken
from keys.issuer import Holder, Issuer
from keys.refresh.base import Outcome, Owner, Presented, RefreshStore
from keys.refresh.texts import RefreshToken, TokenPress

Revoke = Callable[[str], None]
"""Ends the access tokens of a session: ``keys.revocation.revoke``."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What a client gets. ``expires_in`` is the access token's life in seconds."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires_in: int


class Sessions:
    """Every method raises ``KeyStoreUnavailable`` when store or database cannot be asked: a token
    is then neither given nor believed.
    """

    def __init__(
        self,
        store: RefreshStore,
        issuer: Issuer,
        press: TokenPress,
        revoke: Revoke,
        *,
        rotation: bool = True,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._issuer = issuer
        self._press = press
        self._revoke = revoke
        self._rotation = rotation
        self._now = now

    def open(self, user: AbstractUser) -> Pair:
        """A new session of *user*, who has just proved to be it."""
        token = self._press.first()
        with _translated():
            holder = Holder.of(user)
            access = self._access(holder, token, secrets.token_urlsafe(16), self._now())
            self._store.open(token.session, Owner(str(user.pk), _stamp(user)), token.digest)
            _record("token.issued", user.get_username(), token)
        return Pair(access, token.text, self._issuer.lifetime)

    def refresh(self, text: str) -> Pair:
        """A new access token, and with rotation a new refresh token, for the one in *text*.

        Raises ``InvalidToken`` or ``RevokedToken``. What can fail is done before the token is
        spent.
        """
        token = self._press.read(text)
        if token is None:
            raise InvalidToken("no refresh token of ours")
        owner = self._store.owner(token.session)
        if owner is None:
            raise InvalidToken("the session has ended or is not known here")
        with _translated():
            user = _user(owner)
            if user is None:
                self._end(token, "", "token.revoked", "the user may not sign in any more")
            holder = Holder.of(user)
            return self._rotate(token, user, holder)

    def revoke(self, text: str) -> None:
        """End the session of the token in *text*, if it is one of ours (RFC 7009)."""
        token = self._press.read(text)
        if token is None:
            return
        owner = self._store.owner(token.session)
        if owner is None:
            return
        with _translated():
            user = _user(owner)
            self._store.revoke(token.session)
            self._revoke(token.session)
            _record("token.revoked", user.get_username() if user else "", token)

    def _rotate(self, token: RefreshToken, user: AbstractUser, holder: Holder) -> Pair:
        salt = secrets.token_urlsafe(16)
        successor = self._press.successor(token, salt).digest if self._rotation else ""
        presented = Presented(token.session, token.generation, token.digest, successor, salt)
        done = self._store.rotate(presented)
        match done.outcome:
            case Outcome.ROTATED | Outcome.REPEATED:
                following = self._press.successor(token, done.salt)
                token_id, at = self._press.token_id(token, done.salt), done.at / 1000
            case Outcome.VALID:
                following, token_id, at = token, secrets.token_urlsafe(16), self._now()
            case Outcome.REUSED:
                self._end(token, user.get_username(), "token.reused", "a spent token came again")
            case Outcome.REVOKED:
                # Again, in case the database was away when the family was revoked.
                self._revoke(token.session)
                raise RevokedToken("the session was ended")
            case Outcome.UNKNOWN:
                raise InvalidToken("the session has ended or is not known here")
        access = self._access(holder, token, token_id, at)
        if done.outcome is not Outcome.REPEATED:
            _record("token.refreshed", user.get_username(), following)
        return Pair(access, following.text, self._issuer.lifetime)

    def _end(self, token: RefreshToken, name: str, action: str, reason: str) -> NoReturn:
        self._store.revoke(token.session)
        self._revoke(token.session)
        _record(action, name, token, outcome="refused")
        raise RevokedToken(reason)

    def _access(self, holder: Holder, token: RefreshToken, token_id: str, at: float) -> str:
        return self._issuer.issue(holder, token.session, token_id, int(at))


def _user(owner: Owner) -> AbstractUser | None:
    """The user as long as they may sign in and have the password they signed in with."""
    user = get_user_model().objects.filter(pk=owner.user, is_active=True).first()
    return user if user is not None and _stamp(user) == owner.stamp else None


def _stamp(user: AbstractUser) -> str:
    return hashlib.sha256(user.get_session_auth_hash().encode()).hexdigest()[:32]


def _record(action: str, name: str, token: RefreshToken, outcome: str = "success") -> None:
    """The session is named: it is no secret, every access token carries it."""
    record(
        action,
        actor=name,
        object_type="session",
        object_name=token.session,
        changes={"generation": token.generation},
        outcome=outcome,
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Error as error:
        raise KeyStoreUnavailable(f"the database failed: {type(error).__name__}") from error
