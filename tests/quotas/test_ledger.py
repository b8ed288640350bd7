"""Quotas of plans are restored from the records when they are lost, and warned of once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from prometheus_client import REGISTRY

from audit.models import AuditEntry
from quotas.bucket import SECOND, Decision, Rule, Usage
from quotas.ledger import PlanLedger
from quotas.models import RateLimitRecord
from quotas.rules import quota_key
from quotas.stores.memory import MemoryStore
from runtime.database import DatabaseThread
from tests.support.database import FailingDatabase

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
MONTH = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp()) * SECOND
RULE = Rule("quota:{c}:month:", 100, 86_400 * SECOND, 100, window="month", plan="bronze")
KEY = quota_key(RULE, "consumer:acme")


@pytest.fixture
async def database() -> AsyncIterator[FailingDatabase]:
    database = FailingDatabase()
    yield database
    await database.close()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(clock=lambda: int(NOW.timestamp()) * SECOND)


@pytest.fixture
def ledger(store: MemoryStore, database: DatabaseThread) -> PlanLedger:
    return PlanLedger(store, database, record_interval=0.0)


def recorded(allowed: int, when: datetime = NOW, identifier: str = "consumer:acme") -> None:
    start = when.replace(minute=0)
    RateLimitRecord.objects.create(
        identifier=identifier,
        window_type="hour",
        window_start=start,
        route="r",
        node=f"n{RateLimitRecord.objects.count()}",
        allowed=allowed,
        refused=7,
        first_at=when,
        last_at=when,
    )


def spend(store: MemoryStore, ledger: PlanLedger, cost: int = 1) -> Decision:
    decision = store.spend([RULE], [KEY], cost)
    ledger.note("consumer:acme", decision.usage)
    return decision


async def test_a_counter_that_begins_at_nothing_is_raised_to_the_records(
    store: MemoryStore, ledger: PlanLedger, database: DatabaseThread
) -> None:
    await database.run(recorded, 40)
    await database.run(recorded, 30, NOW.replace(day=2))
    await database.run(recorded, 500, NOW.replace(month=10))
    await database.run(recorded, 500, NOW, "consumer:globex")
    spend(store, ledger)
    await ledger.look()
    assert spend(store, ledger).remaining == 29


async def test_what_others_write_a_little_later_counts_too(
    store: MemoryStore, ledger: PlanLedger, database: DatabaseThread
) -> None:
    await database.run(recorded, 40)
    spend(store, ledger)
    await ledger.look()
    await database.run(recorded, 30)
    await ledger.look()
    assert spend(store, ledger).remaining == 29


async def test_a_counter_that_was_not_lost_is_left_alone(
    store: MemoryStore, ledger: PlanLedger, database: DatabaseThread
) -> None:
    store.spend([RULE], [KEY], 5)
    await database.run(recorded, 40)
    spend(store, ledger)
    await ledger.look()
    assert spend(store, ledger).remaining == 93


async def test_an_outage_costs_one_question_a_look_and_one_line(
    store: MemoryStore,
    ledger: PlanLedger,
    database: FailingDatabase,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await database.run(recorded, 40)
    spend(store, ledger)
    for number in range(5):
        ledger.note(f"ip:{number}", [Usage(RULE, 1, MONTH)])
    database.away, database.asked = True, 0
    for _ in range(10):
        await ledger.look()
    assert database.asked == 10
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    database.away = False
    await ledger.look()
    assert spend(store, ledger).remaining == 59


def warnings() -> list[tuple[str, int]]:
    rows = AuditEntry.objects.filter(action="plan.quota_reached").order_by("id")
    return [(row.object_name, row.changes["percent"]) for row in rows]


def counted(percent: str) -> float:
    labels = {"plan": "bronze", "percent": percent}
    return REGISTRY.get_sample_value("gateway_plan_notices_total", labels) or 0.0


async def test_each_share_is_told_of_once_over_workers(
    store: MemoryStore, ledger: PlanLedger, database: DatabaseThread
) -> None:
    before = counted("80"), counted("100")
    other = PlanLedger(store, database, record_interval=0.0)
    for number in range(110):
        spend(store, ledger if number % 2 else other)
        await ledger.look()
        await other.look()
    assert await database.run(warnings) == [("acme", 80), ("acme", 100)]
    assert (counted("80"), counted("100")) == (before[0] + 1, before[1] + 1)


async def test_a_new_month_is_told_of_anew(ledger: PlanLedger, database: DatabaseThread) -> None:
    december = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp()) * SECOND
    for start in (MONTH, december):
        ledger.note("consumer:acme", [Usage(RULE, 85, start)])
        await ledger.look()
    assert await database.run(warnings) == [("acme", 80), ("acme", 80)]
