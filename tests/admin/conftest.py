"""People of different rights at the admin's door, and one row of everything behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoDbBlocker

from audit.models import AuditEntry
from keys.models import ArchivedApiKey
from proxying.models import BreakerOverride, InstanceHealth
from quotas.models import RateLimitRollup
from routing.models import Revision, RevisionHead
from tests.models import world
from tests.support.clients import signed_in


@pytest.fixture(scope="module")
def everything(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A row of every model the admin shows, kept for the module."""
    with world.kept(django_db_blocker):
        _make_everything()
        yield


def _make_everything() -> None:
    now = timezone.now()
    world.api_key("acme", name="old").delete()
    world.a_row_of_most()
    RateLimitRollup.objects.create(window_type="hour", window_start=now, route="invoices")
    instance = {"service": "billing", "instance": "http://10.0.0.1"}
    BreakerOverride.objects.create(**instance, action="reset")
    InstanceHealth.objects.create(
        **instance, node="n", healthy=True, changed_at=now, checked_at=now
    )
    Revision.objects.create(number=1, sha256="1" * 64, document='{"format": 1}')
    Revision.objects.create(number=2, sha256="2" * 64, document='{"format": 1}')
    RevisionHead.objects.create(number=2, sha256="2" * 64)
    assert AuditEntry.objects.exists()
    assert ArchivedApiKey.objects.exists()


@pytest.fixture
def alice(db: None) -> User:
    """Staff without any permission."""
    return User.objects.create_user("alice", is_staff=True)


@pytest.fixture
def alice_client(alice: User) -> Client:
    return signed_in(alice)


@pytest.fixture
def stranger_client(db: None) -> Client:
    """Signed in, but not staff."""
    return signed_in(User.objects.create_user("stranger"))


def grant(user: User, *codenames: str) -> None:
    """Give *user* permissions by their codename."""
    user.user_permissions.add(*Permission.objects.filter(codename__in=codenames))
