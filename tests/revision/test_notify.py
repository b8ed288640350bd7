"""A watcher notices every change: at once when it is told, by itself when it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pytest_django import Settings
from redis.asyncio import Redis

from runtime.database import DatabaseThread
from runtime.notify import Watcher, announce
from runtime.redis_place import channel
from runtime.tasks import TaskOwner
from tests.servers import Server

NEVER = 600.0
SOON = 0.01


class Source:
    """A version that tests move, and a record of what the watcher made of it."""

    def __init__(self) -> None:
        self.version = 1
        self.broken = False
        self.reads = 0
        self.taken: list[int] = []
        self.news = asyncio.Condition()
        self.hold = asyncio.Event()
        self.hold.set()

    def read(self) -> int:
        self.reads += 1
        if self.broken:
            raise OSError("the database is away")
        return self.version

    async def changed(self, version: int) -> None:
        await self.hold.wait()
        async with self.news:
            self.taken.append(version)
            self.news.notify_all()

    async def until(self, *versions: int) -> None:
        async with asyncio.timeout(10), self.news:
            await self.news.wait_for(lambda: self.taken == list(versions))


World = tuple[Source, DatabaseThread, TaskOwner]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    database, owner = DatabaseThread("test"), TaskOwner()
    yield Source(), database, owner
    await owner.stop()
    await database.close()


def watch(world: World, interval: float) -> Watcher:
    source, database, owner = world
    watcher = Watcher(database, interval)
    watcher.watch("topic", source.read, source.changed)
    watcher.start(owner)
    return watcher


async def test_the_first_version_is_news_and_the_same_again_is_not(world: World) -> None:
    source = world[0]
    watcher = watch(world, NEVER)
    await source.until(1)
    await watcher.check()
    assert source.taken == [1]


async def test_a_version_already_served_is_no_news(world: World) -> None:
    source, database, _ = world
    watcher = Watcher(database, NEVER)
    watcher.watch("topic", source.read, source.changed, seen=1)
    await watcher.check()
    assert source.taken == []


async def test_an_announcement_from_any_thread_wakes_it(world: World) -> None:
    source = world[0]
    watch(world, NEVER)
    await source.until(1)
    source.version = 2
    await asyncio.to_thread(announce, "topic")
    await source.until(1, 2)


async def test_what_nobody_announced_is_found_by_polling(world: World) -> None:
    source = world[0]
    watch(world, SOON)
    await source.until(1)
    source.version = 2
    await source.until(1, 2)


async def test_a_storm_of_announcements_is_taken_over_once(world: World) -> None:
    source = world[0]
    source.hold.clear()
    watcher = watch(world, NEVER)
    for version in range(2, 102):
        source.version = version
        announce("topic")
    source.hold.set()
    async with asyncio.timeout(10), source.news:
        await source.news.wait_for(lambda: source.taken[-1:] == [101])
    assert len(source.taken) <= 2
    assert watcher.failures == 0


async def test_a_database_that_is_away_is_counted_and_shown_until_it_is_back(world: World) -> None:
    source, database, _ = world
    watcher = Watcher(database, NEVER)
    watcher.watch("topic", source.read, source.changed)
    source.broken = True
    await watcher.check()
    await watcher.check()
    assert (watcher.failures, watcher.healthy) == (2, False)
    source.broken = False
    await watcher.check()
    assert (source.taken, watcher.healthy) == ([1], True)


async def test_a_change_that_could_not_be_taken_over_is_tried_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    source, database, _ = world
    failures = iter([True, True, False])

    async def changed(version: int) -> None:
        if next(failures):
            raise ValueError("no")
        await source.changed(version)

    watcher = Watcher(database, NEVER)
    watcher.watch("topic", source.read, changed)
    for _ in range(3):
        await watcher.check()
    assert (source.taken, watcher.failures) == ([1], 2)
    assert [one.levelname for one in caplog.records if one.levelno > 10] == ["ERROR"]


async def test_announcing_after_the_watcher_stopped_is_harmless(world: World) -> None:
    source, _, owner = world
    watch(world, NEVER)
    await source.until(1)
    await owner.stop()
    announce("topic")


@pytest.mark.services
async def test_redis_wakes_the_watchers_of_other_nodes(
    world: World, redis_server: Server, settings: Settings
) -> None:
    source = world[0]
    settings.REDIS = {"url": redis_server.url, "prefix": "other-nodes:"}
    watch(world, NEVER)
    await source.until(1)
    async with asyncio.timeout(10), Redis.from_url(redis_server.url) as client:
        source.version = 2
        heard = 0
        while not heard:
            await asyncio.sleep(SOON)
            heard = await client.publish(channel("topic"), b"")
        await source.until(1, 2)


@pytest.mark.services
async def test_an_announcement_is_published_to_redis(
    redis_server: Server, settings: Settings
) -> None:
    settings.REDIS = {"url": redis_server.url, "prefix": "announcement:"}
    async with Redis.from_url(redis_server.url) as client, client.pubsub() as pubsub:
        await pubsub.subscribe(channel("topic"))
        await pubsub.get_message(timeout=10)
        await asyncio.to_thread(announce, "topic")
        message = await pubsub.get_message(timeout=10)
    assert message is not None
    assert message["type"] == "message"


async def test_a_redis_that_is_away_is_logged_and_nothing_more(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS = {"url": "redis://:sesame@127.0.0.1:1/0"}
    await asyncio.to_thread(announce, "topic")
    assert "left to polling" in caplog.text
    assert "sesame" not in caplog.text


async def test_polling_goes_on_without_redis(world: World, settings: Settings) -> None:
    settings.REDIS = {"url": "redis://127.0.0.1:1/0"}
    source = world[0]
    watch(world, SOON)
    await source.until(1)
    source.version = 2
    await source.until(1, 2)
