"""The better of two attempts stands, and the other one gives back what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import pytest

from proxying.attempt import Attempt
from proxying.exchange import Headers
from proxying.hedging import race
from proxying.upstream.base import ConnectFailed
from routing.document import RetryCause


@dataclass
class Reply:
    """An upstream's answer, as far as a race looks at it."""

    status: int = 200
    headers: Headers | None = None


class Runner:
    """What a race knows of an attempt. *ends* says how it ends, and may wait first."""

    def __init__(self, ends: Callable[[Runner], Coroutine[Any, Any, None]]) -> None:
        self.answer: Reply | None = None
        self.cause: RetryCause | None = "connect"
        self.closed = False
        self.ends = ends

    def close(self) -> None:
        self.closed = True


async def answers(runner: Runner) -> None:
    runner.answer, runner.cause = Reply(), None


async def fails(runner: Runner) -> None:
    await asyncio.sleep(0.01)


async def hangs(runner: Runner) -> None:
    await asyncio.Event().wait()


async def breaks(runner: Runner) -> None:
    raise ConnectFailed("not translated")


async def run(first: Runner, second: Runner | None) -> Runner:
    def another() -> Attempt | None:
        return cast(Attempt, second) if second is not None else None

    def send(attempt: Attempt) -> Coroutine[Any, Any, None]:
        runner = cast(Runner, attempt)
        return runner.ends(runner)

    winner = await race(cast(Attempt, first), send, another, 0.005)
    return cast(Runner, winner)


async def test_a_quick_answer_needs_no_second_attempt() -> None:
    first, second = Runner(answers), Runner(breaks)
    assert await run(first, second) is first
    assert not first.closed


async def test_the_second_one_wins_over_one_that_hangs() -> None:
    first, second = Runner(hangs), Runner(answers)
    assert await run(first, second) is second
    assert (first.closed, second.closed) == (True, False)


async def test_without_a_second_one_the_first_is_waited_for() -> None:
    first = Runner(fails)
    assert await run(first, None) is first


async def test_when_both_fail_the_last_one_stands() -> None:
    async def fails_later(runner: Runner) -> None:
        await asyncio.sleep(0.05)

    first, second = Runner(fails_later), Runner(fails)
    assert await run(first, second) is first
    assert (first.closed, second.closed) == (False, True)


async def test_a_client_that_leaves_ends_both() -> None:
    first, second = Runner(hangs), Runner(hangs)
    racing = asyncio.create_task(run(first, second))
    await asyncio.sleep(0.05)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert (first.closed, second.closed) == (True, True)


async def test_a_second_one_that_goes_wrong_gives_back_what_it_holds() -> None:
    first, second = Runner(hangs), Runner(breaks)
    with pytest.raises(ConnectFailed):
        await run(first, second)
    assert (first.closed, second.closed) == (True, True)


async def test_a_client_that_leaves_while_the_loser_ends_leaves_nothing_behind() -> None:
    ending = asyncio.Event()

    async def ends_late(runner: Runner) -> None:
        try:
            await hangs(runner)
        finally:
            ending.set()
            await hangs(runner)

    first, second = Runner(ends_late), Runner(answers)
    racing = asyncio.create_task(run(first, second))
    await ending.wait()
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert (first.closed, second.closed) == (True, True)
