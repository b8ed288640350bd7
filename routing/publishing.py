"""Every change of configuration rows leads to one publish after commit.

The one place that connects the models to publishing: whoever changes a row (the admin, the REST
API, a shell, ``loaddata``) publishes by committing, and one transaction publishes once. Leans on
Django's signals and on :func:`routing.revision.publish`.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

from django.conf import settings
from django.db import Error, models, transaction
from django.db.models.signals import post_delete, post_save

from audit.recorder import Acting, acting, acting_as, record
from routing import revision
from routing.models import Route, Service, ServiceInstance
from routing.reading import database
from routing.signals import configuration_changed
from routing.suspension import is_suspended, suspended

__all__ = ["connect", "heal", "suspended", "watch"]

logger = logging.getLogger(__name__)

_unpublished = threading.Event()


class _Ticket:
    """One publish to come. Every change registers it anew, for a savepoint that is rolled back
    takes its registrations along; the first one that runs uses it up."""

    def __init__(self, by: Acting) -> None:
        self.by = by
        self.used = False


class _Tickets(threading.local):
    """The ticket of this thread's connection."""

    ticket: _Ticket | None = None


_tickets = _Tickets()


def connect() -> None:
    """Watch the models of this app; called once, when it is ready."""
    for model in (Service, ServiceInstance, Route):
        watch(model)


def watch(model: type[models.Model]) -> None:
    """Publish after every committed change of *model*'s rows."""
    uid = f"publishing.{model._meta.label}"
    for signal in (post_save, post_delete, configuration_changed):
        signal.connect(_changed, sender=model, dispatch_uid=uid)


def heal() -> None:
    """Publish what could not be published before, if this process has such a thing."""
    if _unpublished.is_set():
        _publish(_Ticket(acting()))


def _changed(**_: Any) -> None:
    if is_suspended() or settings.GATEWAY.publish == "manual":
        return
    ticket = _tickets.ticket
    if ticket is None or ticket.used:
        ticket = _tickets.ticket = _Ticket(acting())
    ticket.by = acting()
    transaction.on_commit(partial(_publish, ticket), using=database())


def _publish(ticket: _Ticket) -> None:
    """Publish once; a failure is the operator's matter, not that of the request that saved."""
    if ticket.used:
        return
    ticket.used = True
    try:
        revision.publish(ticket.by.source, ticket.by.actor)
        _unpublished.clear()
    except Exception:
        _unpublished.set()
        logger.exception("a change is saved but could not be published; it will be tried again")
        _record_failure(ticket.by)


def _record_failure(by: Acting) -> None:
    try:
        with acting_as(by.actor, by.source, by.request_id, by.client_ip):
            record("revision.publish", object_type="revision", outcome="failed")
    except Error:
        logger.exception("the failure could not be recorded either")
