"""What a row refuses about itself, and under which field."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from keys.models import ApiKey, Consumer
from quotas.models import RateLimit
from routing.models import Route, Service, ServiceInstance
from tests.models import world

pytestmark = pytest.mark.django_db


def faults_of(row: models.Model) -> dict[str, list[str]]:
    try:
        row.full_clean()
    except ValidationError as error:
        return error.message_dict
    return {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "two words"),
        ("balancer", "fastest"),
        ("connect_timeout", 0),
        ("first_byte_timeout", 0),
        ("read_timeout", 90_000),
        ("total_timeout", float("nan")),
        ("retry_attempts", 11),
        ("retry_on", ["418"]),
        ("retry_on", "502"),
        ("retry_methods", ["get"]),
        ("retry_methods", [7]),
        ("retry_budget", 1.5),
        ("breaker_failure_ratio", 0),
        ("breaker_half_open_requests", 0),
    ],
)
def test_a_service_names_the_field_it_refuses(field: str, value: Any) -> None:
    row = Service(**{"name": "billing", field: value})
    assert list(faults_of(row)) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "two words"),
        ("path", "invoices"),
        ("path", "/admin/users"),
        ("path", "/a/{x}/{x}"),
        ("hosts", ["http://a"]),
        ("hosts", "a.example.com"),
        ("methods", ["FETCH ME"]),
        ("methods", ["TRACE"]),
        ("strip_prefix", "api"),
        ("rewrite", "/v2/{missing}"),
        ("auth_methods", ["password"]),
        ("timeout", -1),
        ("max_body_bytes", 2**54),
    ],
)
def test_a_route_names_the_field_it_refuses(field: str, value: Any) -> None:
    fields = {"name": "invoices", "path": "/invoices", "service": world.service(), field: value}
    assert list(faults_of(Route(**fields))) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "10.0.0.1"),
        ("url", "http://169.254.169.254"),
        ("url", "http://a/path"),
        ("weight", 1001),
    ],
)
def test_an_instance_names_the_field_it_refuses(field: str, value: Any) -> None:
    row = ServiceInstance(**{"service": world.service(), "url": "http://10.0.0.1", field: value})
    assert list(faults_of(row)) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [("limit", 0), ("burst", 0), ("per", "week"), ("by", "moon"), ("by", "header:"), ("mode", "x")],
)
def test_a_rate_limit_names_the_field_it_refuses(field: str, value: Any) -> None:
    row = RateLimit(**{"route": world.route(), "limit": 10, field: value})
    assert list(faults_of(row)) == [field]


def test_every_wrong_field_is_named_at_once() -> None:
    row = Service(name="billing", connect_timeout=0, retry_attempts=0, breaker_window=0)
    assert set(faults_of(row)) == {"connect_timeout", "retry_attempts", "breaker_window"}


def test_a_switched_off_block_keeps_to_its_ranges() -> None:
    row = Service(name="billing", breaker_enabled=False, breaker_window=0)
    assert list(faults_of(row)) == ["breaker_window"]


def test_what_a_switched_off_block_holds_is_not_compiled() -> None:
    row = Service(name="billing", health_check_enabled=False, health_check_path="no path")
    assert faults_of(row) == {}


def test_two_spellings_of_one_address_are_one_address() -> None:
    backend = world.service("billing", "http://app.internal")
    row = ServiceInstance(service=backend, url="http://APP.internal:80/")
    assert faults_of(row)
    assert row.url == "http://app.internal"


@pytest.mark.parametrize(
    "items",
    [["a,b"], ["a\nb"], ["a\x00"], ["x" * 101], [""], ["r"] * 101, "admin", [1], {"a": 1}],
    ids=lambda items: repr(items)[:20],
)
@pytest.mark.parametrize("field", ["roles", "permissions"])
def test_roles_and_permissions_must_fit_one_header(field: str, items: Any) -> None:
    assert list(faults_of(Consumer(name="acme", **{field: items}))) == [field]


def test_a_role_may_have_spaces_and_colons() -> None:
    assert faults_of(Consumer(name="acme", roles=["team lead", "orders:read"])) == {}


@pytest.mark.parametrize("name", ["a,b", "a\r\nb", ""])
def test_a_consumer_name_must_fit_a_header(name: str) -> None:
    assert list(faults_of(Consumer(name=name))) == ["name"]


@pytest.mark.parametrize("network", ["10.0.0.1/8", "ten", "", "300.0.0.0/8"])
def test_networks_of_a_key_are_cidr_without_host_bits(network: str) -> None:
    key = world.api_key()
    key.allowed_networks = [network]
    assert list(faults_of(key)) == ["allowed_networks"]


def test_a_new_key_cannot_be_expired_already() -> None:
    owner = Consumer.objects.create(name="acme")
    past = timezone.now() - timedelta(minutes=1)
    key = ApiKey(consumer=owner, prefix="gw_a", digest="0" * 64, expires_at=past)
    assert list(faults_of(key)) == ["expires_at"]
