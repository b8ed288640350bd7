"""Where Redis is, by the settings: the mapping ``runtime.redis`` reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gateway_project.env import Settings


def redis_place(settings: Settings) -> dict[str, Any]:
    """The fields of ``runtime.redis.Place``; without a URL or nodes there is no Redis."""
    clustered = settings.redis_cluster_enabled
    return {
        "url": "" if clustered else settings.redis_url or _url(settings),
        "cluster_nodes": tuple(settings.redis_cluster_nodes) if clustered else (),
        "password": settings.redis_cluster_password if clustered else "",
        "timeout": settings.redis_wait,
        "max_connections": settings.redis_cluster_max_connections
        if clustered
        else settings.redis_max_connections,
        "prefix": settings.redis_prefix,
    }


def _url(settings: Settings) -> str:
    if not settings.redis_host:
        return ""
    password = f":{quote(settings.redis_password, safe='')}@" if settings.redis_password else ""
    return f"redis://{password}{settings.redis_host}:{settings.redis_port}/{settings.redis_db}"
