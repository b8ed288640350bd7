"""Whatever the admin has a URL for, found by walking its URLs: nobody but staff gets in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.urls.exceptions import NoReverseMatch

from tests.admin.conftest import grant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("everything")]

OPEN = {"login"}
PERSONAL = {"index", "logout", "password_change", "password_change_done", "jsi18n", "search"}
"""Pages of one's own, or that show only what one may see."""


REFUSALS = {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}


def named(patterns: list[Any]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from named(pattern.url_patterns)
        elif isinstance(pattern, URLPattern) and pattern.name:
            yield pattern.name


NAMES = sorted(set(named(admin.site.urls[0])) - OPEN)


def address(name: str) -> str:
    """The URL called *name*, for the first row of its kind where it is that of a row."""
    for arguments in ([], ["1"], ["1", "1"], ["routing"]):
        try:
            return reverse(f"admin:{name}", args=arguments)
        except NoReverseMatch:
            continue
    raise AssertionError(name)


def let_in(client: Client, names: Iterable[str]) -> list[tuple[str, str, int]]:
    """Which pages answer *client* with anything but a refusal, by method, and how."""
    found = []
    for name in names:
        for method in ("get", "post"):
            answer = getattr(client, method)(address(name))
            place = answer.headers.get("Location", "")
            sent_away = place == "/admin/" or place.startswith("/admin/login/")
            if not sent_away and answer.status_code not in REFUSALS:
                found.append((name, method, answer.status_code))
    return found


def test_the_walk_finds_the_admins_urls() -> None:
    assert {"routing_route_change", "auth_user_password_change", "app_list"} <= set(NAMES)
    assert len(NAMES) > 80


def test_the_anonymous_and_strangers_are_sent_away(client: Client, stranger_client: Client) -> None:
    assert let_in(client, NAMES) == []
    assert let_in(stranger_client, NAMES) == []


def test_staff_without_permission_see_nothing_and_change_nothing(alice_client: Client) -> None:
    assert let_in(alice_client, set(NAMES) - PERSONAL) == []


def test_who_may_view_everything_adds_and_deletes_nothing(
    alice: User, alice_client: Client
) -> None:
    grant(alice, *(f"view_{model._meta.model_name}" for model in admin.site._registry))
    names = [name for name in NAMES if name.endswith(("_add", "_delete"))]
    assert let_in(alice_client, names) == []
