"""Keys: the epoch workers poll, the archive, and what a key's own methods do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.core import serializers
from django.db import transaction
from django.utils import timezone

from keys.digest import hash_api_key
from keys.models import ApiKey, ArchivedApiKey, Consumer, KeyEpoch
from tests.models import world

pytestmark = pytest.mark.django_db


def epoch() -> int:
    return KeyEpoch.objects.get_or_create(pk=1)[0].number


def test_every_kind_of_change_raises_the_epoch() -> None:
    key = world.api_key()
    steps: list[Callable[[], object]] = [
        lambda: Consumer.objects.create(name="globex"),
        lambda: key.save(update_fields=["enabled"]),
        lambda: ApiKey.objects.update(enabled=False),
        lambda: Consumer.objects.bulk_create([Consumer(name="initech")]),
        lambda: Consumer.objects.bulk_update([key.consumer], ["roles"]),
        key.delete,
        Consumer.objects.all().delete,
    ]
    for step in steps:
        before = epoch()
        step()
        assert epoch() > before


def test_last_use_does_not_raise_the_epoch() -> None:
    key = world.api_key()
    before = epoch()
    ApiKey.objects.update(last_used_at=timezone.now())
    key.save(update_fields=["last_used_at"])
    assert epoch() == before


def test_a_fixture_raises_the_epoch() -> None:
    text = serializers.serialize("json", [Consumer.objects.create(name="acme")])
    before = epoch()
    for loaded in serializers.deserialize("json", text):
        loaded.save()
    assert epoch() > before


@pytest.mark.django_db(transaction=True)
def test_the_epoch_falls_with_the_change_it_counted() -> None:
    before = epoch()
    with transaction.atomic():
        world.api_key()
        transaction.set_rollback(True)
    assert epoch() == before


def test_an_issued_key_is_stored_as_its_digest_alone() -> None:
    owner = Consumer.objects.create(name="acme")
    key, generated = ApiKey.objects.issue(owner, name="ci")
    stored = ApiKey.objects.filter(pk=key.pk).values().get()
    assert stored["digest"] == hash_api_key(generated.text)
    assert generated.text not in str(stored)


def test_a_deleted_key_can_still_be_named() -> None:
    key = world.api_key("acme", name="ci")
    key.consumer.delete()
    row = ArchivedApiKey.objects.get()
    assert (row.prefix, row.name, row.consumer_name) == (key.prefix, "ci", "acme")


def test_deleting_many_keys_archives_each() -> None:
    world.api_key("acme")
    world.api_key("globex")
    ApiKey.objects.all().delete()
    assert ArchivedApiKey.objects.count() == 2


def test_revoking_keeps_the_first_date() -> None:
    key = world.api_key()
    assert ApiKey.objects.all().revoke() == 1
    key.refresh_from_db()
    first = key.revoked_at
    assert ApiKey.objects.all().revoke() == 0
    key.refresh_from_db()
    assert key.revoked_at == first


def test_rotation_keeps_the_old_key_for_a_while() -> None:
    old = world.api_key(name="ci", roles=["reader"])
    new, _ = old.rotate(timedelta(hours=1), "alice")
    now = timezone.now()
    assert (new.rotated_from, new.name, new.roles, new.created_by) == (
        old,
        "ci",
        ["reader"],
        "alice",
    )
    assert old.is_usable(now)
    assert not old.is_usable(now + timedelta(hours=2))
    assert new.is_usable(now + timedelta(hours=2))


def test_rotation_gives_no_right_that_was_taken_away_meanwhile() -> None:
    old = world.api_key(roles=["reader", "writer"])
    ApiKey.objects.update(roles=["reader"], allowed_routes=["invoices"])
    new, _ = old.rotate(timedelta(hours=1))
    assert (new.roles, new.allowed_routes) == (["reader"], ["invoices"])


@pytest.mark.parametrize("field", ["expires_at", "revoked_at", "grace_until"])
def test_a_key_past_its_end_is_not_usable(field: str) -> None:
    key = world.api_key()
    setattr(key, field, timezone.now() - timedelta(seconds=1))
    assert not key.is_usable(timezone.now())


def test_no_key_of_a_disabled_consumer_is_usable() -> None:
    key = world.api_key()
    key.consumer.enabled = False
    assert not key.is_usable(timezone.now())
