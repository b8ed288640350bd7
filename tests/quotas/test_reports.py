"""Reports on usage, from sums that are made anew in the background."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from keys.models import Consumer
from quotas import reports
from quotas.charts import chart
from quotas.models import Plan, PlanMembership, RateLimit, RateLimitRecord, RateLimitRollup
from quotas.rollups import sum_if_due, sum_since
from tests.admin.conftest import grant
from tests.models import world

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
USAGE = "/admin/quotas/ratelimitrollup/"


def recorded(identifier: str, route: str, when: datetime, allowed: int, refused: int = 0) -> None:
    RateLimitRecord.objects.create(
        identifier=identifier,
        window_type="hour",
        window_start=when.replace(minute=0, second=0, microsecond=0),
        route=route,
        node=f"node-{RateLimitRecord.objects.count()}",
        allowed=allowed,
        refused=refused,
        first_at=when,
        last_at=when,
    )


@pytest.fixture(scope="module")
def rows_of_history(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> tuple[list[RateLimitRecord], list[RateLimitRollup]]:
    """Acme on two nodes and days, globex once, both on billing, acme on projects too; the sums."""
    with world.kept(django_db_blocker):
        recorded("consumer:acme", "billing", NOW, 10, 3)
        recorded("consumer:acme", "billing", NOW, 20)
        recorded("consumer:acme", "projects", NOW - timedelta(days=1), 5)
        recorded("consumer:globex", "billing", NOW - timedelta(hours=2), 100, 1)
        recorded("consumer:globex", "billing", NOW - timedelta(days=60), 1000)
        sum_since(NOW - timedelta(days=90))
        return list(RateLimitRecord.objects.all()), list(RateLimitRollup.objects.all())


@pytest.fixture
def history(rows_of_history: tuple[list[RateLimitRecord], list[RateLimitRollup]]) -> None:
    """These rows, summed already: that takes a query for each hour of two months."""
    records, sums_of_records = rows_of_history
    RateLimitRecord.objects.bulk_create(records)
    RateLimitRollup.objects.bulk_create(sums_of_records)


def ask(period: str = "7d", **about: str) -> reports.Report:
    return reports.report(reports.ask(period, now=NOW, **about))


def sums(rows: Any, name: str) -> list[tuple[str, int, int]]:
    return [(row[name], row["allowed"], row["refused"]) for row in rows]


def test_totals_are_of_the_period(history: None) -> None:
    assert [ask(period).totals["allowed"] for period in ("today", "7d", "90d")] == [130, 135, 1135]


def test_callers_and_routes_are_listed_by_use(history: None) -> None:
    report = ask()
    assert sums(report.callers, "identifier") == [
        ("consumer:globex", 100, 1),
        ("consumer:acme", 35, 3),
    ]
    assert sums(report.routes, "route") == [("billing", 130, 4), ("projects", 5, 0)]


def test_refusals_are_listed_alone_and_the_most_first(history: None) -> None:
    assert sums(ask().refusals, "identifier") == [
        ("consumer:acme", 30, 3),
        ("consumer:globex", 100, 1),
    ]


@pytest.mark.parametrize("about", [{}, {"identifier": "consumer:globex"}, {"route": "billing"}])
@pytest.mark.parametrize("period", ["7d", "90d"])
def test_use_over_time_adds_up_to_the_totals(
    history: None, period: str, about: dict[str, str]
) -> None:
    report = ask(period, **about)
    assert sum(point["allowed"] for point in report.over_time) == report.totals["allowed"]


def test_time_without_requests_is_in_the_picture(history: None) -> None:
    assert [len(ask(period).over_time) for period in ("today", "7d", "30d")] == [24, 168, 30]


def test_summing_again_changes_nothing(history: None) -> None:
    before = list(RateLimitRollup.objects.values_list())
    sum_since(NOW - timedelta(days=90))
    assert list(RateLimitRollup.objects.values_list()) == before


def test_one_worker_sums_and_the_others_do_not(history: None) -> None:
    assert [sum_if_due(NOW) for _ in range(3)] == [True, False, False]
    assert sum_if_due(NOW + timedelta(minutes=5))


def test_quotas_nearly_used_are_listed(history: None) -> None:
    gold = Plan.objects.create(name="gold", daily=40, monthly=1000)
    for name in ("acme", "globex", "idle"):
        PlanMembership.objects.create(consumer=Consumer.objects.create(name=name), plan=gold)
    near = [(use.consumer, use.window, use.used, use.percent) for use in reports.near_limits(NOW)]
    assert near == [("globex", "day", 100, 250)]


def test_the_chart_stands_on_its_ground() -> None:
    points = [
        {"window_start": NOW, "allowed": 30, "refused": 10},
        {"window_start": NOW, "allowed": 0, "refused": 0},
    ]
    full, empty = chart(points).bars
    assert (full.refused_y, full.allowed_y, full.allowed_height) == (0, 50, 150)
    assert (empty.allowed_height, empty.refused_height) == (0, 0)


def today(client: Client, **query: str) -> str:
    recorded("consumer:<b>acme", "billing", datetime.now(UTC), 41, 1)
    sum_since(datetime.now(UTC))
    answer = client.get(USAGE, query)
    assert answer.status_code == 200
    return b"".join(answer).decode()


def test_the_page_draws_without_scripts_or_styles(admin_client: Client) -> None:
    page = today(admin_client)
    picture = page[page.index("<svg") : page.index("</svg>")]
    assert 'height="195.24"' in picture
    assert "style" not in picture
    assert "consumer:&lt;b&gt;acme" in page


def test_a_list_can_be_taken_away_as_csv(admin_client: Client) -> None:
    lines = list(csv.DictReader(io.StringIO(today(admin_client, csv="caller"))))
    assert lines == [
        {"identifier": "consumer:<b>acme", "allowed": "41", "refused": "1", "would_refuse": "0"}
    ]


def test_a_name_is_no_formula_in_a_spreadsheet(admin_client: Client) -> None:
    recorded("=1+1", "billing", datetime.now(UTC), 1)
    assert "'=1+1" in today(admin_client, csv="caller")


@pytest.mark.parametrize("query", [{"period": "moon"}, {"csv": "moon"}, {"caller": "nobody"}])
def test_strange_questions_are_answered(admin_client: Client, query: dict[str, str]) -> None:
    today(admin_client, **query)


def test_usage_is_for_those_who_may_see_it(client: Client) -> None:
    alice = User.objects.create_user("alice", is_staff=True)
    client.force_login(alice)
    assert client.get(USAGE).status_code == 403
    assert client.get(USAGE, {"csv": "caller"}).status_code == 403
    grant(alice, "view_ratelimitrollup")
    assert client.get(USAGE).status_code == 200


def test_old_records_are_pruned(capsys: pytest.CaptureFixture[str]) -> None:
    recorded("a", "r", datetime.now(UTC) - timedelta(days=100), 1)
    recorded("a", "r", datetime.now(UTC) - timedelta(days=80), 1)
    sum_since(datetime.now(UTC) - timedelta(days=200))
    call_command("prune_records", "--older-than", "90d")
    assert "5 rows deleted" in capsys.readouterr().out
    assert RateLimitRecord.objects.count() == 1


@pytest.mark.parametrize("age", ["31d", "1h", "long"])
def test_what_quotas_are_restored_from_is_not_pruned(age: str) -> None:
    with pytest.raises(CommandError, match="older-than"):
        call_command("prune_records", "--older-than", age)


def test_late_records_can_be_summed(capsys: pytest.CaptureFixture[str]) -> None:
    recorded("a", "r", datetime.now(UTC) - timedelta(days=3), 7)
    call_command("sum_records", "--since", "4d")
    assert "4 sums made" in capsys.readouterr().out


def test_the_list_of_limits_says_whose_each_is(admin_client: Client) -> None:
    acme = Consumer.objects.create(name="acme")
    RateLimit.objects.create(limit=1, consumer=acme, override=True)
    RateLimit.objects.create(limit=1)
    RateLimit.objects.create(limit=1, route=world.route("invoices"))
    page = admin_client.get(reverse("admin:quotas_ratelimit_changelist")).content.decode()
    for owner in ("consumer acme (override)", "route invoices", "everybody, all routes together"):
        assert owner in page
