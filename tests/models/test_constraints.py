"""What the database itself refuses, whoever writes: a form, a shell or a fixture."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import IntegrityError
from django.db.models import ProtectedError

from proxying.models import BreakerState
from quotas.models import RateLimit, RateLimitRecord
from routing.models import Revision, RevisionHead, Route, Service, ServiceInstance
from tests.models import world

pytestmark = pytest.mark.django_db
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "fields",
    [
        {"balancer": "fastest"},
        {"connect_timeout": 0},
        {"first_byte_timeout": 0},
        {"read_timeout": -1},
        {"total_timeout": 0},
        {"retry_attempts": 0},
        {"retry_attempts": 11},
        {"retry_budget": 1.1},
        {"retry_backoff": -0.1},
        {"breaker_failure_ratio": 0},
        {"breaker_failure_ratio": 1.01},
        {"breaker_failure_threshold": 0},
        {"breaker_window": 0},
        {"health_check_interval": 0},
        {"health_check_unhealthy_after": 0},
    ],
    ids=str,
)
def test_a_service_outside_its_ranges_is_not_stored(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        Service.objects.create(name="billing", **fields)


def test_service_names_are_unique() -> None:
    world.service("billing")
    with pytest.raises(IntegrityError):
        Service.objects.create(name="billing")


def test_an_address_stands_once_in_a_service_but_may_stand_in_two() -> None:
    first = world.service("billing", "http://10.0.0.1:80")
    world.service("orders", "http://10.0.0.1:80")
    with pytest.raises(IntegrityError):
        ServiceInstance.objects.create(service=first, url="http://10.0.0.1:80")


def test_a_weight_above_1000_is_not_stored() -> None:
    with pytest.raises(IntegrityError):
        world.service().instances.create(url="http://10.0.0.1", weight=1001)


@pytest.mark.parametrize("fields", [{"timeout": 0}, {"max_body_bytes": 2**53 + 1}], ids=str)
def test_a_route_outside_its_ranges_is_not_stored(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        world.route(**fields)


def test_route_names_are_unique() -> None:
    first = world.route("invoices")
    with pytest.raises(IntegrityError):
        Route.objects.create(name="invoices", path="/other", service=first.service)


def test_a_service_that_routes_use_is_not_deleted() -> None:
    row = world.route()
    with pytest.raises(ProtectedError):
        row.service.delete()


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": 0},
        {"burst": 0},
        {"per": "week"},
        {"mode": "maybe"},
        {"on_store_failure": "ajar"},
    ],
    ids=str,
)
def test_a_rate_limit_outside_its_ranges_is_not_stored(fields: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        RateLimit.objects.create(route=world.route(), **{"limit": 10, **fields})


def test_there_is_one_head_and_one_revision_of_a_number() -> None:
    RevisionHead.objects.create(number=1)
    Revision.objects.create(number=1, sha256="0" * 64, document="{}")
    with pytest.raises(IntegrityError):
        Revision.objects.create(number=1, sha256="1" * 64, document="{}")


def test_a_second_head_is_not_stored() -> None:
    with pytest.raises(IntegrityError):
        RevisionHead.objects.create(pk=2, number=1)


def test_a_window_is_recorded_once_for_each_caller_route_and_node() -> None:
    window = {"identifier": "acme", "window_type": "minute", "window_start": NOON, "route": "r"}
    times = {"first_at": NOON, "last_at": NOON}
    RateLimitRecord.objects.create(**window, **times, node="a")
    RateLimitRecord.objects.create(**window, **times, node="b")
    with pytest.raises(IntegrityError):
        RateLimitRecord.objects.create(**window, **times, node="a")


def test_a_breaker_is_reported_once_for_each_instance_and_node() -> None:
    breaker = {"service": "s", "instance": "http://i", "changed_at": NOON, "reported_at": NOON}
    BreakerState.objects.create(**breaker, node="a")
    with pytest.raises(IntegrityError):
        BreakerState.objects.create(**breaker, node="a")
