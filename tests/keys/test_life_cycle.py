"""The life of a key from the command line, and what may be saved about one."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from audit.models import AuditEntry
from keys import models
from keys.digest import hash_api_key
from keys.durations import parse_duration
from keys.models import ApiKey, ArchivedApiKey, Consumer
from keys.store import fetch_records
from tests.models import world

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    """Standard output of a command."""
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


@pytest.mark.parametrize("name", ["prefix", "pk"])
def test_a_key_is_rotated_by_its_prefix_or_number(name: str) -> None:
    old = world.api_key("acme", name="ci", roles=["reader"], allowed_routes=["projects"])
    text = run("rotate_api_key", str(getattr(old, name))).strip()
    new = ApiKey.objects.get(rotated_from=old)
    assert new.digest == hash_api_key(text)
    assert (new.name, new.roles, new.allowed_routes) == ("ci", ["reader"], ["projects"])
    old.refresh_from_db()
    assert old.grace_until is not None
    assert abs(old.grace_until - timezone.now() - timedelta(hours=24)) < timedelta(minutes=1)


def test_rotating_as_json_says_everything_once() -> None:
    old = world.api_key("acme", name="ci")
    facts = json.loads(run("rotate_api_key", old.prefix, "--grace", "2h", "--json"))
    new = ApiKey.objects.get(rotated_from=old)
    assert hash_api_key(facts.pop("key")) == new.digest
    assert datetime.fromisoformat(facts.pop("grace_until")) > timezone.now()
    assert facts == {
        "prefix": new.prefix,
        "consumer": "acme",
        "name": "ci",
        "replaces": old.prefix,
    }


def test_without_grace_the_old_key_ends_at_once() -> None:
    old = world.api_key()
    run("rotate_api_key", old.prefix, "--grace", "0s")
    old.refresh_from_db()
    assert not old.is_usable(timezone.now())


def test_rotating_again_does_not_lengthen_the_grace() -> None:
    old = world.api_key()
    run("rotate_api_key", old.prefix, "--grace", "1h")
    old.refresh_from_db()
    ends = old.grace_until
    run("rotate_api_key", old.prefix, "--grace", "4w")
    old.refresh_from_db()
    assert old.grace_until == ends


@pytest.mark.parametrize(
    "fields",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now()},
        {"grace_until": timezone.now()},
        {"enabled": False},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_a_refused_key_is_not_rotated_back_to_life(fields: dict[str, Any]) -> None:
    old = world.api_key(**fields)
    with pytest.raises(CommandError, match="refused already"):
        run("rotate_api_key", old.prefix)
    assert ApiKey.objects.count() == 1


def test_a_revoked_key_is_refused_for_good() -> None:
    key = world.api_key()
    assert "is revoked" in run("revoke_api_key", key.prefix)
    assert "was revoked before" in run("revoke_api_key", str(key.pk))
    assert not fetch_records([key.digest])[key.digest].active


@pytest.mark.parametrize("command", ["rotate_api_key", "revoke_api_key"])
def test_an_unknown_key_is_an_error_that_does_not_repeat_a_whole_one(command: str) -> None:
    text = "gw_" + "x" * 43
    with pytest.raises(CommandError, match="no API key") as caught:
        run(command, text)
    assert text not in str(caught.value)


@pytest.mark.parametrize("command", ["rotate_api_key", "revoke_api_key"])
def test_what_a_command_does_is_audited_under_its_name(command: str) -> None:
    key = world.api_key()
    run(command, key.prefix)
    verb = {"rotate_api_key": "key.rotated", "revoke_api_key": "key.revoked"}[command]
    entry = AuditEntry.objects.get(action=verb)
    assert (entry.actor, entry.actor_type, entry.object_id) == (command, "command", str(key.pk))


def test_a_deleted_key_is_archived_and_still_named_by_the_log() -> None:
    key = world.api_key("acme", name="ci")
    key.delete()
    archived = ArchivedApiKey.objects.get()
    assert (archived.prefix, archived.consumer_name) == (key.prefix, "acme")
    assert key.prefix in AuditEntry.objects.get(action="key.deleted").object_name


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5h", "1 d", "1y", "٣d"])
def test_what_is_no_duration_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="30d"):
        parse_duration(text)


@pytest.mark.parametrize("name", [" acme", "acme ", "a,b", "a\u2028b", "a\nb", "a\xa0"])
def test_a_name_that_cannot_be_a_header_is_not_saved(name: str) -> None:
    with pytest.raises(ValidationError, match="name"):
        Consumer(name=name).full_clean()


@pytest.mark.parametrize("item", ["a,b", " a", "a ", "a\x7f", "\u200e"])
def test_a_role_that_cannot_be_in_a_header_is_not_saved(item: str) -> None:
    with pytest.raises(ValidationError, match="roles"):
        Consumer(name="acme", roles=[item]).full_clean()


@pytest.mark.parametrize("network", ["fe80::1%eth0", "10.0.0.1/8", "ten", "10.0.0.0/33", ""])
def test_a_network_that_cannot_be_used_is_not_saved(network: str) -> None:
    key = ApiKey(consumer=Consumer(name="acme"), allowed_networks=[network])
    with pytest.raises(ValidationError, match="allowed_networks"):
        key.full_clean(exclude=["consumer", "prefix", "digest"])


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    topics: list[str] = []
    monkeypatch.setattr(models, "announce", topics.append)
    return topics


@pytest.mark.django_db(transaction=True)
def test_changes_are_announced_once_and_after_they_are_committed(announced: list[str]) -> None:
    with transaction.atomic():
        for _ in range(3):
            world.api_key()
        ApiKey.objects.all().revoke()
        assert announced == []
    assert announced == [models.TOPIC]
    ApiKey.objects.update(enabled=False)
    assert announced == [models.TOPIC] * 2


@pytest.mark.django_db(transaction=True)
def test_a_change_within_a_savepoint_is_announced_though_the_first_was_undone(
    announced: list[str],
) -> None:
    with transaction.atomic():
        with transaction.atomic():
            world.api_key()
            transaction.set_rollback(True)
        world.api_key()
    assert announced == [models.TOPIC]


@pytest.mark.django_db(transaction=True)
def test_what_is_undone_is_not_announced(announced: list[str]) -> None:
    with transaction.atomic():
        world.api_key()
        transaction.set_rollback(True)
    assert announced == []
