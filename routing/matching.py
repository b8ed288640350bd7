"""Which route a request takes: patterns, hosts and methods over a trie.

Order (CONTRACT §3): host exact, then the longest wildcard, then none; higher priority; segment by
segment literal before ``{name}`` before ``{rest:path}``; longer; name. Pure: leans on
``routing.paths`` and ``routing.patterns``. A :class:`Router` is built once and then only read.

The work for one request is bounded by the request's segments and by the branches configured for
that very path: routes that share no prefix with it cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Generic, TypeAlias, TypeVar

from routing.paths import CanonicalPath
from routing.patterns import Kind, Pattern, PatternError, compile_pattern

T = TypeVar("T")

_LONGEST_HOST = 253

__all__ = [
    "Entry",
    "Match",
    "Pattern",
    "PatternError",
    "Result",
    "Router",
    "accepted_methods",
    "compile_pattern",
    "host_key",
]


def accepted_methods(methods: Iterable[str]) -> frozenset[str]:
    """*methods* and what follows from them: GET brings HEAD (RFC 9110 section 9.3.2)."""
    listed = frozenset(methods)
    return listed | {"HEAD"} if "GET" in listed else listed


def host_key(host: str) -> str:
    """*host* as routes compare it: lower-case, without port and trailing dot."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].removesuffix(".").lower()


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """One route for the router. No hosts: any host. No methods: any method."""

    route: T
    name: str
    pattern: Pattern
    hosts: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    priority: int = 0
    merge_slashes: bool = True


class Result(Enum):
    """NONE: no such path. PARTIAL: the path exists, with other methods. FULL: a route."""

    NONE = "none"
    PARTIAL = "partial"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """The answer. PARTIAL carries the best route by path and, in ``allow``, every method that
    some route accepts at this host and path, sorted. ``keeps_slashes`` is the route's."""

    result: Result
    route: T | None = None
    allow: tuple[str, ...] = ()
    keeps_slashes: bool = False


_Ranked: TypeAlias = tuple[int, Match[T]]


class _Leaf(Generic[T]):
    """The routes that share one pattern: for each method the best and its rank."""

    __slots__ = ("by_method", "first", "otherwise")

    def __init__(self, first: _Ranked[T]) -> None:
        self.first = first
        self.by_method: dict[str, _Ranked[T]] = {}
        self.otherwise: _Ranked[T] | None = None

    def add(self, ranked: _Ranked[T], methods: frozenset[str]) -> None:
        """Add a route; routes come in their order, so the first for a method stays."""
        if self.otherwise is not None:
            return
        if not methods:
            self.otherwise = ranked
        for method in accepted_methods(methods):
            self.by_method.setdefault(method, ranked)


class _Node(Generic[T]):
    """A place in the trie; every node has one parent, so no search meets it twice.

    Most are the last of their path: these need no dictionary of what follows.
    """

    __slots__ = ("leaf", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] | None = None
        self.parameter: _Node[T] | None = None
        self.leaf: _Leaf[T] | None = None
        self.rest: _Leaf[T] | None = None

    def insert(self, ranked: _Ranked[T], entry: Entry[T]) -> None:
        """Hang a route on the node its pattern leads to, making what is missing on the way."""
        node = self
        for kind, text in entry.pattern.segments:
            if kind is Kind.REST:
                node.rest = node.rest or _Leaf(ranked)
                return node.rest.add(ranked, entry.methods)
            if kind is Kind.LITERAL:
                if node.literals is None:
                    node.literals = {}
                node = node.literals.setdefault(text, _Node())
            else:
                node.parameter = node.parameter or _Node()
                node = node.parameter
        node.leaf = node.leaf or _Leaf(ranked)
        return node.leaf.add(ranked, entry.methods)

    def find(self, segments: tuple[str, ...]) -> list[_Leaf[T]]:
        """Every leaf whose pattern accepts *segments*, level by level."""
        found: list[_Leaf[T]] = []
        level = [self]
        for segment in segments:
            following: list[_Node[T]] = []
            for node in level:
                if node.rest is not None:
                    found.append(node.rest)
                if node.literals is not None:
                    child = node.literals.get(segment)
                    if child is not None:
                        following.append(child)
                if segment and node.parameter is not None:
                    following.append(node.parameter)
            if not following:
                return found
            level = following
        found.extend(node.leaf for node in level if node.leaf is not None)
        return found


