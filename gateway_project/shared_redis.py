"""What a worker keeps in Redis: its client, the buckets, and whether Redis answers."""

from __future__ import annotations

import logging

from redis.asyncio import RedisCluster

from quotas.stores.redis import RedisStore
from runtime import redis
from runtime.redis_place import place
from runtime.tasks import TaskOwner, repeat

logger = logging.getLogger(__name__)

_PING_SECONDS = 1.0


class SharedRedis:
    """One worker's Redis."""

    def __init__(self) -> None:
        here = place()
        self._client = redis.client(here)
        self.buckets = RedisStore(self._client, prefix=here.prefix, timeout=here.timeout)
        self.healthy = False

    async def start(self, owner: TaskOwner) -> None:
        """Begin to answer and to watch; a Redis that is away does not hold up the start."""
        if isinstance(self._client, RedisCluster):
            try:
                await self._client.initialize()
            except redis.FAILURES as error:
                logger.warning("the Redis Cluster does not answer yet: %s", error)
        self.buckets.start(owner)
        owner.start("redis health", self._keep_pinging)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _keep_pinging(self) -> None:
        await repeat(_PING_SECONDS, self._ping)

    async def _ping(self) -> None:
        try:
            await self._client.ping()
        except redis.FAILURES as error:
            if self.healthy:
                logger.warning("Redis does not answer: %s", error)
            self.healthy = False
        else:
            if not self.healthy:
                logger.info("Redis answers")
            self.healthy = True
