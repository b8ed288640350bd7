"""A command reaches Redis once, a slow Redis is given up soon, and announcements arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from pytest_django import Settings
from redis.exceptions import RedisError

from runtime import redis as stores
from runtime.redis_place import Place, channel, configured
from tests.servers import Server


class SilentServer:
    """Accepts, keeps what it was sent, never answers."""

    def __init__(self) -> None:
        self.received = b""
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        while piece := await reader.read(4096):
            self.received += piece


@pytest.fixture
async def silent() -> AsyncIterator[tuple[SilentServer, str]]:
    behaviour = SilentServer()
    server = await asyncio.start_server(behaviour.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield behaviour, f"redis://{host}:{port}"
    server.close()
    for writer in behaviour.writers:
        writer.close()


async def test_a_stalled_server_receives_a_command_at_most_once(
    silent: tuple[SilentServer, str],
) -> None:
    server, url = silent
    client = stores.connect(url, timeout=0.05)
    with pytest.raises(RedisError):
        await client.incr("counter")
    await client.aclose()
    assert len(server.writers) == 1
    assert server.received.count(b"INCR") <= 1


async def test_a_stalled_server_ends_a_subscription(
    silent: tuple[SilentServer, str], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_SUBSCRIBE_SECONDS", 0.1)
    settings.REDIS = {"url": silent[1]}
    async with asyncio.timeout(5):
        with pytest.raises(TimeoutError):
            await anext(stores.messages(["topic"]))


@pytest.mark.services
async def test_more_callers_than_connections_wait_for_their_turn(redis_server: Server) -> None:
    client = stores.connect(redis_server.url, timeout=5, max_connections=2)
    replies = await asyncio.gather(*(client.get("absent") for _ in range(50)))
    await client.aclose()
    assert len(replies) == 50


@pytest.mark.services
async def test_what_is_published_is_received(redis_server: Server, settings: Settings) -> None:
    settings.REDIS = {"url": redis_server.url, "prefix": "here:", "timeout": 5}
    name = channel("revision")
    received = stores.messages([name])
    first = asyncio.ensure_future(anext(received))
    while not first.done():
        stores.publish(name, b"7")
        await asyncio.sleep(0.01)
    assert (name, await first) == ("here:revision", b"7")
    await received.aclose()


def test_without_redis_nothing_is_published(settings: Settings) -> None:
    settings.REDIS = {}
    assert not configured()
    stores.publish("revision", b"7")


def test_passwords_are_not_shown() -> None:
    place = Place(url="redis://:secret@host", password="secret")
    assert "secret" not in repr(place)
