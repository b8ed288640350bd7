"""Last uses on their way to the database."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping

import pytest

from keys.last_used import LastUsed
from runtime.database import DatabaseThread
from tests.keys.shelf import Shelf


@pytest.fixture
async def thread() -> AsyncIterator[DatabaseThread]:
    thread = DatabaseThread("writes")
    yield thread
    await thread.close()


async def test_only_the_latest_use_of_a_key_is_written(thread: DatabaseThread) -> None:
    shelf = Shelf()
    uses = LastUsed(shelf.write_last_used, thread, size=10)
    uses.note(1, 100.0)
    uses.note(1, 200.0)
    uses.note(2, 150.0)
    await uses.flush()
    assert shelf.written == [{1: 200.0, 2: 150.0}]


async def test_nothing_is_written_when_nothing_was_used(thread: DatabaseThread) -> None:
    shelf = Shelf()
    await LastUsed(shelf.write_last_used, thread, size=10).flush()
    assert shelf.written == []


async def test_many_uses_are_written_in_batches(thread: DatabaseThread) -> None:
    shelf = Shelf()
    uses = LastUsed(shelf.write_last_used, thread, size=2_000)
    for key_id in range(1_100):
        uses.note(key_id, 1.0)
    await uses.flush()
    assert [len(batch) for batch in shelf.written] == [500, 500, 100]


async def test_what_cannot_be_written_is_kept_and_newer_uses_win(
    thread: DatabaseThread, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()
    shelf.broken = True
    uses = LastUsed(shelf.write_last_used, thread, size=10)
    uses.note(1, 100.0)
    uses.note(2, 100.0)
    with caplog.at_level(logging.ERROR):
        await uses.flush()
        await uses.flush()
    assert len(caplog.records) == 1
    shelf.broken = False
    uses.note(2, 300.0)
    await uses.flush()
    assert shelf.written == [{1: 100.0, 2: 300.0}]


async def test_a_use_noted_during_a_failing_write_is_the_one_that_is_kept(
    thread: DatabaseThread,
) -> None:
    shelf = Shelf()

    def write(times: Mapping[int, float]) -> None:
        if not shelf.broken:
            shelf.broken = True
            uses.note(1, 300.0)
            raise ConnectionError
        shelf.written.append(dict(times))

    uses = LastUsed(write, thread, size=10)
    uses.note(1, 100.0)
    await uses.flush()
    await uses.flush()
    assert shelf.written == [{1: 300.0}]


async def test_more_keys_than_fit_are_counted_and_dropped(thread: DatabaseThread) -> None:
    shelf = Shelf()
    uses = LastUsed(shelf.write_last_used, thread, size=2)
    for key_id in range(5):
        uses.note(key_id, 1.0)
    uses.note(0, 2.0)
    await uses.flush()
    assert shelf.written == [{0: 2.0, 1: 1.0}]
    assert uses.dropped == 3
