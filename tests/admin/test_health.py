"""Health in the admin: how old a report is, and orders to breakers."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from audit.models import AuditEntry
from proxying.models import BreakerOverride, BreakerState, InstanceHealth
from tests.admin.conftest import grant
from tests.models import world

pytestmark = pytest.mark.django_db

STATES = "/admin/proxying/breakerstate/"
ORDERS = "/admin/proxying/breakeroverride/"
HEALTH = "/admin/proxying/instancehealth/"
KEY = {"service": "billing", "instance": "http://10.0.0.1"}


@pytest.fixture
def state() -> BreakerState:
    world.service("billing", KEY["instance"])
    now = timezone.now()
    return BreakerState.objects.create(
        **KEY, node="n/1", state="open", reason="5 failures in a row",
        changed_at=now - timedelta(minutes=5), reported_at=now - timedelta(minutes=3),
    )  # fmt: skip


def act(client: Client, state: BreakerState, name: str) -> None:
    client.post(STATES, {"action": name, "_selected_action": [state.pk]})


def test_a_breaker_is_shown_with_its_reason_and_the_age_of_its_report(
    admin_client: Client, state: BreakerState
) -> None:
    page = admin_client.get(STATES).content.decode()
    assert "5 failures in a row" in page
    assert "3\xa0minutes ago" in page


def test_a_report_of_just_now_has_its_age_in_seconds(
    admin_client: Client, state: BreakerState
) -> None:
    BreakerState.objects.update(reported_at=timezone.now() - timedelta(seconds=7))
    assert re.search("[7-9] s ago", admin_client.get(STATES).content.decode())


@pytest.mark.parametrize(
    ("name", "action"),
    [("force_open", "open"), ("force_closed", "closed"), ("reset", "reset")],
)
def test_a_breaker_is_ordered_from_the_list_and_audited(
    admin_client: Client, state: BreakerState, name: str, action: str
) -> None:
    act(admin_client, state, name)
    order = BreakerOverride.objects.get()
    assert (order.service, order.instance, order.action) == (*KEY.values(), action)
    assert (order.until is None) == (action == "reset")
    assert AuditEntry.objects.filter(action="breaker.created", actor="admin").count() == 1


def test_a_second_order_takes_the_place_of_the_first(
    admin_client: Client, state: BreakerState
) -> None:
    act(admin_client, state, "force_open")
    first = BreakerOverride.objects.get()
    act(admin_client, state, "force_open")
    assert BreakerOverride.objects.get().ordered_at > first.ordered_at
    assert AuditEntry.objects.filter(action__startswith="breaker.").count() == 2


def test_who_may_only_look_orders_nothing(
    alice: User, alice_client: Client, state: BreakerState
) -> None:
    grant(alice, "view_breakerstate")
    act(alice_client, state, "force_open")
    assert not BreakerOverride.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"instance": "http://10.0.0.9"},
        {"service": "nobody"},
        {"until_0": "2001-01-01", "until_1": "1:00"},
    ],
)
def test_an_order_nobody_could_obey_is_refused(
    admin_client: Client, state: BreakerState, wrong: dict[str, str]
) -> None:
    answer = admin_client.post(f"{ORDERS}add/", {**KEY, "action": "open", **wrong})
    assert answer.status_code == 200
    assert not BreakerOverride.objects.exists()


def test_an_old_check_is_shown_as_unknown(admin_client: Client) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    InstanceHealth.objects.create(
        **KEY, node="n", healthy=True, changed_at=long_ago, checked_at=long_ago
    )
    page = admin_client.get(HEALTH).content.decode()
    assert "unknown" in page
    assert "5\xa0minutes ago" in page
