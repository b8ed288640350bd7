"""Parts of a route's configuration that apps above keep in rows of their own.

Routing publishes whole routes, yet rate limits are rows of ``quotas``, a floor above. An app
registers a :class:`RouteSection` when it is ready; compiling reads it, ``apply`` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from routing.models import Route


@dataclass(frozen=True, slots=True)
class RouteSection:
    """One field of the document's routes.

    ``key`` is the field's name in ``RouteSpec``; it holds a tuple of specs.
    ``read(route_ids, using)`` gives the specs by route id, in order, unchecked, without the
    routes that have none; ``None`` asks for every route. ``write(route, specs)`` replaces what
    the rows hold.
    """

    key: str
    read: Callable[[Collection[int] | None, str], Mapping[int, tuple[Any, ...]]]
    write: Callable[[Route, tuple[Any, ...]], None]


_sections: dict[str, RouteSection] = {}


def register(section: RouteSection) -> None:
    """Make *section* part of every route."""
    _sections[section.key] = section


def registered() -> tuple[RouteSection, ...]:
    """Every section, in the order of registration."""
    return tuple(_sections.values())
