"""Background work is repeated as often as it is told to, however long it takes."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from statistics import median

import pytest

from runtime import tasks
from runtime.tasks import TaskOwner, repeat

INTERVAL = 0.05


async def rhythm(takes: float, *, steady: bool) -> float:
    """The usual time from one beginning to the next, in seconds."""
    begun: list[float] = []
    loop = asyncio.get_running_loop()

    async def work() -> None:
        begun.append(loop.time())
        if len(begun) == 8:
            raise StopAsyncIteration
        await asyncio.sleep(takes)

    with pytest.raises(StopAsyncIteration):
        await repeat(INTERVAL, work, steady=steady)
    return median(later - earlier for earlier, later in pairwise(begun))


async def test_the_interval_is_a_pause() -> None:
    assert await rhythm(INTERVAL, steady=False) >= 2 * INTERVAL


async def test_steady_work_begins_once_an_interval() -> None:
    assert INTERVAL <= await rhythm(INTERVAL * 0.8, steady=True) < 1.8 * INTERVAL


async def test_steady_work_that_takes_longer_begins_again_at_once() -> None:
    assert await rhythm(INTERVAL * 2, steady=True) < 3 * INTERVAL


async def test_work_that_ran_for_long_begins_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(tasks, "_LONGEST_PAUSE", 0.1)
    begun: list[float] = []
    ended: list[float] = []
    loop, enough = asyncio.get_running_loop(), asyncio.Event()

    async def work() -> None:
        begun.append(loop.time())
        if len(begun) == 12:
            enough.set()
        await asyncio.sleep(0.15 if len(begun) > 9 else 0)
        ended.append(loop.time())
        raise ValueError

    owner = TaskOwner()
    owner.start("work", work)
    await enough.wait()
    await owner.stop()
    pauses = [begin - end for begin, end in zip(begun[1:], ended, strict=False)]
    assert pauses[8] > 0.1
    assert max(pauses[9:]) < 0.1
