"""Where Redis is, by the settings: the mapping ``runtime.redis`` reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from gateway_project.env import Settings


def redis_place(settings: Settings) -> dict[str, Any]:
    """The fields of ``runtime.redis_place.Place``; without a URL or nodes there is no Redis."""
    if settings.redis_cluster_enabled:
        return {
            "cluster_nodes": tuple(settings.redis_cluster_nodes),
            "password": settings.redis_cluster_password,
            "timeout": settings.redis_cluster_socket_timeout,
            "max_connections": settings.redis_cluster_max_connections,
            "prefix": settings.redis_prefix,
        }
    return {
        "url": settings.redis_url or _url(settings),
        "timeout": settings.redis_timeout,
        "max_connections": settings.redis_max_connections,
        "prefix": settings.redis_prefix,
    }


def _url(settings: Settings) -> str:
    if not settings.redis_host:
        return ""
    password = f":{quote(settings.redis_password, safe='')}@" if settings.redis_password else ""
    return f"redis://{password}{settings.redis_host}:{settings.redis_port}/{settings.redis_db}"
