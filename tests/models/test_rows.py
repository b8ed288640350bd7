"""Rows as specs, specs laid onto rows, and the signals of bulk writes."""

from __future__ import annotations

from typing import Any

import pytest

from quotas.models import RateLimit
from routing import rows
from routing.document import (
    AuthSpec,
    BreakerSpec,
    HealthCheckSpec,
    InstanceSpec,
    LimitSpec,
    RetrySpec,
    RouteSpec,
    ServiceSpec,
    TimeoutSpec,
)
from routing.errors import ConfigurationError
from routing.models import Route, Service, ServiceInstance
from tests.models import world

pytestmark = pytest.mark.django_db

FULL_SERVICE = ServiceSpec(
    balancer="weighted",
    timeout=TimeoutSpec(connect=1.5, read=3.0, total=9.0),
    retry=RetrySpec(
        attempts=5, backoff=0.1, max_backoff=2.0, on=("timeout",), methods=("GET",), budget=0.5
    ),
    breaker=BreakerSpec(
        failure_threshold=7,
        failure_ratio=0.9,
        min_requests=3,
        window=4.0,
        recovery=6.0,
        half_open_requests=2,
    ),
    health_check=HealthCheckSpec(
        path="/up", interval=2.0, timeout=0.5, unhealthy_after=4, healthy_after=5
    ),
)
FULL_ROUTE = RouteSpec(
    name="invoices",
    path="/invoices/{id}",
    service="billing",
    hosts=("api.example.com",),
    methods=("GET",),
    rewrite="/v2/{id}",
    auth_required=True,
    auth=AuthSpec(methods=("jwt",)),
    timeout=4.0,
    priority=7,
    enabled=False,
    max_body_bytes=1024,
    merge_slashes=False,
    preserve_host=True,
    forward_authorization=True,
)


def test_a_new_row_is_the_documents_default() -> None:
    assert Service(name="billing").to_spec() == ServiceSpec()


def test_a_service_spec_survives_its_row() -> None:
    row = Service(name="billing")
    row.fill(FULL_SERVICE)
    row.save()
    assert Service.objects.get().to_spec() == FULL_SERVICE


def test_a_service_without_breaker_survives_its_row() -> None:
    row = world.service()
    row.fill(ServiceSpec(breaker=None))
    assert row.to_spec().breaker is None


def test_switching_a_breaker_off_keeps_how_it_was_set() -> None:
    row = world.service(breaker_window=77.0)
    changes = row.fill(ServiceSpec(breaker=None))
    assert changes == [("breaker_enabled", True, False)]
    assert row.breaker_window == 77.0


def test_a_route_spec_survives_its_row() -> None:
    row = Route()
    row.fill(FULL_ROUTE, world.service("billing"))
    row.save()
    assert Route.objects.get().to_spec() == FULL_ROUTE


def test_a_route_carries_the_limits_it_is_given() -> None:
    route = world.route()
    limit = RateLimit(route=route, limit=5, per="hour", by="ip")
    spec = route.to_spec([limit.to_spec()])
    assert spec.rate_limit == (LimitSpec(limit=5, per="hour", by="ip"),)


def test_filling_tells_each_changed_field_once() -> None:
    row = world.route(priority=1)
    spec = RouteSpec(name="invoices", path="/bills", service="other", priority=1)
    changes = row.fill(spec, world.service("other"))
    assert changes == [
        ("path", "/invoices", "/bills"),
        ("service", "invoices-service", "other"),
    ]
    assert row.fill(spec, row.service) == []


def test_instances_are_in_the_order_of_their_urls() -> None:
    row = world.service("billing", "http://b", "http://a")
    assert row.to_spec().instances == (InstanceSpec(url="http://a"), InstanceSpec(url="http://b"))


def test_every_field_of_the_document_has_a_row_field() -> None:
    for shape, elsewhere in (
        (rows.SERVICE, {"instances"}),
        (rows.ROUTE, {"service", "rate_limit"}),
        (rows.LIMIT, set()),
        (rows.INSTANCE, set()),
    ):
        tops = {path.partition(".")[0] for path in shape.paths.values()}
        assert tops | elsewhere == set(shape.spec.__struct_fields__)


def test_a_row_written_past_its_form_names_every_fault() -> None:
    row = world.service(retry_on=["x"], retry_methods="GET")
    with pytest.raises(ConfigurationError) as caught:
        row.to_spec()
    assert [(fault.where, fault.field) for fault in caught.value.faults] == [
        ("services.billing", "retry.on"),
        ("services.billing", "retry.methods"),
    ]


def test_an_update_is_announced_once(announced: list[Any]) -> None:
    world.route("a")
    world.route("b")
    Route.objects.update(enabled=False)
    assert announced == [Route]


def test_bulk_writes_are_announced(announced: list[Any]) -> None:
    backend = world.service()
    Route.objects.bulk_create([Route(name="a", path="/a", service=backend)])
    row = Route.objects.get()
    row.path = "/b"
    Route.objects.bulk_update([row], ["path"])
    Route.objects.all().delete()
    assert announced == [Route, Route, Route]


def test_a_related_manager_announces_too(announced: list[Any]) -> None:
    world.service("billing", "http://a").instances.update(healthy=False)
    assert announced == [ServiceInstance]


def test_an_update_of_nothing_is_not_announced(announced: list[Any]) -> None:
    Route.objects.update(enabled=False)
    Route.objects.bulk_create([])
    assert announced == []
