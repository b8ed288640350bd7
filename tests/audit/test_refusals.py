"""Refused credentials: folded, bounded, written in the background, flushed on stop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from audit import refusals
from audit.models import AuditEntry
from audit.refusals import Folded, Folding, Refusal, RefusalLog
from runtime.database import DatabaseThread
from runtime.tasks import TaskOwner

REFUSAL = Refusal(
    code="revoked_api_key",
    reason="revoked or disabled",
    route="projects",
    client="192.0.2.7",
    request_id="r-1",
    key="gw_abcdefghi",
    consumer="acme",
)


def counts(folded: list[Folded]) -> list[int]:
    return [one.count for one in folded]


def test_the_first_of_its_kind_is_written_at_once() -> None:
    assert Folding().add(REFUSAL, 100.0) == Folded(REFUSAL, 1, 100.0)


def test_the_same_within_a_minute_become_one_entry_with_their_number() -> None:
    folding = Folding()
    folding.add(REFUSAL, 100.0)
    latest = replace(REFUSAL, request_id="r-9")
    assert [folding.add(one, 110.0) for one in (REFUSAL, REFUSAL, latest)] == [None] * 3
    assert folding.due(159.9) == []
    assert folding.due(160.0) == [Folded(latest, 3, 110.0)]


def test_a_clock_that_is_set_back_does_not_hold_an_entry_up() -> None:
    folding = Folding()
    folding.add(REFUSAL, 3700.0)
    folding.add(REFUSAL, 100.0)
    assert counts(folding.due(100.0)) == [1]


def test_a_flood_is_one_entry_a_minute() -> None:
    folding = Folding()
    written = []
    for second in range(100, 400):
        written += [one for one in [folding.add(REFUSAL, second)] if one]
        written += folding.due(second)
    assert counts(written) == [1, 60, 60, 60, 60]


def test_a_kind_that_has_gone_quiet_is_forgotten() -> None:
    folding = Folding(most=1)
    folding.add(REFUSAL, 100.0)
    assert folding.due(160.0) == []
    assert folding.add(replace(REFUSAL, route="other"), 160.0) is not None


@pytest.mark.parametrize(
    "change",
    [
        {"code": "expired_api_key"},
        {"reason": "other"},
        {"route": "other"},
        {"client": "198.51.100.1"},
        {"client": "2001:db8::1"},
        {"key": "gw_otherother"},
    ],
    ids=lambda change: "-".join(change.values()),
)
def test_what_differs_is_not_folded(change: dict[str, str]) -> None:
    folding = Folding()
    folding.add(REFUSAL, 100.0)
    assert folding.add(replace(REFUSAL, **change), 100.0) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [("192.0.2.7", "192.0.2.200"), ("2001:db8::1", "2001:db8::ffff:2"), ("unix", "unix")],
)
def test_neighbours_are_folded(one: str, other: str) -> None:
    folding = Folding()
    folding.add(replace(REFUSAL, client=one), 100.0)
    assert folding.add(replace(REFUSAL, client=other), 100.0) is None


class World:
    """A log with its task, and what it dropped."""

    def __init__(self, **options: Any) -> None:
        self.dropped = 0
        self.owner = TaskOwner()
        self.writer = DatabaseThread("test-writer")
        folding = Folding(**options)
        self.log = RefusalLog(self.writer, self.count, folding=folding, interval=0.01)

    def count(self, number: int) -> None:
        self.dropped += number


@asynccontextmanager
async def running(world: World) -> AsyncIterator[None]:
    world.owner.start("refusals", world.log.keep_writing)
    await asyncio.sleep(0)  # a task that has not begun has nothing to end
    try:
        yield
    finally:
        await world.owner.stop()
        await world.writer.close()


def written() -> list[AuditEntry]:
    return list(AuditEntry.objects.order_by("sequence"))


@pytest.mark.django_db(transaction=True)
async def test_an_entry_says_who_what_where_and_why() -> None:
    world = World()
    async with running(world):
        world.log.note(REFUSAL)
    [entry] = await sync_to_async(written)()
    assert (entry.action, entry.outcome, entry.actor_type) == (
        "credential.refused",
        "refused",
        "client",
    )
    assert (entry.actor, entry.object_type, entry.object_name) == ("acme", "key", "gw_abcdefghi")
    assert (entry.client_ip, entry.request_id) == ("192.0.2.7", "r-1")
    assert entry.changes == {
        "code": "revoked_api_key",
        "reason": "revoked or disabled",
        "route": "projects",
        "count": 1,
    }


@pytest.mark.django_db(transaction=True)
async def test_stopping_writes_what_is_folded() -> None:
    world = World()
    async with running(world):
        for _ in range(5):
            world.log.note(REFUSAL)
    assert [entry.changes["count"] for entry in await sync_to_async(written)()] == [1, 4]
    assert world.dropped == 0


async def test_kinds_there_is_no_room_for_are_counted_and_cost_no_memory() -> None:
    world = World(most=10)
    for number in range(1_000):
        world.log.note(replace(REFUSAL, client=f"10.0.{number % 250}.1", route=str(number)))
    assert world.dropped == 990
    await world.writer.close()


@pytest.mark.django_db(transaction=True)
async def test_while_the_database_is_away_entries_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    world, write, tries, came = World(), refusals._write, [], threading.Event()

    def failing(batch: list[Folded]) -> None:
        tries.append(batch)
        if len(tries) < 3:
            raise OperationalError("away")
        write(batch)
        came.set()

    monkeypatch.setattr(refusals, "_write", failing)
    async with running(world):
        world.log.note(REFUSAL)
        assert await asyncio.to_thread(came.wait, 10)
    assert len(await sync_to_async(written)()) == 1


async def test_what_cannot_be_written_when_it_ends_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(batch: list[Folded]) -> None:
        raise OperationalError("away")

    world = World()
    monkeypatch.setattr(refusals, "_write", failing)
    async with running(world):
        for _ in range(5):
            world.log.note(REFUSAL)
    assert world.dropped == 5


@pytest.mark.django_db(transaction=True)
async def test_an_end_in_the_middle_of_a_write_writes_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on, write = threading.Event(), threading.Event(), refusals._write

    def slow(batch: list[Folded]) -> None:
        begun.set()
        go_on.wait(10)
        write(batch)

    world = World()
    monkeypatch.setattr(refusals, "_write", slow)
    world.owner.start("refusals", world.log.keep_writing)
    world.log.note(REFUSAL)
    await asyncio.to_thread(begun.wait, 10)
    stopping = asyncio.ensure_future(world.owner.stop())
    await asyncio.sleep(0)
    go_on.set()
    await stopping
    await world.writer.close()
    assert len(await sync_to_async(written)()) == 1
