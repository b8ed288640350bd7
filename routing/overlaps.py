"""Routes that no request reaches, because another one takes all of theirs first. Pure.

Two routes alike but for their names are no fault: the order of choice ends with the name (CONTRACT
§3). Yet whoever writes the second one should know. Looked for are routes of the same path, where
one has every method of the other at each of its hosts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from routing.document import RouteSpec
from routing.matching import accepted_methods, host_key

_PARAMETER = re.compile(r"\{\w+(:path)?\}")


@dataclass(frozen=True, slots=True)
class Overlap:
    """*route* is never reached: *winner* comes first *by* its priority or its name."""

    route: str
    winner: str
    by: str

    def __str__(self) -> str:
        return (
            f"is never reached: {self.winner} takes the same requests and comes first by {self.by}"
        )


def unreachable(routes: Iterable[RouteSpec]) -> Iterator[Overlap]:
    """Every enabled route that another one leaves nothing to, in the order they are chosen in."""
    taken: dict[tuple[str, bool, str], dict[frozenset[str], RouteSpec]] = {}
    enabled = (route for route in routes if route.enabled)
    for route in sorted(enabled, key=lambda one: (-one.priority, one.name)):
        methods = accepted_methods(route.methods)
        winners = []
        for place in _places(route):
            earlier = taken.setdefault(place, {})
            winners.append(_covering(earlier, methods))
            earlier.setdefault(methods, route)
        winner = winners[0]
        if winner is not None and None not in winners:
            by = "priority" if winner.priority > route.priority else "name"
            yield Overlap(route.name, winner.name, by)


def _places(route: RouteSpec) -> list[tuple[str, bool, str]]:
    """Where it is looked for: the path without the names of its parameters, at each host."""
    shape = _PARAMETER.sub(lambda found: "{:path}" if found[1] else "{}", route.path)
    hosts = dict.fromkeys(map(host_key, route.hosts)) or [""]
    return [(shape, route.merge_slashes, host) for host in hosts]


def _covering(
    earlier: dict[frozenset[str], RouteSpec], methods: frozenset[str]
) -> RouteSpec | None:
    """The first of *earlier* that takes every one of *methods*; no methods are all of them."""
    for others, route in earlier.items():
        if not others or (methods and methods <= others):
            return route
    return None
