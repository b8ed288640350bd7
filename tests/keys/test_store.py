"""API keys as read from and written to the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.utils import timezone

from keys.credentials import CredentialKind
from keys.digest import hash_api_key
from keys.errors import ApiKeyRefused, InvalidApiKey
from keys.models import ApiKey, Consumer
from keys.store import fetch_records, read_epoch, read_marks, write_last_used
from runtime.networks import parse_networks

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def acme() -> Consumer:
    return Consumer.objects.create(name="acme", roles=["client"], permissions=["read"])


def only(key: ApiKey) -> Any:
    return fetch_records([key.digest])[key.digest]


def is_good(key: ApiKey) -> bool:
    try:
        only(key).check("192.0.2.7", "projects", timezone.now().timestamp())
    except ApiKeyRefused:
        return False
    return True


def test_a_key_is_found_by_the_digest_of_its_text(acme: Consumer) -> None:
    key, generated = ApiKey.objects.issue(acme)
    digest = hash_api_key(generated.text)
    assert fetch_records([digest, "0" * 64]).keys() == {digest}
    assert only(key).key_id == key.pk


def test_the_caller_is_the_consumer_with_its_rights(acme: Consumer) -> None:
    key, _ = ApiKey.objects.issue(acme)
    caller = only(key).caller
    assert caller.kind is CredentialKind.API_KEY
    assert (caller.user_id, caller.identity) == ("acme", "consumer:acme")
    assert (caller.roles, caller.permissions) == (("client",), ("read",))
    assert (caller.key_id, caller.key_prefix) == (key.pk, key.prefix)
    assert caller.allowed_routes is caller.allowed_networks is None


def test_rights_of_a_key_replace_those_of_its_consumer(acme: Consumer) -> None:
    key, _ = ApiKey.objects.issue(acme, roles=["admin"], permissions=["write"])
    assert only(key).caller.roles == ("admin",)
    assert only(key).caller.permissions == ("write",)


def test_restrictions_of_place_are_read(acme: Consumer) -> None:
    key, _ = ApiKey.objects.issue(
        acme, allowed_routes=["projects"], allowed_networks=["192.0.2.0/24"]
    )
    assert only(key).caller.allowed_routes == {"projects"}
    assert only(key).caller.allowed_networks == parse_networks(["192.0.2.0/24"])


def test_a_new_key_is_good(acme: Consumer) -> None:
    key, _ = ApiKey.objects.issue(acme, expires_at=timezone.now() + timedelta(hours=1))
    assert is_good(key)


@pytest.mark.parametrize(
    "end",
    [
        lambda key: ApiKey.objects.filter(pk=key.pk).revoke(),
        lambda key: ApiKey.objects.filter(pk=key.pk).update(enabled=False),
        lambda key: Consumer.objects.update(enabled=False),
        lambda key: ApiKey.objects.update(expires_at=NOW - timedelta(days=9_000)),
        lambda key: key.rotate(timedelta(seconds=-1)),
    ],
    ids=["revoked", "disabled", "consumer disabled", "expired", "rotated away"],
)
def test_every_way_to_end_a_key_ends_it_and_raises_the_epoch(
    acme: Consumer, end: Callable[[ApiKey], object]
) -> None:
    key, _ = ApiKey.objects.issue(acme)
    epoch = read_epoch()
    end(key)
    assert not is_good(key)
    assert read_epoch() > epoch


def test_a_rotated_key_works_within_its_grace_time_and_so_does_its_successor(
    acme: Consumer,
) -> None:
    key, _ = ApiKey.objects.issue(acme)
    successor, _ = key.rotate(timedelta(hours=1))
    assert is_good(key)
    assert is_good(successor)


@pytest.mark.parametrize(
    "fields",
    [
        {"roles": ["admin\r\nX-User-Id: 1"]},
        {"roles": ["a,b"]},
        {"permissions": "text"},
        {"allowed_routes": {"projects": True}},
        {"allowed_networks": ["ten"]},
        {"allowed_networks": [1]},
    ],
)
def test_a_row_edited_past_validation_is_good_nowhere(
    acme: Consumer, fields: dict[str, Any]
) -> None:
    key, _ = ApiKey.objects.issue(acme, **fields)
    with pytest.raises(InvalidApiKey):
        only(key).check("192.0.2.7", "projects", 0)


def test_a_consumer_whose_name_cannot_be_a_header_is_good_nowhere() -> None:
    key, _ = ApiKey.objects.issue(Consumer.objects.create(name=" acme"))
    assert not is_good(key)


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"revoked_at": NOW},
        {"expires_at": NOW},
        {"grace_until": NOW},
        {"prefix": "gw_other"},
        {"roles": ["admin"]},
        {"permissions": ["write"]},
        {"allowed_routes": ["projects"]},
        {"allowed_networks": ["192.0.2.0/24"]},
        {"consumer__enabled": False},
        {"consumer__name": "other"},
        {"consumer__roles": ["admin"]},
        {"consumer__permissions": ["write"]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_mark_changes_with_what_is_stored_even_past_the_models(
    acme: Consumer, change: dict[str, object]
) -> None:
    key, _ = ApiKey.objects.issue(acme)
    mark = only(key).mark
    for name, value in change.items():
        row, field = (acme, name.removeprefix("consumer__")) if "__" in name else (key, name)
        QuerySet(type(row)).filter(pk=row.pk).update(**{field: value})
    assert read_marks([key.digest]) != {key.digest: mark}
    assert only(key).mark != mark


def test_a_mark_stays_when_nothing_a_record_is_made_of_changes(acme: Consumer) -> None:
    key, _ = ApiKey.objects.issue(acme)
    mark = only(key).mark
    write_last_used({key.pk: NOW.timestamp()})
    assert read_marks([key.digest, "0" * 64]) == {key.digest: mark}


def test_fetching_takes_four_queries(acme: Consumer, django_assert_num_queries: Any) -> None:
    digests = [ApiKey.objects.issue(acme)[0].digest for _ in range(5)]
    # Which are stored, the keys, the limits of their consumers, the plans of these.
    with django_assert_num_queries(4):
        assert len(fetch_records(digests)) == 5


def test_unknown_keys_take_one_query(db: None, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert fetch_records([hash_api_key(str(number)) for number in range(500)]) == {}


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 500])
def test_known_keys_are_found_among_any_number_of_others(acme: Consumer, number: int) -> None:
    key = ApiKey.objects.issue(acme)[0]
    others = [hash_api_key(str(other)) for other in range(number)]
    assert list(fetch_records([*others, key.digest])) == [key.digest]
    assert list(fetch_records([key.digest, *others])) == [key.digest]
    assert fetch_records([]) == {}


def test_the_epoch_is_zero_before_the_first_change() -> None:
    assert read_epoch() == 0


def test_last_uses_are_written_together_without_raising_the_epoch(acme: Consumer) -> None:
    first, second = (ApiKey.objects.issue(acme)[0] for _ in range(2))
    epoch = read_epoch()
    write_last_used({first.pk: NOW.timestamp(), second.pk: NOW.timestamp() + 1})
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.last_used_at, second.last_used_at) == (NOW, NOW + timedelta(seconds=1))
    assert read_epoch() == epoch


def test_a_last_use_never_goes_back_in_time(acme: Consumer) -> None:
    key, _ = ApiKey.objects.issue(acme, last_used_at=NOW)
    write_last_used({key.pk: NOW.timestamp() - 60, key.pk + 1: NOW.timestamp()})
    key.refresh_from_db()
    assert key.last_used_at == NOW


def test_a_later_use_replaces_an_earlier_one(acme: Consumer) -> None:
    key, _ = ApiKey.objects.issue(acme, last_used_at=NOW)
    write_last_used({key.pk: NOW.timestamp() + 60})
    key.refresh_from_db()
    assert key.last_used_at == NOW + timedelta(seconds=60)


def test_five_hundred_last_uses_fit_into_one_write(acme: Consumer) -> None:
    key, _ = ApiKey.objects.issue(acme)
    write_last_used({key.pk + number: NOW.timestamp() for number in range(500)})
    key.refresh_from_db()
    assert key.last_used_at == NOW


def test_writing_no_last_use_touches_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        write_last_used({})
