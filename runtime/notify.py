"""Telling processes that something changed, and noticing it without being told.

A *topic* is a name (``revision``) with a version that can be read from the database. Whoever
changes it calls :func:`announce`; a :class:`Watcher` reads the versions of its topics every few
seconds anyway and calls back when one is new, so a lost notification costs time, not truth.
An announcement only wakes the watcher: at once within the process, over Redis where it is
configured. Many announcements while it works are one wake-up. Leans on runtime.database,
runtime.tasks and runtime.redis.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from runtime.database import DatabaseThread
from runtime.redis_place import channel, configured
from runtime.tasks import Pauses, TaskOwner, repeat

logger = logging.getLogger(__name__)

VersionT = TypeVar("VersionT", bound=Hashable)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0

_awake: set[Watcher] = set()
_lock = threading.Lock()


def announce(topic: str) -> None:
    """Wake every watcher of *topic*, here and, through Redis, on every node. Never raises.

    Synchronous, for the control plane; takes a fraction of a second when Redis hangs.
    """
    with _lock:
        here = tuple(_awake)
    for watcher in here:
        watcher.wake(topic)
    if configured():
        _tell_others(topic)


def _tell_others(topic: str) -> None:
    # Here, not above: where there is no Redis, its library is 6 MB of each process.
    from redis.exceptions import RedisError

    from runtime import redis as stores

    try:
        stores.publish(channel(topic), b"")
    except (RedisError, OSError):
        logger.exception("could not announce %s over Redis; it is left to polling", topic)


async def listen(
    topics: Sequence[str],
    heard: Callable[[bytes], None],
    failed: Callable[[], None] = lambda: None,
) -> None:
    """Call *heard* with every message about *topics* over Redis, until cancelled.

    A subscription that breaks is made anew, *failed* being told; what was said meanwhile is lost.
    """
    from redis.exceptions import RedisError

    from runtime import redis as stores

    channels = [channel(name) for name in topics]
    pauses = Pauses(_FIRST_PAUSE, _LONGEST_PAUSE)
    while True:
        try:
            async with aclosing(stores.messages(channels)) as messages:
                async for message in messages:
                    heard(message)
        except (RedisError, OSError) as error:
            failed()
            logger.warning("no notifications from Redis (%s); polling goes on", error)
        await asyncio.sleep(pauses.next())


@dataclass(slots=True)
class _Topic(Generic[VersionT]):
    name: str
    read: Callable[[], VersionT]
    changed: Callable[[VersionT], Awaitable[None]]
    seen: VersionT | None = None
    refused: VersionT | None = None
    """The version that could not be taken over last."""
    healthy: bool | None = None
    """Whether the last read succeeded; ``None`` before the first."""


class Watcher:
    """Calls back on the loop when a topic's version is another one than last time.

    ``failures`` counts reads and callbacks that failed; a failed one is tried again at the next
    look. ``healthy`` is false until a topic was read, and while the last read of one failed.
    """

    def __init__(self, database: DatabaseThread, interval: float) -> None:
        self.failures = 0
        self._database = database
        self._interval = interval
        self._topics: dict[str, _Topic[Any]] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def watch(
        self,
        topic: str,
        read: Callable[[], VersionT],
        changed: Callable[[VersionT], Awaitable[None]],
        seen: VersionT | None = None,
        *,
        read_already: bool = False,
    ) -> None:
        """Await ``changed(version)`` whenever ``read()`` returns another version than *seen*.

        *read* runs in the database thread; with *read_already* it just succeeded for the caller.
        To be called before :meth:`start`.
        """
        self._topics[topic] = _Topic(
            topic, read, changed, seen, healthy=True if read_already else None
        )

    def start(self, owner: TaskOwner) -> None:
        """Begin to watch, as tasks of *owner*."""
        self._loop = asyncio.get_running_loop()
        owner.start("watcher", self._poll)
        if configured():
            owner.start("watcher subscription", self._subscribe)

    @property
    def healthy(self) -> bool:
        """Whether the last read of every topic that was read succeeded, and there was one."""
        verdicts = {topic.healthy for topic in self._topics.values()}
        return True in verdicts and False not in verdicts

    def wake(self, topic: str) -> None:
        """Look soon, if *topic* is watched. May be called from any thread."""
        if topic in self._topics and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def check(self) -> None:
        """Look at every topic once."""
        for topic in self._topics.values():
            await self._look(topic)

    async def _look(self, topic: _Topic[Any]) -> None:
        try:
            version = await self._database.run(topic.read)
        except Exception as error:
            self.failures += 1
            if topic.healthy or self.failures == 1:
                logger.exception("cannot read the version of %s", topic.name)
            else:
                logger.debug("still cannot read the version of %s: %s", topic.name, error)
            topic.healthy = False
            return
        topic.healthy = True
        if version == topic.seen:
            return
        try:
            await topic.changed(version)
        except Exception as error:
            self.failures += 1
            if topic.refused != version:
                logger.exception("%s changed, but the change was not taken over", topic.name)
            else:
                logger.debug("the change of %s is still not taken over: %s", topic.name, error)
            topic.refused = version
        else:
            topic.seen, topic.refused = version, None

    async def _poll(self) -> None:
        with _lock:
            _awake.add(self)
        try:
            await repeat(self._interval, self.check, wake=self._wake)
        finally:
            with _lock:
                _awake.discard(self)

    async def _subscribe(self) -> None:
        def failed() -> None:
            self.failures += 1

        await listen(tuple(self._topics), lambda _: self._wake.set(), failed)
