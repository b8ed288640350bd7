"""Small configuration rows, saved with what a test names and defaults for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from keys.models import ApiKey, Consumer
from proxying.models import BreakerState
from quotas.models import Plan, RateLimit, RateLimitRecord
from routing.models import Route, Service


def service(name: str = "billing", *urls: str, **fields: Any) -> Service:
    """A saved service with an instance for each of *urls*."""
    row = Service.objects.create(name=name, **fields)
    for url in urls:
        row.instances.create(url=url)
    return row


def route(name: str = "invoices", **fields: Any) -> Route:
    """A saved route of ``/invoices``, to a service of its own unless one is given."""
    fields.setdefault("path", "/invoices")
    if "service" not in fields:
        fields["service"] = service(f"{name}-service")
    return Route.objects.create(name=name, **fields)


def api_key(consumer: str = "acme", **fields: Any) -> ApiKey:
    """A saved key of the consumer of that name."""
    owner, _ = Consumer.objects.get_or_create(name=consumer)
    return ApiKey.objects.issue(owner, **fields)[0]


def a_row_of_most() -> ApiKey:
    """Of what both the admin and the API show; the key of the consumer acme."""
    now = timezone.now()
    RateLimit.objects.create(
        route=route("invoices", service=service("billing", "http://10.0.0.1")), limit=10
    )
    window = {"identifier": "acme", "window_type": "minute", "route": "invoices", "node": "n"}
    RateLimitRecord.objects.create(**window, window_start=now, first_at=now, last_at=now)
    Plan.objects.create(name="bronze", daily=1000)
    BreakerState.objects.create(
        service="billing", instance="http://10.0.0.1", node="n", changed_at=now, reported_at=now
    )
    return api_key("acme", name="ci")


@contextmanager
def kept(blocker: DjangoDbBlocker) -> Iterator[None]:
    """Rows made in this block are there until it ends: for a fixture that many tests share.

    Each test still works in a transaction of its own, inside the one that is opened here.
    """
    with blocker.unblock(), transaction.atomic():
        try:
            yield
        finally:
            transaction.set_rollback(True)
