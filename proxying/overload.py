"""How many requests of a service run at once in this worker, and the queue of those that wait.

Whoever gives a place back hands it to the first who waits, so nobody who comes later is served
earlier. A full queue refuses at once. Knows nothing of instances: whether there is a place for a
waiting request is asked of the one who wants it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxying.errors import Overloaded, ProxyError

if TYPE_CHECKING:
    from proxying.attempt import Attempt
    from routing.document import OverloadSpec

Begin = Callable[[], "Attempt | None"]
"""Begins an attempt, or says that there is still no place; raises ``ProxyError``."""
_LOOK_SECONDS = 0.01
"""Between two looks for a place that nobody tells of: what the fast path gives back."""


class Gate:
    """Counts the attempts of one service that are under way. One event loop's."""

    __slots__ = ("_look", "_waiting", "in_flight", "queue_began", "service", "spec")

    def __init__(self, service: str, spec: OverloadSpec) -> None:
        self.service = service
        self.spec = spec
        self.in_flight = 0
        self.queue_began: Callable[[], None] | None = None
        """Told when somebody waits where nobody did."""
        self._waiting: deque[tuple[Begin, asyncio.Future[Attempt]]] = deque()
        self._look: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether the service as a whole takes one more."""
        most = self.spec.max_requests
        return most is None or self.in_flight < most

    async def wait(self, begin: Begin) -> Attempt:
        """The attempt, once there is a place; raises ``Overloaded``, or what *begin* raises."""
        if len(self._waiting) >= self.spec.max_queued:
            raise Overloaded(self.service)
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Attempt] = loop.create_future()
        place = (begin, turn)
        self._waiting.append(place)
        if self._look is None:
            self._look = loop.call_later(_LOOK_SECONDS, self._look_for_place, loop)
        if len(self._waiting) == 1 and self.queue_began is not None:
            self.queue_began()
        given = False
        try:
            async with asyncio.timeout(self.spec.queue_timeout):
                attempt = await turn
                given = True
        except TimeoutError:
            raise Overloaded(self.service) from None
        finally:
            if not given:
                self._abandon(place)
        return attempt

    def enter(self) -> None:
        """One more is under way."""
        self.in_flight += 1

    def leave(self) -> None:
        """One less; whoever waits may have its place."""
        self.in_flight -= 1
        self._serve_queue()

    def _look_for_place(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = None
        self._serve_queue()
        if self._waiting:
            self._look = loop.call_later(_LOOK_SECONDS, self._look_for_place, loop)

    def _serve_queue(self) -> None:
        while self._waiting:
            begin, turn = self._waiting[0]
            if not turn.done() and not _give(begin, turn):
                return
            self._waiting.popleft()

    def _abandon(self, place: tuple[Begin, asyncio.Future[Attempt]]) -> None:
        """The one who waited is gone; what it was given in the same moment goes back."""
        if place in self._waiting:
            self._waiting.remove(place)
        turn = place[1]
        if turn.done() and not turn.cancelled() and turn.exception() is None:
            turn.result().close()


def _give(begin: Begin, turn: asyncio.Future[Attempt]) -> bool:
    """Whether *turn* is settled: with an attempt, or with why there will be none."""
    try:
        attempt = begin()
    except ProxyError as error:
        turn.set_exception(error)
        return True
    if attempt is None:
        return False
    turn.set_result(attempt)
    return True
