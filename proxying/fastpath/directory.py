"""Where services run, as the engine is told: who may be asked, and how busy each instance is.

An instance has a number here and in the engine, and a pair of counts of requests under way, in
memory that both sides see: what it may take at once holds over both.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import islice

from proxying import metrics
from proxying.fastpath.messages import Command, Writer, addresses
from proxying.fastpath.teaching import usable
from proxying.upstreams import Instance, Upstream

MOST_INSTANCES = 4096
_AT_ONCE = 64
"""Services that are looked at in one turn of the loop where nothing was said of them."""

_Told = tuple[int, int, float]
"""Number, most requests at once, weight."""


class Directory:
    """Of the services that were taught. *tell* tells the engine."""

    def __init__(self, tell: Callable[[Writer], None]) -> None:
        self._tell = tell
        self._loads = array("I", bytes(8 * MOST_INSTANCES))
        self._upstreams: dict[str, Upstream] = {}
        self._services: dict[str, int] = {}
        self._told: dict[str, list[_Told]] = {}
        self._instances: dict[int, Instance] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._rows: dict[tuple[str, str], bytes] = {}
        self._next = 0

    @property
    def loads(self) -> int:
        """The address of the counts of requests under way: Python's and the engine's, by turns."""
        return self._loads.buffer_info()[0]

    def instance(self, number: int) -> Instance | None:
        """The instance of that number."""
        return self._instances.get(number)

    def upstream(self, service: str) -> Upstream | None:
        """The service of that name, if it was taught under this revision."""
        return self._upstreams.get(service)

    def forget(self) -> None:
        """A revision begins, in which no service was taught yet."""
        self._upstreams.clear()
        self._told.clear()

    def enter(self, upstream: Upstream) -> int | None:
        """The number of a service, which the engine is told of; ``None``: too many instances."""
        self._upstreams[upstream.name] = upstream
        number = self._services.setdefault(upstream.name, len(self._services))
        return number if self._tell_of(upstream) else None

    def tell_changes(self) -> None:
        """Which instances may be asked, wherever that has changed."""
        for upstream in self._upstreams.values():
            self._tell_of(upstream)

    def look_around(self) -> None:
        """The same for a few services, the next ones with each call: what time alone changes."""
        for upstream in islice(self._upstreams.values(), self._next, self._next + _AT_ONCE):
            self._tell_of(upstream)
        self._next = self._next + _AT_ONCE if self._next + _AT_ONCE < len(self._upstreams) else 0

    def _tell_of(self, upstream: Upstream) -> bool:
        running = usable(upstream)
        news: list[_Told] = []
        for one in running:
            number = self._number(one)
            if number is None:
                return False
            news.append((number, one.most, one.state.weight))
        if self._told.get(upstream.name) == news:
            return True
        self._told[upstream.name] = news
        to = Writer(Command.SERVICE).u32(self._services[upstream.name])
        to.list(zip(running, news, strict=True), self._write)
        self._tell(to)
        return True

    def _number(self, instance: Instance) -> int | None:
        """The number of an instance, which shares its load with the engine from now on."""
        key = instance.service, instance.url
        number = self._numbers.get(key)
        if number is None:
            if len(self._numbers) >= MOST_INSTANCES:
                return None
            number = self._numbers[key] = len(self._numbers)
            outcomes = [metrics.ATTEMPTS.address(*key, one) for one in metrics.PLAIN_CLASSES]
            self._rows[key] = addresses(*outcomes, metrics.UPSTREAM_DURATION.address(*key))
        self._instances[number] = instance
        if instance.state.loads is None:
            instance.state.place = 2 * number
            instance.state.loads = memoryview(self._loads)
            self._loads[2 * number] = instance.state.in_flight
        return number

    def _write(self, to: Writer, told: tuple[Instance, _Told]) -> None:
        instance, (number, most, weight) = told
        to.u32(number).u32(most).blob(instance.origin.authority)
        to.blob(b'"%b"' % instance.url.encode())
        to.raw(self._rows[instance.service, instance.url]).f64(weight)
