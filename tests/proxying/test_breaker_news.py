"""Workers tell each other over Redis what their breakers do, the moment it happens."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from pytest_django import Settings
from redis.asyncio import Redis

from proxying.breaker import State
from proxying.breaker_news import BreakerNews
from proxying.breakers import Transition
from proxying.models import BreakerOverride
from proxying.orders import TOPIC
from routing.models import Service, ServiceInstance
from runtime import redis as stores
from runtime.database import DatabaseThread
from runtime.redis_place import channel
from runtime.tasks import TaskOwner
from tests.faults.waiting import eventually
from tests.proxying.test_sharing import KEY, Worker
from tests.servers import Server

pytestmark = pytest.mark.services


@pytest.fixture
async def pair(redis_server: Server, settings: Settings) -> AsyncIterator[tuple[Worker, Worker]]:
    """Two workers that share nothing but Redis."""
    settings.REDIS = {"url": redis_server.url, "prefix": f"{uuid.uuid4()}:", "timeout": 2.0}
    database, owner = DatabaseThread("test"), TaskOwner()
    workers = Worker("here/1", database), Worker("there/2", database)
    for worker in workers:
        news = BreakerNews(worker.name, worker.sharing)
        worker.reporter.heard = news
        owner.start(f"tell {worker.name}", news.keep_telling)
        owner.start(f"listen {worker.name}", news.keep_listening)
    await asyncio.to_thread(eventually, lambda: _listeners() == len(workers), seconds=10)
    yield workers
    await owner.stop()
    await database.close()


async def _until(worker: Worker, state: State) -> None:
    await asyncio.to_thread(eventually, lambda: worker.state() is state, seconds=10)


def _listeners() -> int:
    with stores.blocking_client() as client:
        return int(client.pubsub_numsub(channel(TOPIC))[0][1])


async def test_a_breaker_opens_in_every_worker_without_a_look_at_the_database(
    pair: tuple[Worker, Worker],
) -> None:
    one, other = pair
    one.fail()
    await _until(other, State.OPEN)
    assert other.reporter.changed_at(*KEY) == one.reporter.changed_at(*KEY)
    one.breaker.reset("test")
    await _until(other, State.CLOSED)


async def test_what_cannot_be_read_changes_nothing(pair: tuple[Worker, Worker]) -> None:
    one, _ = pair
    news = BreakerNews("here/1", one.sharing)
    news.hear(b"{not json")
    news.hear(b'[{"key": "x"}]')
    assert one.state() is State.CLOSED


async def test_a_redis_that_is_away_is_left_to_the_database(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS = {"url": "redis://127.0.0.1:1/0"}
    database = DatabaseThread("test")
    news = BreakerNews("here/1", Worker("here/1", database).sharing)
    news(Transition(*KEY, State.CLOSED, State.OPEN), datetime.now(UTC))
    await news._tell()
    assert "through the database" in caplog.text
    await database.close()


@pytest.mark.django_db(transaction=True)
async def test_an_order_is_announced_once_it_is_committed(
    redis_server: Server, settings: Settings
) -> None:
    settings.REDIS = {"url": redis_server.url, "prefix": f"{uuid.uuid4()}:", "timeout": 2.0}
    service = await Service.objects.acreate(name=KEY[0])
    await ServiceInstance.objects.acreate(service=service, url=KEY[1])
    order = BreakerOverride(service=KEY[0], instance=KEY[1])
    async with Redis.from_url(redis_server.url) as client, client.pubsub() as heard:
        await heard.subscribe(channel(TOPIC))
        await heard.get_message(timeout=5)
        for give in (partial(order.order, "open"), order.delete):
            await sync_to_async(give)()
            message = await heard.get_message(timeout=5)
            assert (message["type"], message["data"]) == ("message", b"")
