"""Usage and plans over the API."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest

from keys.models import Consumer
from quotas.models import Plan, PlanMembership, RateLimitRecord
from quotas.rollups import sum_since
from tests.api.conftest import Send

pytestmark = pytest.mark.django_db


@pytest.fixture
def used() -> None:
    """Acme has used 90 of billing today, in a plan of 100."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    record = {"route": "billing", "node": "n", "first_at": today, "last_at": today}
    RateLimitRecord.objects.create(
        identifier="consumer:acme",
        window_type="hour",
        window_start=today,
        allowed=90,
        refused=2,
        **record,
    )
    sum_since(today)
    plan = Plan.objects.create(name="bronze", daily=100)
    PlanMembership.objects.create(consumer=Consumer.objects.create(name="acme"), plan=plan)


def test_usage_is_reported_by_time_caller_and_route(send: Send, used: None) -> None:
    report = send("GET", "usage/?period=today").json()
    sums = {"allowed": 90, "refused": 2, "would_refuse": 0}
    assert report["totals"] == sums
    assert report["callers"] == [{"identifier": "consumer:acme", **sums}]
    assert report["routes"] == [{"route": "billing", **sums}]
    assert [point["allowed"] for point in report["over_time"]] == [90, *[0] * 23]


@pytest.mark.parametrize("query", ["period=moon", "colour=red"])
def test_a_strange_question_is_refused(send: Send, query: str) -> None:
    assert send("GET", f"usage/?{query}").status_code == HTTPStatus.BAD_REQUEST


def test_quotas_nearly_used_are_listed(send: Send, used: None) -> None:
    [near] = send("GET", "usage/near-limits/").json()["quotas"]
    assert (near["consumer"], near["window"], near["percent"]) == ("acme", "day", 90)


def consumers_of(send: Send, plan: str) -> Any:
    return send("GET", f"plans/{plan}/").json()["consumers"]


def test_a_consumer_named_in_a_plan_leaves_the_one_it_was_in(send: Send, used: None) -> None:
    content = {"name": "silver", "monthly": 5000, "consumers": ["acme"]}
    assert send("POST", "plans/", content).status_code == HTTPStatus.CREATED
    assert (consumers_of(send, "silver"), consumers_of(send, "bronze")) == (["acme"], [])


def test_a_misspelt_quota_is_refused(send: Send) -> None:
    answer = send("POST", "plans/", {"name": "silver", "monthy": 5000})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "monthy")


def test_consumers_stay_in_a_plan_that_is_changed_without_them(send: Send, used: None) -> None:
    send("PATCH", "plans/bronze/", {"daily": 200})
    assert consumers_of(send, "bronze") == ["acme"]
    send("PATCH", "plans/bronze/", {"consumers": []})
    assert consumers_of(send, "bronze") == []


def test_a_plan_with_consumers_is_not_deleted(send: Send, used: None) -> None:
    answer = send("DELETE", "plans/bronze/")
    assert (answer.status_code, answer.json()["code"]) == (HTTPStatus.CONFLICT, "in_use")
