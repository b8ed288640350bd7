"""Whoever changes configuration rows publishes by committing, once for each transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from audit.models import AuditEntry
from audit.recorder import acting_as
from quotas.models import RateLimit
from routing import publishing
from routing.document import Document
from routing.models import Revision, RevisionHead, Route, Service, ServiceInstance

pytestmark = pytest.mark.django_db(transaction=True)


def latest() -> int:
    return RevisionHead.objects.get().number


def _save() -> None:
    route = Route.objects.get(name="public")
    route.priority = 5
    route.save()


CHANGES: dict[str, Callable[[], object]] = {
    "save": _save,
    "update": lambda: Route.objects.filter(name="public").update(priority=5),
    "bulk_create": lambda: Service.objects.bulk_create([Service(name="a"), Service(name="b")]),
    "bulk_update": lambda: Service.objects.bulk_update(
        [Service(pk=Service.objects.get().pk, balancer="random")], ["balancer"]
    ),
    "delete": lambda: Route.objects.get(name="public").delete(),
    "delete of a QuerySet": lambda: Route.objects.filter(name="public").delete(),
    "an instance": lambda: ServiceInstance.objects.get(weight=3).delete(),
    "a limit": lambda: RateLimit.objects.update(limit=7),
    "loaddata": lambda: call_command("loaddata", "demo", verbosity=0),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_from_anywhere_is_one_revision(
    published: Document, change: Callable[[], object]
) -> None:
    with transaction.atomic():
        change()
    assert latest() == 2
    assert Revision.objects.get(number=2).source == "outside"


def test_a_transaction_of_many_changes_is_one_revision(published: Document) -> None:
    with transaction.atomic():
        for priority in range(5):
            _save()
            Route.objects.filter(name="orders").update(priority=priority)
        Service.objects.create(name="new")
        assert latest() == 1
    assert latest() == 2


def test_a_transaction_of_many_changes_is_compiled_once(published: Document) -> None:
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        for name in "abc":
            Service.objects.create(name=name)
    assert sum('FROM "revision_head"' in one["sql"] for one in queries) == 1


def test_a_transaction_that_is_rolled_back_publishes_nothing(published: Document) -> None:
    with transaction.atomic():
        _save()
        transaction.set_rollback(True)
    assert latest() == 1


def test_a_savepoint_that_is_rolled_back_does_not_swallow_the_publish(published: Document) -> None:
    with transaction.atomic():
        with transaction.atomic():
            Service.objects.create(name="undone")
            transaction.set_rollback(True)
        _save()
    assert latest() == 2


def test_the_revision_names_who_made_the_change(published: Document) -> None:
    with acting_as("alice", "admin"), transaction.atomic():
        Service.objects.create(name="undone")
        transaction.set_rollback(True)
    with acting_as("bob", "api"):
        _save()
    stored = Revision.objects.get(number=2)
    assert (stored.created_by, stored.source) == ("bob", "api")


def test_changes_wait_for_the_command_when_publishing_is_manual(
    published: Document, settings: Settings
) -> None:
    settings.GATEWAY = replace(settings.GATEWAY, publish="manual")
    _save()
    assert latest() == 1
    call_command("publish")
    assert latest() == 2


def test_suspended_changes_are_left_to_the_caller(published: Document) -> None:
    with publishing.suspended():
        _save()
    assert latest() == 1


@pytest.fixture
def broken_publish(published: Document, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The database refuses revisions until the patch is undone."""

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(Revision, "save", refuse)
    return monkeypatch


def test_a_failed_publish_is_logged_and_audited_but_the_change_is_saved(
    broken_publish: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        _save()
    assert Route.objects.get(name="public").priority == 5
    assert "could not be published" in caplog.text
    assert AuditEntry.objects.filter(action="revision.publish", outcome="failed").count() == 1
    broken_publish.undo()
    publishing.heal()


def test_a_failed_publish_is_made_up_for(broken_publish: pytest.MonkeyPatch) -> None:
    _save()
    broken_publish.undo()
    publishing.heal()
    assert latest() == 2


def test_healing_without_need_does_nothing(published: Document) -> None:
    publishing.heal()
    assert latest() == 1
