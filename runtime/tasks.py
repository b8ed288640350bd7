"""Background work with an owner.

Every task is started through a :class:`TaskOwner`, which restarts it when it fails, counts the
failures, and awaits it on stop. Nothing in the product calls ``asyncio.create_task`` and forgets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0


class Pauses:
    """How long to wait before the next try: twice as long each time, up to *longest* seconds.

    After a try that lasted longer than *longest* it begins with *first* again.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._next = first
        self._began = asyncio.get_running_loop().time()

    def next(self) -> float:
        """Seconds to wait after the try that has just failed; the next one begins then."""
        now = asyncio.get_running_loop().time()
        if now - self._began > self._longest:
            self._next = self._first
        pause, self._next = self._next, min(self._next * 2, self._longest)
        self._began = now + pause
        return pause


class TaskOwner:
    """Owns a node's long-lived tasks; :meth:`stop` ends and awaits every one of them."""

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failures: dict[str, int] = {}

    def start(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run *work* until :meth:`stop`; when it raises, log, count and start it again."""
        if name in self._tasks:
            raise ValueError(f"a task named {name!r} is already running")
        self.failures[name] = 0
        self._tasks[name] = asyncio.create_task(self._keep_running(name, work), name=name)

    async def _keep_running(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        pauses = Pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                await work()
            except Exception:
                self.failures[name] += 1
                pause = pauses.next()
                logger.exception("background task %s failed; again in %.1f s", name, pause)
                await asyncio.sleep(pause)
            else:
                return

    async def stop(self) -> None:
        """Cancel every task and wait until each has ended (its ``finally`` blocks included)."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def repeat(
    interval: float,
    work: Callable[[], Awaitable[None]],
    *,
    wake: asyncio.Event | None = None,
    steady: bool = False,
) -> None:
    """Await *work* every *interval* seconds, sooner when *wake* is set.

    The seconds are from an end to the next beginning; with *steady* from beginning to beginning,
    so that work which takes long is begun again at once.
    """
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        await work()
        pause = max(0.0, began + interval - loop.time()) if steady else interval
        if wake is None:
            await asyncio.sleep(pause)
            continue
        try:
            async with asyncio.timeout(pause):
                await wake.wait()
        except TimeoutError:
            pass
        wake.clear()
