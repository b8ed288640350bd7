"""Callers of different rights at the API's door, and one row of everything behind it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django import DjangoDbBlocker

from quotas.models import RateLimit
from routing import revision
from tests.models import world
from tests.support.clients import signed_in

API = "/api/gateway/"
Send = Callable[..., Any]


def grant(user: User, *names: str) -> None:
    """Give *user* permissions by their full names (``routing.change_route``)."""
    for name in names:
        app, _, codename = name.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=app, codename=codename)
        )


def sender(client: Client) -> Send:
    """Send JSON to a path under the API: ``send("PUT", "routes/a/", {...}, if_match=tag)``."""

    def send(method: str, path: str, content: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("content-type", "application/json")
        kind = named.pop("content-type")
        body = content if isinstance(content, str) else json.dumps(content)
        return client.generic(
            method,
            API + path,
            data="" if content is None else body,
            content_type=kind,
            headers=named,
        )

    return send


@pytest.fixture
def alice(db: None) -> User:
    """Staff without any permission."""
    return User.objects.create_user("alice", password="wonderland", is_staff=True)


@pytest.fixture
def as_alice(alice: User) -> Send:
    return sender(signed_in(alice))


@pytest.fixture
def as_stranger(db: None) -> Send:
    """Signed in, but not staff."""
    return sender(signed_in(User.objects.create_user("stranger", is_superuser=True)))


@pytest.fixture
def as_anonymous(db: None) -> Send:
    return sender(Client())


@pytest.fixture
def send(admin_client: Client) -> Send:
    """As a superuser."""
    return sender(admin_client)


@pytest.fixture(scope="module")
def everything(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A row of every model behind the API, kept for the module; revision 1 is published."""
    with world.kept(django_db_blocker):
        _make_everything()
        yield


def _make_everything() -> None:
    key = world.a_row_of_most()
    RateLimit.objects.create(consumer=key.consumer, limit=100)
    revision.publish("command", "setup")
