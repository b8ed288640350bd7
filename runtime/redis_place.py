"""Where Redis is, and whether there is one, by Django's setting ``REDIS``."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.conf import settings

DEFAULT_TIMEOUT = 0.1
MOST_CONNECTIONS = 50


@dataclass(frozen=True, slots=True)
class Place:
    """Where Redis is: a URL, or the ``host:port`` nodes of a Redis Cluster. Times in seconds.

    ``prefix`` begins every key and channel.
    """

    url: str = field(default="", repr=False)
    cluster_nodes: tuple[str, ...] = ()
    password: str = field(default="", repr=False)
    """Of the cluster; a URL carries its own."""
    timeout: float = DEFAULT_TIMEOUT
    max_connections: int = MOST_CONNECTIONS
    prefix: str = "gateway:"


def place() -> Place:
    """Where the settings say Redis is: ``REDIS``, a mapping of the fields of :class:`Place`."""
    return Place(**getattr(settings, "REDIS", None) or {})


def configured() -> bool:
    """Whether there is a Redis at all."""
    here = place()
    return bool(here.url or here.cluster_nodes)


def channel(topic: str) -> str:
    """The channel that *topic* is announced on."""
    return f"{place().prefix}{topic}"
