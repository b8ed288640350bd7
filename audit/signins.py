"""People signing in: succeeded, failed, locked out, left.

Every door to the control plane ends in Django's ``authenticate``, whose signals are heard here.
Leans on django-axes for lock-outs; failures during one are folded, for they cost a client nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from axes.signals import user_locked_out
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.core.cache import cache
from django.http import HttpRequest

from audit.recorder import record

_FOLD_SECONDS = 60


def connect() -> None:
    """Connect the handlers; once, when the app is ready."""
    for signal, handler in (
        (user_logged_in, _on_login),
        (user_logged_out, _on_logout),
        (user_login_failed, _on_failure),
        (user_locked_out, _on_lock_out),
    ):
        signal.connect(handler, dispatch_uid="audit.signins")


def _on_login(user: AbstractBaseUser, **_: Any) -> None:
    _record("login.succeeded", user.get_username())


def _on_logout(user: AbstractBaseUser | None, **_: Any) -> None:
    if user is not None:
        _record("logout", user.get_username())


def _on_failure(
    credentials: Mapping[str, Any], request: HttpRequest | None = None, **_: Any
) -> None:
    if not getattr(request, "axes_locked_out", False):
        _record("login.failed", _known(credentials.get("username")), outcome="refused")


def _on_lock_out(username: str | None = None, ip_address: str = "", **_: Any) -> None:
    """One entry a minute for the same user and address."""
    name = _known(username)
    seen = f"audit.locked_out:{ip_address}:{name}"
    if cache.add(seen, True, _FOLD_SECONDS):
        _record("login.locked_out", name, outcome="refused")


def _record(action: str, name: str, outcome: str = "success") -> None:
    record(action, actor=name, object_type="user", object_name=name, outcome=outcome)


def _known(username: object) -> str:
    """The name of an existing user, else nothing: people type passwords into the wrong field."""
    users = get_user_model()._default_manager
    named = {users.model.USERNAME_FIELD: username}
    is_known = isinstance(username, str) and users.filter(**named).exists()
    return str(username) if is_known else ""
