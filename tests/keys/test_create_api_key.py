"""``manage.py create_api_key``."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.models import AuditEntry
from keys.digest import hash_api_key
from keys.models import ApiKey, Consumer

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    """Standard output and standard error of the command."""
    out, err = StringIO(), StringIO()
    call_command("create_api_key", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def create(*arguments: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run(*arguments, "--json")[0])
    return facts


def test_standard_output_is_the_key_alone() -> None:
    out, _ = run("acme")
    assert out.count("\n") == 1
    assert ApiKey.objects.get(digest=hash_api_key(out.strip())).consumer.name == "acme"


def test_the_key_is_shown_once() -> None:
    out, err = run("acme")
    assert out.strip() not in err
    assert out.strip() not in str(list(ApiKey.objects.values()))
    assert out.strip() not in str(list(AuditEntry.objects.values()))


def test_a_consumer_is_made_once_and_kept_as_it_is() -> None:
    consumer = Consumer.objects.create(name="acme", roles=["client"])
    run("acme", "--roles", "admin")
    run("acme")
    consumer.refresh_from_db()
    assert consumer.roles == ["client"]
    assert consumer.api_keys.count() == 2


def test_everything_given_is_stored_and_shown_as_json() -> None:
    places = ("--allowed-routes", "a,b", "--allowed-networks", "192.0.2.0/24, 2001:db8::/32")
    facts = create("acme", "--name", "ci", "--roles", "a, b", "--permissions", "x", *places)
    key = ApiKey.objects.get(digest=hash_api_key(facts["key"]))
    assert (key.name, key.roles, key.permissions) == ("ci", ["a", "b"], ["x"])
    del facts["key"]
    assert facts == {
        "prefix": key.prefix,
        "consumer": "acme",
        "name": "ci",
        "roles": ["a", "b"],
        "permissions": ["x"],
        "allowed_routes": ["a", "b"],
        "allowed_networks": ["192.0.2.0/24", "2001:db8::/32"],
        "expires_at": None,
    }
    assert key.allowed_routes == facts["allowed_routes"]
    assert key.allowed_networks == facts["allowed_networks"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("12h", timedelta(hours=12)),
        ("30d", timedelta(days=30)),
        ("4w", timedelta(weeks=4)),
    ],
)
def test_the_expiry_is_counted_from_now(text: str, expected: timedelta) -> None:
    before = timezone.now()
    run("acme", "--expires-in", text)
    expires_at = ApiKey.objects.get().expires_at
    assert expires_at is not None
    assert before <= expires_at - expected <= timezone.now()


@pytest.mark.parametrize(
    "arguments",
    [
        ("acme", "--expires-in", "30"),
        ("acme", "--expires-in", "0d"),
        ("acme", "--expires-in=-1d"),
        ("acme", "--expires-in", "1y"),
        ("acme", "--expires-in", ""),
        ("acme", "--expires-in", "999999999w"),
        ("acme", "--roles", "a,,b"),
        ("acme", "--roles", "a\nb"),
        ("acme", "--permissions", "x" * 101),
        ("acme", "--name", "n" * 191),
        ("acme", "--allowed-routes", ","),
        ("acme", "--allowed-networks", "192.0.2.1/24"),
        ("acme", "--allowed-networks", "everywhere"),
        ("",),
        (" acme",),
        ("a,b",),
        ("n" * 191,),
    ],
)
def test_a_bad_value_is_an_error_and_makes_nothing(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)
    assert not Consumer.objects.exists()
    assert not ApiKey.objects.exists()


def test_an_error_names_what_is_wrong() -> None:
    with pytest.raises(CommandError, match=r"--expires-in 30: .*30d"):
        run("acme", "--expires-in", "30")
    with pytest.raises(CommandError, match=r"^consumer: "):
        run("a,b")
    with pytest.raises(CommandError, match=r"^roles: "):
        run("acme", "--roles", "a,,b")


def test_a_key_for_a_disabled_consumer_comes_with_a_warning() -> None:
    Consumer.objects.create(name="acme", enabled=False)
    assert "disabled" in run("acme")[1]


def test_what_was_made_is_audited_under_the_commands_name() -> None:
    run("acme")
    entries = {entry.action: entry.actor for entry in AuditEntry.objects.all()}
    assert entries == {"consumer.created": "create_api_key", "key.created": "create_api_key"}