class _Site(Generic[T]):
    """The routes of one host, or of one wildcard, or of no host."""

    __slots__ = ("merged", "unmerged")

    def __init__(self) -> None:
        self.merged: _Node[T] = _Node()
        self.unmerged: _Node[T] | None = None

    def insert(self, ranked: _Ranked[T], entry: Entry[T]) -> None:
        if entry.merge_slashes:
            return self.merged.insert(ranked, entry)
        self.unmerged = self.unmerged or _Node()
        return self.unmerged.insert(ranked, entry)

    def find(self, path: CanonicalPath) -> list[_Leaf[T]]:
        found = self.merged.find(path.segments)
        if self.unmerged is not None:
            found += self.unmerged.find(path.variant(merge_slashes=False).segments)
        return found


class Router(Generic[T]):
    """Finds the route of a request. Made by :meth:`build`, never changed afterwards."""

    __slots__ = ("_anywhere", "_exact", "_none", "_wildcards")

    def __init__(self) -> None:
        self._exact: dict[str, _Site[T]] = {}
        self._wildcards: dict[str, _Site[T]] = {}
        self._anywhere: _Site[T] = _Site()
        self._none: Match[T] = Match(Result.NONE)

    @classmethod
    def build(cls, entries: Iterable[Entry[T]]) -> Router[T]:
        """A router over *entries*, whatever order they come in."""
        router = cls()
        ordered = sorted(
            entries, key=lambda entry: (-entry.priority, entry.pattern.specificity, entry.name)
        )
        for rank, entry in enumerate(ordered):
            ranked = rank, Match(Result.FULL, entry.route, keeps_slashes=not entry.merge_slashes)
            for site in router._sites_of(entry.hosts):
                site.insert(ranked, entry)
        return router

    def match(self, method: str, host: str, path: CanonicalPath) -> Match[T]:
        """The best route for a request; a route that takes the method beats any that does not."""
        found = self._match(method, host, path)
        if path.unmerged is None or found.keeps_slashes or found.result is not Result.FULL:
            return found
        # What merges sends another path than was asked for: that path's own route must take it,
        # or `//private` would pass the route of `/private` by.
        return self._match(method, host, replace(path, unmerged=None))

    def _match(self, method: str, host: str, path: CanonicalPath) -> Match[T]:
        partial: Match[T] | None = None
        allow: set[str] = set()
        for site in self._candidates(host):
            leaves = site.find(path)
            if not leaves:
                continue
            best = _best(leaves, method)
            if best is not None:
                return best
            partial = partial or min((leaf.first for leaf in leaves), key=_rank)[1]
            allow.update(*(leaf.by_method for leaf in leaves))
        if partial is None:
            return self._none
        return Match(Result.PARTIAL, partial.route, tuple(sorted(allow)))

    def _sites_of(self, hosts: tuple[str, ...]) -> list[_Site[T]]:
        if not hosts:
            return [self._anywhere]
        return [
            self._wildcards.setdefault(host.removeprefix("*."), _Site())
            if host.startswith("*.")
            else self._exact.setdefault(host, _Site())
            for host in map(host_key, dict.fromkeys(hosts))
        ]

    def _candidates(self, host: str) -> Iterator[_Site[T]]:
        name = host_key(host) if self._exact or self._wildcards else ""
        if name and len(name) <= _LONGEST_HOST:
            if name in self._exact:
                yield self._exact[name]
            dot = name.find(".") if self._wildcards else -1
            while dot > 0:
                if name[dot + 1 :] in self._wildcards:
                    yield self._wildcards[name[dot + 1 :]]
                dot = name.find(".", dot + 1)
        yield self._anywhere


def _rank(ranked: _Ranked[T]) -> int:
    return ranked[0]


def _best(leaves: list[_Leaf[T]], method: str) -> Match[T] | None:
    best: _Ranked[T] | None = None
    for leaf in leaves:
        found = leaf.by_method.get(method, leaf.otherwise)
        if found is not None and (best is None or found[0] < best[0]):
            best = found
    return best[1] if best is not None else None
