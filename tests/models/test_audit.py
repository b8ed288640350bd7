"""The audit log: what changes of rows leave behind, who did it, what is left out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from audit.models import AuditEntry
from audit.recorder import acting_as, record, redact
from keys.models import ApiKey
from routing.models import Route
from tests.models import world

pytestmark = pytest.mark.django_db


def entries(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action).order_by("id"))


def test_a_saved_change_is_recorded_field_by_field() -> None:
    row = world.route(priority=1)
    row.priority, row.service = 5, world.service("other")
    row.save()
    (entry,) = entries("route.changed")
    assert entry.changes == {
        "priority": {"old": 1, "new": 5},
        "service": {"old": "invoices-service", "new": "other"},
    }
    assert (entry.object_type, entry.object_id) == ("route", str(row.pk))
    assert entry.object_name == "invoices"


def test_saving_without_a_change_records_nothing() -> None:
    world.route().save()
    assert entries("route.changed") == []


def test_a_change_that_was_not_saved_is_not_recorded() -> None:
    row = world.route(priority=1)
    row.priority, row.path = 5, "/elsewhere"
    row.service = world.service("other")
    row.save(update_fields=["priority", "service_id"])
    (entry,) = entries("route.changed")
    assert entry.changes.keys() == {"priority", "service"}


def test_making_and_deleting_are_recorded() -> None:
    world.route().delete()
    (made,), (deleted,) = entries("route.created"), entries("route.deleted")
    assert made.changes["path"] == {"old": None, "new": "/invoices"}
    assert deleted.changes["path"] == {"old": "/invoices", "new": None}


def test_an_update_records_the_rows_it_changed() -> None:
    world.route("a")
    world.route("b", enabled=False)
    Route.objects.update(enabled=False)
    (entry,) = entries("route.changed")
    assert (entry.object_name, entry.changes) == ("a", {"enabled": {"old": True, "new": False}})


def test_an_update_of_a_relation_by_its_key_is_recorded() -> None:
    world.route()
    Route.objects.update(service_id=world.service("other").pk)
    (entry,) = entries("route.changed")
    assert entry.changes == {"service": {"old": "invoices-service", "new": "other"}}


def test_an_update_may_filter_on_what_it_changes() -> None:
    world.route()
    Route.objects.filter(enabled=True).update(enabled=False)
    assert len(entries("route.changed")) == 1


def test_bulk_writes_are_recorded() -> None:
    backend = world.service()
    Route.objects.bulk_create([Route(name="a", path="/a", service=backend)])
    row = Route.objects.get()
    row.path = "/b"
    Route.objects.bulk_update([row], ["path"])
    assert len(entries("route.created")) == 1
    assert entries("route.changed")[0].changes == {"path": {"old": "/a", "new": "/b"}}


def test_a_key_leaves_no_digest_in_the_log() -> None:
    key = world.api_key()
    key.delete()
    logged = str(list(AuditEntry.objects.values()))
    assert key.prefix in logged
    assert key.digest not in logged


def test_last_use_of_a_key_is_not_recorded() -> None:
    key = world.api_key()
    key.save(update_fields=["last_used_at"])
    ApiKey.objects.update(last_used_at=key.created_at)
    assert entries("key.changed") == []


def test_rights_of_staff_are_recorded() -> None:
    alice = User.objects.create_user("alice")
    alice.is_superuser = True
    alice.save()
    assert entries("user.changed")[0].changes == {"is_superuser": {"old": False, "new": True}}


def test_a_new_password_of_staff_is_recorded_without_it() -> None:
    alice = User.objects.create_user("alice", password="first-word")
    alice.set_password("second-word")
    alice.save()
    (entry,) = entries("user.password_changed")
    assert entry.changes == {"password": "***"}
    assert alice.password not in str(list(AuditEntry.objects.values()))


def test_groups_and_permissions_given_and_taken_are_recorded() -> None:
    alice, group = User.objects.create_user("alice"), Group.objects.create(name="operators")
    view, change = Permission.objects.filter(content_type__app_label="routing", codename__in=[
        "view_route", "change_route",
    ]).order_by("-codename")  # fmt: skip
    alice.groups.set([group])
    alice.user_permissions.add(view, change)
    alice.user_permissions.remove(view)
    alice.user_permissions.clear()
    group.user_set.remove(alice)
    group.user_set.add(alice)
    group.user_set.clear()
    group.permissions.add(view)
    both, one = ["routing.change_route", "routing.view_route"], ["routing.change_route"]
    assert [entry.changes for entry in entries("user.changed")] == [
        {"groups": {"old": [], "new": ["operators"]}},
        {"user_permissions": {"old": [], "new": both}},
        {"user_permissions": {"old": both, "new": one}},
        {"user_permissions": {"old": one, "new": []}},
        {"groups": {"old": ["operators"], "new": []}},
        {"groups": {"old": [], "new": ["operators"]}},
        {"groups": {"old": ["operators"], "new": []}},
    ]
    assert {entry.object_name for entry in entries("user.changed")} == {"alice"}
    (entry,) = entries("group.changed")
    assert entry.changes == {"permissions": {"old": [], "new": ["routing.view_route"]}}


def test_the_actor_is_whoever_acts() -> None:
    with acting_as("alice", "admin", request_id="r-1", client_ip="192.0.2.7"):
        world.route()
    entry = entries("route.created")[0]
    assert (entry.actor, entry.actor_type) == ("alice", "user")
    assert (entry.request_id, entry.client_ip) == ("r-1", "192.0.2.7")


def test_nobody_acts_after_the_block() -> None:
    with acting_as("alice", "command"):
        pass
    assert (record("x.y").actor, record("x.y").actor_type) == ("", "system")


@pytest.mark.parametrize(
    "name", ["password", "client_secret", "refresh_token", "digest", "api_key", "Secret-Key"]
)
def test_values_under_a_secrets_name_are_left_out(name: str) -> None:
    values: dict[str, Any] = {name: "hunter2", "nested": [{name: {"old": "hunter2"}}], "path": "/a"}
    assert redact(values) == {name: "***", "nested": [{name: "***"}], "path": "/a"}


def test_what_does_not_fit_is_cut_and_an_address_that_is_none_is_left_out() -> None:
    with acting_as("a" * 500, "client", request_id="r" * 500, client_ip="unix:"):
        entry = record("auth.refresh_reused", object_name="o" * 500)
    entry.refresh_from_db()
    assert (len(entry.actor), len(entry.request_id), len(entry.object_name)) == (190, 128, 255)
    assert entry.client_ip is None


def test_an_entry_is_written_once() -> None:
    entry = record("x.y")
    with pytest.raises(TypeError):
        entry.save()


def test_a_request_acts_as_its_user(client: Client) -> None:
    client.force_login(User.objects.create_superuser("alice"))
    row = world.route()
    client.post(
        "/admin/routing/route/",
        {"action": "disable", "_selected_action": [row.pk]},
        headers={"x-request-id": "r-1"},
    )
    entry = entries("route.changed")[0]
    assert (entry.actor, entry.request_id, entry.client_ip) == ("alice", "r-1", "127.0.0.1")
