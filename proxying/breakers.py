"""The breakers of a worker, by service and instance; they outlive the snapshot they came with.

A breaker is kept while its spec stays the same, made anew when the spec changes, and forgotten with
its instance. Leans on ``proxying.breaker``; publishing and the journey lean on this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from proxying.breaker import Breaker, State, Trials

if TYPE_CHECKING:
    from routing.document import BreakerSpec

Key = tuple[str, str]
"""Name of the service, URL of the instance; without one the breaker is the service's."""


@dataclass(frozen=True, slots=True)
class Transition:
    """One breaker changed its state."""

    service: str
    instance: str
    before: State
    after: State
    reason: str = ""
    failures: int = 0
    """In a row, when it changed."""


Observer = Callable[[Transition], None]


class Breakers:
    """Breakers by service and instance URL. *observers* are told of every change of state.

    *turns* says whose turn it is to try an instance; without it every worker tries for itself.
    """

    def __init__(
        self,
        observers: Iterable[Observer] = (),
        turns: Callable[[Key], Trials] | None = None,
    ) -> None:
        self._observers = tuple(observers)
        self._turns = turns
        self._breakers: dict[Key, Breaker] = {}

    def __len__(self) -> int:
        return len(self._breakers)

    def __iter__(self) -> Iterator[tuple[Key, Breaker]]:
        return iter(self._breakers.items())

    def get(self, service: str, instance: str) -> Breaker | None:
        """The instance's breaker; ``None`` when its service has none."""
        return self._breakers.get((service, instance))

    def update(self, wanted: Mapping[Key, BreakerSpec]) -> None:
        """Have exactly the *wanted* breakers, keeping those whose spec is the same.

        One that is forgotten while it is not closed is reported as closed, so that nobody goes on
        showing it open.
        """
        kept = {
            key: breaker
            for key, breaker in self._breakers.items()
            if wanted.get(key) == breaker.spec
        }
        for key, breaker in self._breakers.items():
            if key not in kept and breaker.state is not State.CLOSED:
                self._tell(key, breaker.state, State.CLOSED, "the configuration changed")
        self._breakers = {
            key: kept.get(key) or self._new(key, spec) for key, spec in wanted.items()
        }

    def _new(self, key: Key, spec: BreakerSpec) -> Breaker:
        breaker = Breaker(spec, partial(self._tell, key))
        breaker.trials = self._turns(key) if self._turns is not None else None
        return breaker

    def _tell(self, key: Key, before: State, after: State, reason: str) -> None:
        breaker = self._breakers.get(key)
        failures = breaker.consecutive_failures if breaker is not None else 0
        for observe in self._observers:
            observe(Transition(*key, before, after, reason, failures))
