"""Names are looked up without holding up other names."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from proxying.wire.resolve import look_up


class Resolver:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = asyncio.Event()
        self.error: OSError | None = None

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        await self.answers.wait()
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


@pytest.fixture
async def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(type(loop), "getaddrinfo", staticmethod(resolver.getaddrinfo))
    return resolver


async def test_a_name_that_is_not_answered_is_asked_for_once(resolver: Resolver) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await look_up("slow.example", 80, None)
    waiting = [asyncio.ensure_future(look_up("slow.example", 80, None)) for _ in range(3)]
    await asyncio.sleep(0)
    resolver.answers.set()
    found = await asyncio.gather(*waiting)
    assert found == [[(socket.AF_INET, ("192.0.2.1", 80))]] * 3
    assert resolver.asked == ["slow.example"]
    await look_up("slow.example", 80, None)
    assert resolver.asked == ["slow.example"] * 2


async def test_everybody_who_waits_for_a_name_hears_that_it_failed(resolver: Resolver) -> None:
    resolver.error = OSError("no such name")
    waiting = [asyncio.ensure_future(look_up("gone.example", 80, None)) for _ in range(2)]
    await asyncio.sleep(0)
    resolver.answers.set()
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(error) for error in errors] == ["no such name"] * 2
