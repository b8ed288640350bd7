"""Small configuration rows, saved with what a test names and defaults for the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from pytest_django import DjangoDbBlocker

from keys.models import ApiKey, Consumer
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
