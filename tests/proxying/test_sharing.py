"""What one worker sees of an instance, and what an operator orders, reaches every worker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from proxying import reporting
from proxying.breaker import Breaker, Outcome, State
from proxying.breakers import Breakers
from proxying.models import BreakerOverride, BreakerState
from proxying.reporting import BreakerReporter
from proxying.sharing import BreakerSharing, Order, Seen
from routing.document import BreakerSpec
from runtime.database import DatabaseThread
from runtime.tasks import TaskOwner
from tests.support.database import FailingDatabase

KEY = ("billing", "http://10.0.0.1:80")
SPEC = BreakerSpec(failure_threshold=2, recovery=30)


class Worker:
    """One worker's breakers, reports and sharing."""

    def __init__(self, name: str, database: DatabaseThread) -> None:
        self.name = name
        self.reporter = BreakerReporter(name, database)
        self.breakers = Breakers([self.reporter])
        self.breakers.update({KEY: SPEC})
        self.sharing = BreakerSharing(name, self.breakers, self.reporter, database)

    @property
    def breaker(self) -> Breaker:
        breaker = self.breakers.get(*KEY)
        assert breaker is not None
        return breaker

    def state(self) -> State:
        return self.breaker.state

    def fail(self) -> None:
        for _ in range(2):
            permit = self.breaker.acquire(time.monotonic())
            assert permit is not None
            self.breaker.release(permit, Outcome.FAILURE, time.monotonic())


@pytest.fixture
async def database() -> AsyncIterator[DatabaseThread]:
    thread = DatabaseThread("test")
    yield thread
    await thread.close()


@pytest.fixture
def worker(database: DatabaseThread) -> Worker:
    return Worker("here/1", database)


def seen(state: State, ago: float = 0.0) -> Seen:
    return Seen(KEY, "there/2", state, datetime.now(UTC) - timedelta(seconds=ago))


def order(action: str, seconds: float | None = 60.0, number: int = 0) -> Order:
    until = None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    return Order(KEY, action, until, datetime(2030, 1, 1, tzinfo=UTC) + timedelta(number))


async def test_an_open_breaker_of_another_worker_is_taken_over(worker: Worker) -> None:
    worker.sharing.follow([seen(State.OPEN, ago=5)])
    assert worker.state() is State.OPEN
    worker.sharing.follow([seen(State.CLOSED)])
    assert worker.state() is State.CLOSED


async def test_the_later_of_two_reports_counts(worker: Worker) -> None:
    worker.fail()
    worker.sharing.follow([seen(State.CLOSED, ago=5)])
    assert worker.state() is State.OPEN
    worker.sharing.follow([seen(State.OPEN, ago=2), seen(State.CLOSED, ago=-0.1)])
    assert worker.state() is State.CLOSED


async def test_what_was_reported_before_the_clock_was_set_back_is_no_news(worker: Worker) -> None:
    worker.sharing.follow([seen(State.OPEN, ago=-3600)])
    assert worker.state() is State.CLOSED
    with worker.reporter.as_of(datetime.now(UTC) + timedelta(hours=1)):
        worker.fail()
    worker.sharing.follow([seen(State.CLOSED, ago=1)])
    assert worker.state() is State.CLOSED


async def test_what_is_taken_over_is_no_news_to_others(worker: Worker) -> None:
    report = seen(State.OPEN, ago=5)
    worker.sharing.follow([report])
    assert worker.reporter.changed_at(*KEY) == report.changed_at


async def test_an_order_is_carried_out_once_and_withdrawn_with_its_row(worker: Worker) -> None:
    worker.sharing.obey([order("open")])
    assert worker.state() is State.OPEN
    worker.sharing.obey([])
    assert worker.state() is State.CLOSED
    worker.sharing.obey([order("reset")])
    worker.fail()
    worker.sharing.obey([order("reset")])
    assert worker.state() is State.OPEN
    worker.sharing.obey([order("reset", number=1)])
    assert worker.state() is State.CLOSED


async def test_an_order_whose_time_has_passed_does_nothing(worker: Worker) -> None:
    worker.sharing.obey([order("open", seconds=-1)])
    assert worker.state() is State.CLOSED


async def test_an_order_holds_for_a_breaker_made_anew(worker: Worker) -> None:
    worker.sharing.obey([order("open", seconds=None)])
    worker.breakers.update({KEY: BreakerSpec(recovery=1)})
    worker.sharing.obey([order("open", seconds=None)])
    assert worker.state() is State.OPEN


@pytest.mark.django_db(transaction=True)
async def test_workers_hear_of_each_other_through_the_database(database: DatabaseThread) -> None:
    one, other = Worker("here/1", database), Worker("here/2", database)
    one.fail()
    await one.reporter._write()
    await other.sharing._look()
    assert other.state() is State.OPEN
    row = await BreakerState.objects.aget(node="here/1")
    assert (row.state, row.reason, row.failures) == ("open", "2 failures in a row", 2)
    await BreakerOverride.objects.acreate(service=KEY[0], instance=KEY[1], action="reset")
    for worker in (one, other):
        await worker.sharing._look()
    assert (one.state(), other.state()) == (State.CLOSED, State.CLOSED)


@pytest.mark.django_db(transaction=True)
async def test_an_outage_is_one_line_and_the_states_are_written_after_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = FailingDatabase()
    worker = Worker("here/1", database)
    worker.fail()
    database.away = True
    with caplog.at_level("WARNING", logger="proxying.reporting"):
        caplog.clear()
        for _ in range(3):
            await worker.reporter._write()
        assert [one.name for one in caplog.records] == ["proxying.reporting"]
    database.away = False
    await worker.reporter._write()
    assert (await BreakerState.objects.aget(node="here/1")).state == "open"
    await database.close()


async def test_a_database_that_hangs_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "_STOP_SECONDS", 0.05)
    database, owner = FailingDatabase(), TaskOwner()
    owner.start("breakers", Worker("here/1", database).reporter.keep_writing)
    await asyncio.sleep(0)
    database.go_on.clear()
    async with asyncio.timeout(2):
        await owner.stop()
    await database.close()
