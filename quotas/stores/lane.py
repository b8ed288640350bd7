"""Micro-batching: what arrives while a round trip is under way leaves together in the next.

A lane leads to one server and has one round trip under way at a time. Leans on asyncio alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class Lane(Generic[ItemT]):
    """Hands what was put in to *send*, at most *max_batch* at a time, in order.

    *send* answers its items whatever happens and does not raise. *give_up* gets those that are
    still waiting when the lane ends.
    """

    def __init__(
        self,
        send: Callable[[list[ItemT]], Awaitable[None]],
        give_up: Callable[[list[ItemT]], None],
        max_batch: int,
    ) -> None:
        self._send = send
        self._give_up = give_up
        self._max_batch = max_batch
        self._waiting: deque[ItemT] = deque()
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """How many wait for the next round trip."""
        return len(self._waiting)

    def put(self, item: ItemT) -> None:
        """Let *item* leave with the next round trip."""
        self._waiting.append(item)
        self._wake.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._waiting:
                    await self._send(self._next_batch())
        finally:
            self._give_up(list(self._waiting))
            self._waiting.clear()

    def _next_batch(self) -> list[ItemT]:
        size = min(len(self._waiting), self._max_batch)
        return [self._waiting.popleft() for _ in range(size)]
