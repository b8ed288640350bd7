"""What a worker reports of its breakers: a metric at once, a row soon after.

A change of state costs the request one dict entry; an owned task writes the latest state of each
breaker in batches, reports those that are not closed anew so that their age shows they are alive,
and takes this worker's rows away when it stops. A worker that was killed leaves rows behind; the
next one to start removes what nobody reported for :data:`FORGOTTEN_AFTER`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import ParamSpec

from django.db import Error

from proxying import metrics
from proxying.breaker import State
from proxying.breakers import Transition
from proxying.models import BreakerState
from runtime.database import DatabaseThread
from runtime.outage import Outage
from runtime.tasks import repeat
from runtime.upsert import upsert

logger = logging.getLogger(__name__)

P = ParamSpec("P")

_LEVEL = {State.CLOSED: 0, State.HALF_OPEN: 1, State.OPEN: 2}
_WRITE_SECONDS = 0.2
_STOP_SECONDS = 5.0
_LONGEST_REASON = 255
_NEVER = datetime.min.replace(tzinfo=UTC)
_REPORT_AGAIN = 15.0
FORGOTTEN_AFTER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Report:
    """The latest state of one breaker, since when it is in it, and why."""

    state: State
    changed_at: datetime
    reason: str
    failures: int


class BreakerReporter:
    """Observes transitions of one worker, called *node* in the rows."""

    def __init__(self, node: str, database: DatabaseThread) -> None:
        self._node = node
        self._database = database
        self._reports: dict[tuple[str, str], Report] = {}
        self._unwritten: set[tuple[str, str]] = set()
        self._reported_at = -math.inf
        self._as_of: datetime | None = None
        self._outage = Outage(logger, "breaker states are not written: %s")
        self.heard: Callable[[Transition, datetime], None] | None = None
        """Told of each change that this worker saw itself, and when that was."""

    def changed_at(self, service: str, instance: str) -> datetime:
        """When a breaker last changed, as far as this worker knows."""
        report = self._reports.get((service, instance))
        return report.changed_at if report is not None else _NEVER

    @contextmanager
    def as_of(self, moment: datetime) -> Iterator[None]:
        """What changes inside the block changed at *moment*, in the worker that saw it first."""
        self._as_of = moment
        try:
            yield
        finally:
            self._as_of = None

    def __call__(self, transition: Transition) -> None:
        """Note a change of state."""
        key = (transition.service, transition.instance)
        metrics.BREAKER_STATE.labels(*key).set(_LEVEL[transition.after])
        self._reports[key] = Report(
            transition.after,
            self._as_of or datetime.now(UTC),
            transition.reason,
            transition.failures,
        )
        self._unwritten.add(key)
        if self.heard is not None and self._as_of is None:
            self.heard(transition, self._reports[key].changed_at)
        logger.warning(
            "breaker of %s %s: %s, was %s: %s",
            *key,
            transition.after,
            transition.before,
            transition.reason,
        )

    async def keep_writing(self) -> None:
        """Write until cancelled; then take this worker's rows away."""
        try:
            await self._run(_remove_forgotten)
            await repeat(_WRITE_SECONDS, self._write)
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._run(_remove_rows, self._node)

    async def _write(self) -> None:
        now = time.monotonic()
        if now - self._reported_at > _REPORT_AGAIN:
            self._unwritten.update(
                key for key, report in self._reports.items() if report.state is not State.CLOSED
            )
            self._reported_at = now
        if not self._unwritten:
            return
        keys, self._unwritten = self._unwritten, set()
        reports = {key: self._reports[key] for key in keys}
        if not await self._run(_write_rows, self._node, reports, datetime.now(UTC)):
            self._unwritten |= keys

    async def _run(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Whether the database did it; a failure costs nobody else."""
        try:
            await self._database.run(function, *args, **kwargs)
        except Error as error:
            self._outage.note_failure(error)
            return False
        self._outage.note_success()
        return True


def _write_rows(
    node: str, reports: Mapping[tuple[str, str], Report], reported_at: datetime
) -> None:
    rows = [
        BreakerState(
            service=service,
            instance=instance,
            node=node,
            state=report.state.value,
            reason=report.reason[:_LONGEST_REASON],
            failures=report.failures,
            changed_at=report.changed_at,
            reported_at=reported_at,
        )
        for (service, instance), report in reports.items()
    ]
    upsert(
        BreakerState.objects.all(),
        rows,
        unique=["service", "instance", "node"],
        update=["state", "reason", "failures", "changed_at", "reported_at"],
    )


def _remove_rows(node: str) -> None:
    BreakerState.objects.filter(node=node).delete()


def _remove_forgotten() -> None:
    BreakerState.objects.filter(reported_at__lt=datetime.now(UTC) - FORGOTTEN_AFTER).delete()
