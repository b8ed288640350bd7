"""Refused credentials of the data plane, on their way to the audit log.

A request that is refused costs one look-up in a dict. The first refusal of its kind is written at
once, the same ones after it as one entry a minute with their number; kinds are few enough to
remember or they are counted as dropped. One background task writes through the database thread
that writes; what cannot be written now is kept, up to the same bound, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from audit.models import ActorType, AuditEntry
from audit.recorder import new_entry
from runtime.database import DatabaseThread
from runtime.networks import parse_address
from runtime.tasks import repeat

logger = logging.getLogger(__name__)

_BATCH = 200
_STOP_SECONDS = 5.0
_HOST_BITS = {4: 8, 6: 64}
"""What tells hosts of one network apart: a /24 of IPv4, a /64 of IPv6."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one request was refused. Nothing in it is a part of a credential that is not ours.

    ``key`` is the prefix of a key the gateway knows, ``consumer`` its consumer.
    """

    code: str
    reason: str
    route: str
    client: str
    request_id: str
    key: str = ""
    consumer: str = ""


@dataclass(slots=True)
class _Kind:
    """Refusals that are folded: the latest, and how many there were ``since`` the last entry."""

    latest: Refusal
    since: float
    count: int = 0
    latest_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Folded:
    """*count* refusals of one kind, the latest of them at *at* (epoch seconds)."""

    refusal: Refusal
    count: int
    at: float


_KindOf = tuple[str, str, str, str | int, str]


@dataclass(slots=True)
class Folding:
    """Decides which refusals become entries, and when. Pure: handed the time in epoch seconds."""

    window: float = 60.0
    most: int = 5_000
    """Kinds remembered."""
    _kinds: dict[_KindOf, _Kind] = field(default_factory=dict)

    def add(self, refusal: Refusal, now: float) -> Folded | None:
        """What is to be written at once. Raises ``OverflowError`` when there are too many kinds."""
        name = _kind_of(refusal)
        kind = self._kinds.get(name)
        if kind is not None:
            kind.latest, kind.latest_at = refusal, now
            kind.count += 1
            return None
        if len(self._kinds) >= self.most:
            raise OverflowError("too many kinds of refusals within one window")
        self._kinds[name] = _Kind(refusal, now)
        return Folded(refusal, 1, now)

    def due(self, now: float) -> list[Folded]:
        """What has waited for its window to pass; kinds nothing was heard of are forgotten."""
        taken = []
        # A clock that was set back would have it wait for as long again.
        passed = [
            name for name, kind in self._kinds.items() if not 0 <= now - kind.since < self.window
        ]
        for name in passed:
            kind = self._kinds[name]
            if kind.count:
                taken.append(Folded(kind.latest, kind.count, kind.latest_at))
                kind.since, kind.count = now, 0
            else:
                del self._kinds[name]
        return taken

    def rest(self) -> list[Folded]:
        """Everything not yet written; all kinds are forgotten."""
        kinds, self._kinds = self._kinds, {}
        return [Folded(one.latest, one.count, one.latest_at) for one in kinds.values() if one.count]


def _kind_of(refusal: Refusal) -> _KindOf:
    return refusal.code, refusal.reason, refusal.route, _network(refusal.client), refusal.key


def _network(client: str) -> str | int:
    address = parse_address(client)
    return client if address is None else int(address) >> _HOST_BITS[address.version]


class RefusalLog:
    """The bounded queue of one worker. Lives on one event loop.

    *dropped* is told how many refusals there was no room for. *now* is in epoch seconds.
    """

    def __init__(
        self,
        writer: DatabaseThread,
        dropped: Callable[[int], object],
        *,
        folding: Folding | None = None,
        interval: float = 0.5,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._dropped = dropped
        self._folding = folding or Folding()
        self._interval = interval
        self._now = now
        self._waiting: deque[Folded] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._failing = False

    def note(self, refusal: Refusal) -> None:
        """Take *refusal* in. Never waits, never raises."""
        try:
            folded = self._folding.add(refusal, self._now())
        except OverflowError:
            self._dropped(1)
            return
        if folded is not None:
            self._put(folded)

    async def keep_writing(self) -> None:
        """Write until cancelled, then what is left, in at most five seconds."""
        try:
            await repeat(self._interval, self._round)
        finally:
            for folded in self._folding.rest():
                self._put(folded)
            await self._flush_last()

    async def flush(self) -> None:
        """Write what waits.

        The thread finishes what it has begun even when the caller is cancelled; whoever comes
        next waits for that first, so nothing is written twice.
        """
        while self._waiting or self._writing:
            if self._writing is None:
                self._writing = asyncio.create_task(self._write_batch())
            await asyncio.shield(self._writing)

    async def _write_batch(self) -> None:
        batch = list(islice(self._waiting, _BATCH))
        try:
            await self._writer.run(_write, batch)
            for _ in batch:
                self._waiting.popleft()
        finally:
            self._writing = None

    async def _round(self) -> None:
        for folded in self._folding.due(self._now()):
            self._put(folded)
        try:
            await self.flush()
        except Exception:
            if not self._failing:
                logger.exception("refusals cannot be written to the audit log; they are kept")
            self._failing = True
        else:
            self._failing = False

    async def _flush_last(self) -> None:
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self.flush()
        except Exception:
            lost = sum(folded.count for folded in self._waiting)
            self._dropped(lost)
            logger.exception("%d refusals were not written to the audit log", lost)

    def _put(self, folded: Folded) -> None:
        if len(self._waiting) >= self._folding.most:
            self._dropped(folded.count)
            return
        self._waiting.append(folded)


def _write(batch: Sequence[Folded]) -> None:
    AuditEntry.objects.append([_entry(folded) for folded in batch])


def _entry(folded: Folded) -> AuditEntry:
    refusal = folded.refusal
    facts: dict[str, Any] = {
        "code": refusal.code,
        "reason": refusal.reason,
        "route": refusal.route,
        "count": folded.count,
    }
    return new_entry(
        "credential.refused",
        at=datetime.fromtimestamp(folded.at, UTC),
        actor=refusal.consumer,
        actor_type=ActorType.CLIENT,
        object_type="key" if refusal.key else "",
        object_name=refusal.key,
        changes=facts,
        request_id=refusal.request_id,
        client_ip=refusal.client,
        outcome="refused",
    )
