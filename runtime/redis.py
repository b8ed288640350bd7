"""Clients of Redis with the right defaults, and announcements over its channels.

redis-py's own defaults are wrong on a request path: a pool that raises when it is empty, ten
retries of a command that may have run, timeouts of seconds. Here a command is sent once and given
up after a fraction of a second; what that means is the caller's to say. Leans on redis-py, which a
process without a Redis need not load: where Redis is, if anywhere, :mod:`runtime.redis_place` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import lru_cache
from random import choice
from typing import Any
from urllib.parse import quote

import redis
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode as BlockingNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry as SyncRetry

from runtime.redis_place import DEFAULT_TIMEOUT, MOST_CONNECTIONS, Place, configured, place

Client = Redis | RedisCluster
BlockingClient = redis.Redis | redis.RedisCluster
"""For the control plane, whose threads may wait."""
_blocking_node: Callable[[str, int], BlockingNode] = BlockingNode
"""The class as its caller sees it: redis-py leaves its parameters without types."""

FAILURES = (RedisError, RedisClusterException, OSError, RuntimeError)
"""What a command of an asynchronous client raises when Redis is away. uvloop says ``RuntimeError``
of a connection that is lost in the moment in which it is opened."""

_SILENCE = 30.0
"""Seconds without a message after which a subscription asks whether Redis is still there."""
_SUBSCRIBE_SECONDS = 5.0


def connect(
    url: str, *, timeout: float = DEFAULT_TIMEOUT, max_connections: int = MOST_CONNECTIONS
) -> Redis:
    """A client of the Redis at *url*. Connects when first used; ``aclose()`` it.

    A command is sent at most once. Waiting for a connection, connecting and waiting for the reply
    may each take *timeout* seconds. Replies are bytes.
    """
    pool = BlockingConnectionPool.from_url(
        url, timeout=timeout, max_connections=max_connections, **_options(timeout)
    )
    return Redis.from_pool(pool)


def connect_cluster(
    nodes: Sequence[str],
    *,
    password: str = "",
    timeout: float = DEFAULT_TIMEOUT,
    max_connections: int = MOST_CONNECTIONS,
) -> RedisCluster:
    """A client of the Redis Cluster that *nodes* (``host:port``) belong to; ``initialize()`` it at
    start, so that no request waits for the map of its slots.
    """
    return RedisCluster(
        startup_nodes=[ClusterNode(*_host_and_port(node)) for node in nodes],
        password=password or None,
        max_connections=max_connections,
        **_options(timeout),
    )


def client(here: Place | None = None) -> Client:
    """A client of the configured Redis; see :func:`connect` and :func:`connect_cluster`."""
    here = here or place()
    if here.cluster_nodes:
        return connect_cluster(
            here.cluster_nodes,
            password=here.password,
            timeout=here.timeout,
            max_connections=here.max_connections,
        )
    return connect(here.url, timeout=here.timeout, max_connections=here.max_connections)


def blocking_client(here: Place | None = None) -> BlockingClient:
    """A client of the configured Redis for threads, by the same rules; connects when first used."""
    here = here or place()
    options = _options(here.timeout) | {"retry": SyncRetry(NoBackoff(), 0)}
    if here.cluster_nodes:
        nodes = [_blocking_node(*_host_and_port(node)) for node in here.cluster_nodes]
        return redis.RedisCluster(startup_nodes=nodes, password=here.password or None, **options)
    return redis.Redis.from_url(here.url, **options)


def publish(name: str, message: bytes) -> None:
    """Publish on the channel *name*; does nothing without a Redis. Raises ``RedisError``, OSError.

    Synchronous, for the control plane.
    """
    if configured():
        _publisher(_any_url(place()), place().timeout).publish(name, message)


async def messages(names: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """The messages on the channels *names*, from now on. Raises ``RedisError``, OSError.

    A subscription that Redis is silent on is pinged, so a dead connection does not stay unnoticed.
    """
    here = place()
    options = _options(here.timeout) | {"socket_timeout": None}
    subscriber = Redis.from_url(_any_url(here), **options)
    async with subscriber, subscriber.pubsub() as pubsub:
        async with asyncio.timeout(_SUBSCRIBE_SECONDS):
            await pubsub.subscribe(*names)
        asked = False
        while True:
            message = await pubsub.get_message(timeout=_SILENCE)
            if message is None:
                if asked:
                    raise RedisConnectionError("Redis does not answer on the subscription")
                await pubsub.ping()
            elif message["type"] == "message":
                yield message["data"]
            asked = message is None


def _options(timeout: float) -> dict[str, Any]:
    # RESP2: nothing here needs pushed messages, and older servers and proxies speak it.
    return {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "socket_keepalive": True,
        "protocol": 2,
    }


@lru_cache(maxsize=4)
def _publisher(url: str, timeout: float) -> redis.Redis:
    return redis.Redis.from_url(url, **_options(timeout) | {"retry": SyncRetry(NoBackoff(), 0)})


def _any_url(here: Place) -> str:
    """The URL, or that of any node: a cluster carries plain channels to every node."""
    if not here.cluster_nodes:
        return here.url
    password = f":{quote(here.password, safe='')}@" if here.password else ""
    return f"redis://{password}{choice(here.cluster_nodes)}"


def _host_and_port(node: str) -> tuple[str, int]:
    host, _, port = node.rpartition(":")
    return host.strip("[]"), int(port)
