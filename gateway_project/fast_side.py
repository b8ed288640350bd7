"""Whether a worker has a fast path, and what it may do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gateway_project import compiled
from runtime.redis_place import place

if TYPE_CHECKING:
    from gateway_project.env import Settings
    from proxying.fastpath.redis_gift import RedisGift


def fast_path_library(settings: Settings) -> Path | None:
    """The library of the fast path; ``None`` where it is not built or not to be used: what a
    trusted proxy says of a client has to be looked at, so behind one every request is Python's.
    """
    if settings.compiled_data_plane == "off" or settings.trusted_proxies:
        return None
    return compiled.fast_path()


def redis_gift(settings: Settings) -> RedisGift | None:
    """What gives the engine a Redis to spend from limits in; without it, Python does that."""
    if not settings.rate_limit_mysql_async:
        return None  # An answer waits until its decision is written down.
    from proxying.fastpath.redis_gift import RedisGift

    try:
        return RedisGift(place())
    except ValueError:
        return None
