"""What is done to many selected rows at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import models
from django.test import Client

from audit.models import AuditEntry
from keys.digest import hash_api_key
from keys.models import ApiKey, Consumer
from routing import revision
from routing.models import Revision, Route
from tests.admin.conftest import grant
from tests.models import world

pytestmark = pytest.mark.django_db

ROUTES, KEYS = "/admin/routing/route/", "/admin/keys/apikey/"


def act(client: Client, url: str, name: str, *rows: models.Model) -> Any:
    return client.post(url, {"action": name, "_selected_action": [row.pk for row in rows]})


def said(answer: Any) -> list[str]:
    return [str(message) for message in get_messages(answer.wsgi_request)]


def test_disabling_routes_is_one_write_recorded_for_each(
    admin_client: Client, announced: list[Any]
) -> None:
    rows = [world.route("a"), world.route("b"), world.route("c", enabled=False)]
    answer = act(admin_client, ROUTES, "disable", *rows)
    assert not Route.objects.filter(enabled=True).exists()
    assert said(answer) == ["2 disabled."]
    assert announced == [Route]
    changed = AuditEntry.objects.filter(action="route.changed", actor="admin")
    assert sorted(entry.object_name for entry in changed) == ["a", "b"]


def test_enabling_switches_back(admin_client: Client) -> None:
    row = world.route(enabled=False)
    act(admin_client, ROUTES, "enable", row)
    row.refresh_from_db()
    assert row.enabled


def test_consumers_are_switched_too(admin_client: Client) -> None:
    row = world.api_key("acme").consumer
    act(admin_client, "/admin/keys/consumer/", "disable", row)
    assert not Consumer.objects.get().enabled


@pytest.mark.parametrize("name", ["enable", "disable", "delete_selected"])
def test_who_may_only_view_switches_nothing(alice: User, alice_client: Client, name: str) -> None:
    grant(alice, "view_route")
    row = world.route(enabled=name == "disable")
    act(alice_client, ROUTES, name, row)
    assert Route.objects.get().enabled == (name == "disable")


@pytest.mark.parametrize("name", ["enable", "disable", "revoke", "rotate"])
def test_who_may_only_view_keys_does_nothing_to_them(
    alice: User, alice_client: Client, name: str
) -> None:
    grant(alice, "view_apikey")
    key = world.api_key(enabled=name != "enable")
    before = ApiKey.objects.values().get()
    act(alice_client, KEYS, name, key)
    assert ApiKey.objects.values().get() == before


def test_who_may_not_add_keys_may_not_rotate_them(alice: User, alice_client: Client) -> None:
    grant(alice, "view_apikey", "change_apikey")
    act(alice_client, KEYS, "rotate", world.api_key())
    assert ApiKey.objects.count() == 1


def test_revoking_ends_keys_for_good(admin_client: Client) -> None:
    key = world.api_key()
    assert said(act(admin_client, KEYS, "revoke", key)) == ["1 revoked."]
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert AuditEntry.objects.filter(action="key.revoked", actor="admin").count() == 1


def test_rotating_shows_the_new_key_once(admin_client: Client) -> None:
    old = world.api_key(name="ci")
    answer = act(admin_client, KEYS, "rotate", old)
    new = ApiKey.objects.get(rotated_from=old)
    assert new.digest == hash_api_key(answer.context["text"])
    old.refresh_from_db()
    assert old.grace_until is not None


def test_one_key_is_rotated_at_a_time(admin_client: Client) -> None:
    answer = act(admin_client, KEYS, "rotate", world.api_key(), world.api_key())
    assert said(answer) == ["Select exactly one key."]
    assert ApiKey.objects.count() == 2


@pytest.fixture
def published() -> list[Revision]:
    """Two revisions: the route on, then off."""
    row = world.route()
    first = revision.publish("admin", "alice")
    Route.objects.filter(pk=row.pk).update(enabled=False)
    second = revision.publish("admin", "alice")
    assert first
    assert second
    return [first, second]


REVISIONS = "/admin/routing/revision/"


def test_rolling_back_restores_the_rows(admin_client: Client, published: list[Revision]) -> None:
    answer = act(admin_client, REVISIONS, "roll_back", published[0])
    assert said(answer) == [f"Rolled back to revision {published[0].number}."]
    assert Route.objects.get().enabled


def test_one_revision_is_rolled_back_to(admin_client: Client, published: list[Revision]) -> None:
    assert said(act(admin_client, REVISIONS, "roll_back", *published)) == [
        "Select exactly one revision."
    ]
    assert not Route.objects.get().enabled


def test_a_revision_that_cannot_be_restored_changes_nothing(
    admin_client: Client, published: list[Revision]
) -> None:
    document = '{"format":1,"services":{},"routes":[{"name":"a","path":"/a","service":"gone"}]}'
    broken = Revision.objects.create(number=99, sha256="0" * 64, document=document)
    (text,) = said(act(admin_client, REVISIONS, "roll_back", broken))
    assert text.startswith("Nothing was changed.")
    assert not Route.objects.get().enabled


def test_viewing_revisions_is_not_rolling_back(
    alice: User, alice_client: Client, published: list[Revision]
) -> None:
    grant(alice, "view_revision")
    act(alice_client, REVISIONS, "roll_back", published[0])
    assert not Route.objects.get().enabled


def test_rolling_back_has_a_permission_of_its_own(
    alice: User, alice_client: Client, published: list[Revision]
) -> None:
    grant(alice, "view_revision", "change_revision")
    act(alice_client, REVISIONS, "roll_back", published[0])
    assert Route.objects.get().enabled
