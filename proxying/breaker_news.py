"""Breakers' changes of state told from worker to worker over Redis, the moment they happen.

The message carries what was seen, so it needs no database; it is put by the same rule as what is
read there: of two reports the later one counts. A lost message costs time: the database is read
anyway. An empty message says that an operator gave an order, which is to be read. Leans on
``runtime.notify``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import msgspec
from redis.exceptions import RedisError

from proxying.breaker import State
from proxying.breakers import Key, Transition
from proxying.orders import TOPIC
from proxying.sharing import BreakerSharing, Seen
from runtime import redis
from runtime.notify import listen
from runtime.redis_place import channel

logger = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.05
"""Between two messages of a worker: what changes meanwhile goes together."""

Publish = Callable[[str, bytes], None]


class BreakerNews:
    """One worker's part, called *node*: tells what it sees, and takes over what it hears."""

    def __init__(
        self, node: str, sharing: BreakerSharing, publish: Publish = redis.publish
    ) -> None:
        self._node = node
        self._sharing = sharing
        self._publish = publish
        self._untold: dict[Key, Seen] = {}
        self._news = asyncio.Event()

    def __call__(self, transition: Transition, moment: datetime) -> None:
        """Note a change that this worker saw itself. Who is half open is of no use to others."""
        if transition.after is State.HALF_OPEN:
            return
        key = (transition.service, transition.instance)
        self._untold[key] = Seen(key, self._node, transition.after, moment)
        self._news.set()

    async def keep_telling(self) -> None:
        """Tell the others until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._tell()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def keep_listening(self) -> None:
        """Take over what the others tell until cancelled."""
        await listen([TOPIC], self.hear)

    def hear(self, message: bytes) -> None:
        """Take over what is in *message*."""
        if not message:
            self._sharing.wake()
            return
        try:
            seen = msgspec.json.decode(message, type=list[Seen])
        except msgspec.MsgspecError as error:
            logger.warning("a message about breakers cannot be read: %s", error)
            return
        self._sharing.follow(one for one in seen if one.node != self._node)

    async def _tell(self) -> None:
        untold, self._untold = self._untold, {}
        message = msgspec.json.encode(list(untold.values()))
        try:
            await asyncio.to_thread(self._publish, channel(TOPIC), message)
        except (RedisError, OSError) as error:
            logger.warning("breakers are told to other workers through the database: %s", error)
