"""Keys that the engine knows are looked at anew, many at a time, and what changed is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256

import pytest
from django.db import DatabaseError

from proxying.fastpath import freshness
from proxying.fastpath.freshness import Freshness
from runtime.tasks import TaskOwner
from tests.keys.shelf import record

DIGESTS = [sha256(b"%d" % number).hexdigest() for number in range(40)]


class World:
    """Forty keys that the engine knows."""

    def __init__(self) -> None:
        self.marks = dict.fromkeys(DIGESTS, 1)
        self.asked: list[list[str]] = []
        self.broken = False
        self.while_reading: Callable[[], None] = lambda: None
        self.looked = asyncio.Condition()
        self.changed = asyncio.Event()
        self.freshness = Freshness(self.read_marks, self.changed.set)
        for digest in DIGESTS:
            self.freshness.note(replace(record(digest), mark=1))

    async def read_marks(self, digests: Sequence[str]) -> Mapping[str, int]:
        await asyncio.sleep(0)
        async with self.looked:
            self.asked.append(list(digests))
            self.looked.notify_all()
        self.while_reading()
        if self.broken:
            raise DatabaseError("the database is down")
        return {digest: self.marks[digest] for digest in digests if digest in self.marks}

    async def looked_at(self, times: int) -> None:
        async with asyncio.timeout(10), self.looked:
            before = len(self.asked)
            await self.looked.wait_for(lambda: len(self.asked) >= before + times)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(freshness, "_EVERY", 0.0)
    monkeypatch.setattr(freshness, "_LOOK", 0.001)
    world, owner = World(), TaskOwner()
    owner.start("freshness", world.freshness.keep)
    yield world
    await owner.stop()


async def test_all_are_asked_for_again_and_again(world: World) -> None:
    await world.looked_at(5)
    assert {digest for asked in world.asked for digest in asked} == set(DIGESTS)
    assert not world.changed.is_set()


async def test_those_that_came_together_are_asked_for_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freshness, "_LOOK", 60.0)
    together = Freshness(world.read_marks, world.changed.set)
    for digest in DIGESTS:
        together.note(replace(record(digest), mark=1))
    owner = TaskOwner()
    owner.start("freshness", together.keep)
    await world.looked_at(1)
    await owner.stop()
    assert DIGESTS in world.asked


async def test_a_key_that_is_another_one_is_noticed(world: World) -> None:
    await world.looked_at(1)
    world.marks[DIGESTS[7]] = 2
    await asyncio.wait_for(world.changed.wait(), 10)


async def test_what_is_known_no_more_is_looked_at_no_more(world: World) -> None:
    await world.looked_at(1)
    del world.marks[DIGESTS[7]]
    await asyncio.wait_for(world.changed.wait(), 10)
    asked = len(world.asked)
    await asyncio.sleep(0.05)
    assert len(world.asked) == asked


async def test_a_key_that_is_learnt_while_others_are_looked_at_is_no_change(world: World) -> None:
    new = [sha256(b"new %d" % number).hexdigest() for number in range(20)]
    world.marks |= dict.fromkeys(new, 1)
    learning = iter(new)

    def learn() -> None:
        if (digest := next(learning, None)) is not None:
            world.freshness.note(replace(record(digest), mark=1))

    world.while_reading = learn
    await world.looked_at(60)
    assert not world.changed.is_set()


async def test_a_database_that_does_not_answer_changes_no_key(world: World) -> None:
    world.broken = True
    await world.looked_at(3)
    world.broken = False
    await world.looked_at(3)
    assert not world.changed.is_set()
