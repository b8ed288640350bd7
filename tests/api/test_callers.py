"""Consumers and API keys through the API."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone

from audit.models import AuditEntry
from keys.digest import hash_api_key
from keys.models import ApiKey, Consumer
from tests.api.conftest import Send
from tests.models import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def issued(send: Send) -> Any:
    """The answer to a new key of acme."""
    send("POST", "consumers/", {"name": "acme", "roles": ["reader"]})
    answer = send("POST", "api-keys/", {"consumer": "acme", "name": "ci"})
    assert answer.status_code == HTTPStatus.CREATED
    return answer


def test_a_new_key_is_shown_in_the_answer_that_makes_it(send: Send, issued: Any) -> None:
    content = issued.json()
    row = ApiKey.objects.get()
    assert row.digest == hash_api_key(content["key"])
    assert (content["prefix"], content["created_by"]) == (row.prefix, "admin")
    assert issued.headers["Cache-Control"] == "no-store"


def test_neither_key_nor_digest_is_ever_read_again(send: Send, issued: Any) -> None:
    row = ApiKey.objects.get()
    paths = ["api-keys/", f"api-keys/{row.pk}/", "consumers/acme/", "audit-entries/"]
    for path in paths:
        text = send("GET", path).content.decode()
        assert row.digest not in text
        assert issued.json()["key"] not in text


def test_a_revoked_key_stays_revoked(send: Send, issued: Any) -> None:
    path = f"api-keys/{issued.json()['id']}/"
    first = send("POST", f"{path}revoke/").json()
    assert first["usable"] is False
    assert first["revoked_at"]
    assert send("POST", f"{path}revoke/").json()["revoked_at"] == first["revoked_at"]
    assert send("PATCH", path, {"revoked_at": None}).json()["revoked_at"] == first["revoked_at"]


def test_a_rotated_key_works_for_the_grace_it_was_given(send: Send, issued: Any) -> None:
    old = ApiKey.objects.get()
    answer = send("POST", f"api-keys/{old.pk}/rotate/", {"grace_seconds": 3600})
    assert answer.status_code == HTTPStatus.CREATED
    assert answer.json()["rotated_from"] == old.pk
    assert answer.json()["key"] != issued.json()["key"]
    old.refresh_from_db()
    now = timezone.now()
    assert old.is_usable(now + timedelta(seconds=3500))
    assert not old.is_usable(now + timedelta(seconds=3601))


@pytest.mark.parametrize("grace", [-1, 31 * 24 * 3600, "soon", None])
def test_a_grace_has_bounds(send: Send, issued: Any, grace: Any) -> None:
    answer = send("POST", f"api-keys/{issued.json()['id']}/rotate/", {"grace_seconds": grace})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert answer.json()["errors"][0]["field"] == "grace_seconds"
    assert ApiKey.objects.count() == 1


def test_a_refused_key_is_not_rotated(send: Send, issued: Any) -> None:
    path = f"api-keys/{issued.json()['id']}/"
    send("PATCH", path, {"enabled": False})
    answer = send("POST", f"{path}rotate/", {})
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.CONFLICT, "key_not_usable")
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({}, "consumer"),
        ({"consumer": "nobody"}, "consumer"),
        ({"consumer": "acme", "rolls": []}, "rolls"),
        ({"consumer": "acme", "roles": ["a,b"]}, "roles"),
        ({"consumer": "acme", "roles": "admin"}, "roles"),
        ({"consumer": "acme", "allowed_networks": ["10.0.0.1/8"]}, "allowed_networks"),
        ({"consumer": "acme", "expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"consumer": "acme", "expires_at": "tomorrow"}, "expires_at"),
        ({"consumer": "acme", "name": "x" * 191}, "name"),
        ([], ""),
    ],
    ids=str,
)
def test_a_faulty_key_is_not_issued(send: Send, issued: Any, content: Any, field: str) -> None:
    answer = send("POST", "api-keys/", content)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert ApiKey.objects.count() == 1


def test_a_key_stays_with_its_consumer(send: Send, issued: Any) -> None:
    Consumer.objects.create(name="globex")
    answer = send("PATCH", f"api-keys/{issued.json()['id']}/", {"consumer": "globex"})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert ApiKey.objects.get().consumer.name == "acme"


def test_keys_are_found_by_consumer_and_state(send: Send, issued: Any) -> None:
    other = world.api_key("globex", expires_at=timezone.now() + timedelta(days=1))
    ApiKey.objects.filter(pk=other.pk).revoke()

    def found(query: str) -> list[str]:
        return [one["consumer"] for one in send("GET", f"api-keys/?{query}").json()["results"]]

    assert found("consumer=acme") == ["acme"]
    assert found("revoked=true") == ["globex"]
    assert found("revoked=false") == ["acme"]
    soon = (timezone.now() + timedelta(days=2)).isoformat()
    assert found(f"expires_before={soon}") == ["globex"]


def test_a_consumer_is_changed_by_name(send: Send, issued: Any) -> None:
    answer = send("PATCH", "consumers/acme/", {"enabled": False})
    assert answer.json()["enabled"] is False
    assert answer.json()["roles"] == ["reader"]
    assert send("GET", f"api-keys/{issued.json()['id']}/").json()["usable"] is False


@pytest.mark.parametrize("name", ["Acme Corp", "a/b", "café", "api-keys"])
def test_a_consumer_of_any_name_is_found(send: Send, name: str) -> None:
    Consumer.objects.create(name=name)
    assert send("GET", f"consumers/{quote(name, safe='')}/").json()["name"] == name


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"name": "acme"}, "name"),
        ({"name": "a,b"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "b", "permissions": [""]}, "permissions"),
        ({"name": "b", "api_keys": []}, "api_keys"),
    ],
    ids=str,
)
def test_a_faulty_consumer_is_not_added(send: Send, issued: Any, content: Any, field: str) -> None:
    answer = send("POST", "consumers/", content)
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert {one["field"] for one in answer.json()["errors"]} == {field}
    assert Consumer.objects.count() == 1


def test_writes_are_recorded_as_the_users(send: Send, issued: Any) -> None:
    send("POST", f"api-keys/{issued.json()['id']}/revoke/", x_request_id="r-9")
    entry = AuditEntry.objects.get(request_id="r-9")
    assert (entry.actor, entry.actor_type) == ("admin", "user")
    assert "revoked_at" in entry.changes
