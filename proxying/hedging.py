"""Two attempts at once: the second begins when the first is slow, and the better answer stands.

Source: "The Tail at Scale" (Dean and Barroso 2013). Whoever loses is cancelled and gives back what
it holds. Leans on asyncio alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from proxying.attempt import Attempt


async def race(
    first: Attempt,
    send: Callable[[Attempt], Coroutine[Any, Any, None]],
    another: Callable[[], Attempt | None],
    after: float,
) -> Attempt:
    """*first*, or the attempt that *another* began *after* seconds without an answer.

    The first one with an answer worth no retry wins; when there is none, the one that ended last.
    """
    running = {asyncio.create_task(send(first)): first}
    winner: Attempt | None = None
    try:
        done, _ = await asyncio.wait(running, timeout=after)
        if not done and (second := another()) is not None:
            running[asyncio.create_task(send(second))] = second
        while winner is None:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            winner = _winner(running, done)
    finally:
        try:
            await _end(running)
        except BaseException:
            if winner is not None:
                winner.close()  # cancelled: nobody is left to take it
            raise
    return winner


def _winner(
    running: dict[asyncio.Task[None], Attempt], done: set[asyncio.Task[None]]
) -> Attempt | None:
    for task in done:
        task.result()
        attempt = running.pop(task)
        if not running or (attempt.answer is not None and attempt.cause is None):
            return attempt
        attempt.close()
    return None


async def _end(running: dict[asyncio.Task[None], Attempt]) -> None:
    for task in running:
        task.cancel()
    try:
        await asyncio.gather(*running, return_exceptions=True)
    finally:
        for attempt in running.values():
            attempt.close()
