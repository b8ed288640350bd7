"""A mapping that forgets what was used longest ago. Pure.

Everything a request can make the gateway remember lives in one of these.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Bounded(Generic[K, V]):
    """At most *size* entries; reading one makes it young again."""

    __slots__ = ("_entries", "size")

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size={size}: at least 1 is needed")
        self.size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The entry, or ``None``."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Store *value* (not ``None``); the oldest entry makes room when there is none."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self.size:
            self._entries.popitem(last=False)

    def discard(self, key: K) -> None:
        """Forget *key* if it is known."""
        self._entries.pop(key, None)

    def values(self) -> Iterator[V]:
        """Every entry, without making any younger."""
        return iter(self._entries.values())

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
