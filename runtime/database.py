"""The one way from the event loop to the ORM: a named thread, one call after the other.

Django's async ORM is a shared thread in disguise. A node owns three of these instead: one reads
(key look-ups, revision polls), one writes (records, audit, last used), one sums the records. A slow
write never holds up a look-up, nor a long summing a write. Requests never call them: owned
background tasks do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThread:
    """Runs synchronous ORM functions one after the other in a thread of its own."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Await ``function(*args)`` in the thread; its exceptions are raised here.

        A cancelled caller does not stop a call that has begun: the thread finishes it.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._executor, lambda: _with_fresh_connections(function, *args, **kwargs)
        )

    async def close(self) -> None:
        """Wait for what is queued, then close the thread's connections and end it."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, connections.close_all)
        self._executor.shutdown(wait=True)


def _with_fresh_connections(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    try:
        return function(*args, **kwargs)
    finally:
        close_old_connections()
