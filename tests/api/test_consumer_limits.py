"""Limits of consumers over the API."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest

from keys.models import Consumer, KeyEpoch
from quotas.models import RateLimit
from routing.models import Revision
from tests.api.conftest import Send
from tests.models import world

pytestmark = pytest.mark.django_db

LIMITS = "consumer-limits/"


@pytest.fixture
def acme() -> Consumer:
    return Consumer.objects.create(name="acme")


def add(send: Send, **fields: Any) -> Any:
    return send("POST", LIMITS, {"consumer": "acme", "limit": 100, **fields})


def test_a_limit_is_added_with_the_defaults_of_a_file(send: Send, acme: Consumer) -> None:
    answer = add(send)
    assert answer.status_code == HTTPStatus.CREATED
    content = answer.json()
    assert content.pop("id") == RateLimit.objects.get(consumer=acme).pk
    assert content == {
        "consumer": "acme", "limit": 100, "per": "minute", "burst": None, "by": "caller",
        "cost": 1, "mode": "enforce", "on_store_failure": "open", "override": False,
    }  # fmt: skip


def test_a_change_reaches_the_workers_and_makes_no_revision(send: Send, acme: Consumer) -> None:
    number = add(send, override=True).json()["id"]
    epoch, revisions = KeyEpoch.objects.get().number, Revision.objects.count()
    answer = send("PATCH", f"{LIMITS}{number}/", {"limit": 5, "mode": "shadow"})
    assert (answer.json()["limit"], answer.json()["override"]) == (5, True)
    assert KeyEpoch.objects.get().number > epoch
    assert Revision.objects.count() == revisions


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("limit", 0), ("limit", 2**31), ("limit", 2**70), ("burst", 0), ("cost", 101),
        ("by", "moon"), ("per", "week"), ("mode", "off"), ("on_store_failure", "maybe"),
        ("consumer", "globex"), ("colour", "red"),
    ],
)  # fmt: skip
def test_what_does_not_compile_is_refused_by_field(
    send: Send, acme: Consumer, field: str, value: Any
) -> None:
    answer = add(send, **{field: value})
    assert answer.status_code == HTTPStatus.BAD_REQUEST
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not RateLimit.objects.exists()


def test_a_limit_stays_with_its_consumer(send: Send, acme: Consumer) -> None:
    Consumer.objects.create(name="globex")
    number = add(send).json()["id"]
    answer = send("PATCH", f"{LIMITS}{number}/", {"consumer": "globex"})
    assert answer.status_code == HTTPStatus.BAD_REQUEST


def test_limits_of_routes_are_not_among_them(send: Send, acme: Consumer) -> None:
    other = RateLimit.objects.create(route=world.route(), limit=3)
    add(send)
    assert [one["limit"] for one in send("GET", LIMITS).json()["results"]] == [100]
    assert send("DELETE", f"{LIMITS}{other.pk}/").status_code == HTTPStatus.NOT_FOUND


def test_limits_are_found_by_consumer(send: Send, acme: Consumer) -> None:
    add(send)
    counts = [
        send("GET", f"{LIMITS}?consumer={name}").json()["count"] for name in ("acme", "globex")
    ]
    assert counts == [1, 0]
