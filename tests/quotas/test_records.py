"""What was used is counted in memory and written down, whatever the database does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quotas import metrics, records
from quotas.bucket import Decision, Rule
from quotas.models import RateLimitRecord
from quotas.records import EVERYBODY_ELSE, FIELDS, Recorder, readable
from runtime.database import DatabaseThread
from runtime.tasks import TaskOwner
from tests.support.database import FailingDatabase

pytestmark = pytest.mark.django_db(transaction=True)

PASSED = Decision(True, 5, 4, 1, 0, None)
REFUSED = Decision(False, 5, 0, 1, 1, None)
RULE = Rule("r:", 5, 60_000_000, 5)
HOUR = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000 * HOUR

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def database() -> AsyncIterator[FailingDatabase]:
    database = FailingDatabase()
    yield database
    await database.close()


def new_recorder(database: DatabaseThread, node: str = "node", **options: Any) -> Recorder:
    return Recorder(node, database, **{"interval": 60.0, "clock": Clock(), **options})


async def stored(database: FailingDatabase) -> list[tuple[Any, ...]]:
    names = ("identifier", "route", "node", "allowed", "refused", "would_refuse")
    rows = RateLimitRecord.objects.order_by("window_start", *names[:3]).values_list(*names)
    result: list[tuple[Any, ...]] = await DatabaseThread.run(database, list, rows)
    return result


async def test_each_kind_of_decision_is_counted(database: FailingDatabase) -> None:
    recorder = new_recorder(database)
    shadowed = Decision(True, 0, 0, 0, 0, None, would_refuse=(RULE,))
    for decision in (PASSED, PASSED, REFUSED, shadowed, None):
        recorder.note("consumer:acme", "projects", decision)
    await recorder.write()
    assert await stored(database) == [("consumer:acme", "projects", "node", 4, 1, 1)]


async def test_writing_again_writes_the_whole_count(database: FailingDatabase) -> None:
    recorder = new_recorder(database)
    for _ in range(3):
        recorder.note("a", "r", PASSED)
        await recorder.write()
        await recorder.write()
    assert await stored(database) == [("a", "r", "node", 3, 0, 0)]


async def test_what_was_counted_elsewhere_is_gathered_before_a_write(
    database: FailingDatabase,
) -> None:
    recorder = new_recorder(database)
    recorder.gather = lambda: recorder.note("a", "r", PASSED, 3)
    await recorder.write()
    assert await stored(database) == [("a", "r", "node", 3, 0, 0)]


async def test_workers_write_beside_each_other(database: FailingDatabase) -> None:
    for node in ("one", "two"):
        recorder = new_recorder(database, node)
        recorder.note("a", "r", PASSED)
        await recorder.write()
    assert [row[2:4] for row in await stored(database)] == [("one", 1), ("two", 1)]


async def test_an_hour_begins_a_row_and_the_past_is_forgotten(database: FailingDatabase) -> None:
    clock = Clock()
    recorder = new_recorder(database, clock=clock)
    recorder.note("a", "r", PASSED)
    clock.now += HOUR
    recorder.note("a", "r", PASSED)
    await recorder.write()
    assert [row[3] for row in await stored(database)] == [1, 1]
    assert [len(hour) for hour in recorder._hours.values()] == [1]


async def test_a_clock_set_back_a_little_costs_no_counts(database: FailingDatabase) -> None:
    clock = Clock()
    recorder = new_recorder(database, clock=clock)
    for seconds in (HOUR - 2.0, 3.0, -2.0, 3.0):
        clock.now += seconds
        recorder.note("a", "r", PASSED)
        await recorder.write()
    assert [row[3] for row in await stored(database)] == [1, 3]


async def test_an_hour_that_ended_while_the_database_was_away_is_written_and_forgotten(
    database: FailingDatabase,
) -> None:
    clock = Clock()
    recorder = new_recorder(database, clock=clock)
    recorder.note("written", "r", PASSED)
    await recorder.write()
    recorder.note("waiting", "r", PASSED)
    database.away = True
    clock.now += HOUR
    await recorder.write()
    assert sorted(list(hour) for hour in recorder._hours.values()) == [[], [("waiting", "r")]]
    database.away = False
    await recorder.write()
    assert [row[0] for row in await stored(database)] == ["waiting", "written"]
    assert [len(hour) for hour in recorder._hours.values()] == [0]


async def test_what_the_database_does_not_take_is_kept(database: FailingDatabase) -> None:
    recorder = new_recorder(database)
    database.away = True
    recorder.note("a", "r", PASSED)
    await recorder.write()
    assert (recorder.failures, recorder.pending) == (1, 1)
    database.away = False
    recorder.note("a", "r", PASSED)
    await recorder.write()
    assert [row[3] for row in await stored(database)] == [2]
    assert recorder.pending == 0


async def test_what_comes_while_a_batch_is_written_is_in_the_next(
    database: FailingDatabase,
) -> None:
    recorder = new_recorder(database)
    recorder.note("a", "r", PASSED)
    database.go_on.clear()
    writing = asyncio.ensure_future(recorder.write())
    await asyncio.sleep(0)
    recorder.note("a", "r", PASSED)
    database.go_on.set()
    await writing
    assert recorder.pending == 1
    await recorder.write()
    assert [row[3] for row in await stored(database)] == [2]


async def test_memory_is_bounded_and_no_request_is_lost(database: FailingDatabase) -> None:
    recorder = new_recorder(database, max_windows=10)
    for number in range(100):
        recorder.note(f"ip:{number}", "r", PASSED)
    await recorder.write()
    rows = await stored(database)
    assert len(rows) == 11
    assert sum(row[3] for row in rows) == 100
    assert {row[0]: row[3] for row in rows}[EVERYBODY_ELSE] == 90


async def test_every_request_of_a_merged_caller_is_told(database: FailingDatabase) -> None:
    recorder = new_recorder(database, max_windows=1)
    recorder.note("a", "r", PASSED)
    merged = metrics.RECORDS_DROPPED._value.get()
    recorder.note("b", "r", PASSED, 7)
    assert metrics.RECORDS_DROPPED._value.get() - merged == 7


async def test_many_windows_keep_the_event_loop_free(database: FailingDatabase) -> None:
    clock = Clock()
    recorder = new_recorder(database, clock=clock)
    for number in range(5000):
        recorder.note(f"ip:{number}", "r", PASSED)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.ensure_future(turn())
    await recorder.write()
    before = turns
    clock.now += HOUR
    await recorder.write()
    turning.cancel()
    assert turns - before >= 5000 / records._BATCH


async def test_stopping_writes_what_is_left(database: FailingDatabase) -> None:
    recorder, owner = new_recorder(database), TaskOwner()
    owner.start("records", recorder.keep_writing)
    await asyncio.sleep(0)
    for number in range(1200):
        recorder.note(f"ip:{number}", "r", PASSED)
    await owner.stop()
    assert len(await stored(database)) == 1200


class SlowDatabase(DatabaseThread):
    """Takes *seconds* to write, and remembers when each write ended."""

    def __init__(self, seconds: float) -> None:
        super().__init__("slow")
        self._seconds = seconds
        self.written: list[tuple[int, float]] = []

    async def run(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        await super().run(function, *args, **kwargs)
        await asyncio.sleep(self._seconds)
        self.written.append((args[0][0][FIELDS.index("allowed")], time.monotonic()))


async def test_nothing_counted_waits_longer_than_an_interval() -> None:
    interval = 0.2
    database, counted = SlowDatabase(interval * 0.35), []
    recorder, owner = new_recorder(database, interval=interval), TaskOwner()
    owner.start("records", recorder.keep_writing)
    while len(database.written) < 8:
        counted.append(time.monotonic())
        recorder.note("a", "r", PASSED)
        await asyncio.sleep(0.005)
    await owner.stop()
    await database.close()
    ends = list(pairwise(database.written[:8]))
    # The oldest that an end of the worker a moment earlier would have lost.
    assert median(end - counted[before] for (before, _), (_, end) in ends) <= interval


async def test_who_waits_for_its_record_finds_it_written(database: FailingDatabase) -> None:
    recorder, owner = new_recorder(database), TaskOwner()
    owner.start("records", recorder.keep_writing)
    for number in range(3):
        recorder.note("a", "r", PASSED)
        await recorder.written()
        assert [row[3] for row in await stored(database)] == [number + 1]
    await owner.stop()


async def test_nobody_waits_for_a_database_that_is_away(database: FailingDatabase) -> None:
    recorder, owner = new_recorder(database), TaskOwner()
    owner.start("records", recorder.keep_writing)
    database.away = True
    async with asyncio.timeout(records._PATIENCE / 2):
        for _ in range(5):
            recorder.note("a", "r", PASSED)
            await recorder.written()
    await owner.stop()


def test_a_readable_name_stays_as_it_is() -> None:
    assert readable("consumer:Acme Corp. ü") == "consumer:Acme Corp. ü"


@given(st.text(max_size=400), st.text(max_size=400))
def test_what_is_stored_is_bounded_printable_and_tells_callers_apart(one: str, two: str) -> None:
    for text in (one, two):
        shown = readable(text)
        assert len(shown) <= 190
        assert not shown or shown.isprintable()
        assert not shown.endswith(" ")
    assert (readable(one) == readable(two)) == (one == two)


def test_long_names_that_begin_alike_stay_apart() -> None:
    assert readable("user:" + "a" * 300) != readable("user:" + "a" * 301)
