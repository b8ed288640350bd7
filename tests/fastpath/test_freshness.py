"""Keys that the engine knows are looked at anew, many at a time, and what changed is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from keys.lookup import KeyLookup, LookupLimits
from proxying.fastpath import freshness
from proxying.fastpath.freshness import Freshness
from runtime.database import DatabaseThread
from runtime.tasks import TaskOwner
from tests.keys.shelf import Shelf, record

NAMES = [f"key-{number}" for number in range(40)]


class World:
    """Forty keys that the engine knows."""

    def __init__(self, shelf: Shelf, keys: KeyLookup) -> None:
        self.shelf = shelf
        self.changed = asyncio.Event()
        self.freshness = Freshness(keys, self.changed.set)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(freshness, "_EVERY", 0.0)
    monkeypatch.setattr(freshness, "_LOOK", 0.001)
    shelf, owner = Shelf(*map(record, NAMES)), TaskOwner()
    threads = DatabaseThread("reads"), DatabaseThread("writes")
    keys = KeyLookup(
        shelf.fetch,
        shelf.read_epoch,
        shelf.write_last_used,
        reader=threads[0],
        writer=threads[1],
        limits=LookupLimits(pace=0, poll=3600),
    )
    keys.start(owner)
    world = World(shelf, keys)
    for name in NAMES:
        found = await keys.find(name)
        assert found is not None
        world.freshness.note(name, found)
    shelf.asked.clear()
    owner.start("freshness", world.freshness.keep)
    yield world
    shelf.open.set()
    await owner.stop()
    for thread in threads:
        await thread.close()


async def looked_at(world: World, times: int) -> None:
    while sum(len(asked) for asked in world.shelf.asked) < times * len(NAMES):
        assert await asyncio.to_thread(world.shelf.polled.acquire, timeout=10)


async def test_all_are_asked_for_together_again_and_again(world: World) -> None:
    await looked_at(world, 3)
    assert max(len(asked) for asked in world.shelf.asked) == len(NAMES)
    assert not world.changed.is_set()


async def test_a_key_that_is_another_one_is_noticed(world: World) -> None:
    await looked_at(world, 1)
    world.shelf.records["key-7"] = replace(record("key-7"), active=False)
    await asyncio.wait_for(world.changed.wait(), 10)


async def test_what_is_known_no_more_is_looked_at_no_more(world: World) -> None:
    await looked_at(world, 1)
    del world.shelf.records["key-7"]
    await asyncio.wait_for(world.changed.wait(), 10)
    asked = len(world.shelf.asked)
    await asyncio.sleep(0.05)
    assert len(world.shelf.asked) == asked
