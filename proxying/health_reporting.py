"""The verdicts of a node's health checks as rows: one for each instance and node, with its age.

Written by the worker that checks; a node that stops lets its rows grow old, and the admin shows how
old they are. Leans on ``runtime.database``.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.db import Error

from proxying.health import Key, Verdict
from proxying.models import InstanceHealth
from runtime.database import DatabaseThread
from runtime.outage import Outage
from runtime.tasks import repeat
from runtime.upsert import upsert

logger = logging.getLogger(__name__)

_WRITE_SECONDS = 0.5
_REPORT_AGAIN = 5.0
_FORGOTTEN_AFTER = timedelta(minutes=10)
_LONGEST_REASON = 255


class HealthReporter:
    """Takes verdicts at any time and writes the latest, soon when one changed."""

    def __init__(self, node: str, database: DatabaseThread) -> None:
        self._node = node
        self._database = database
        self._latest: list[Verdict] | None = None
        self._written: dict[Key, bool] = {}
        self._written_at = -math.inf
        self._outage = Outage(logger, "the health of instances is not written: %s")

    def __call__(self, verdicts: Iterable[Verdict]) -> None:
        """Note all verdicts of the node."""
        self._latest = list(verdicts)

    async def keep_writing(self) -> None:
        """Write until cancelled."""
        await repeat(_WRITE_SECONDS, self._write)

    async def _write(self) -> None:
        verdicts = self._latest
        if verdicts is None:
            return
        now = time.monotonic()
        states = {one.key: one.healthy for one in verdicts}
        if states == self._written and now - self._written_at < _REPORT_AGAIN:
            return
        try:
            await self._database.run(_replace_rows, self._node, verdicts, datetime.now(UTC))
        except Error as error:
            self._outage.note_failure(error)
            return
        self._outage.note_success()
        self._written, self._written_at = states, now


def _replace_rows(node: str, verdicts: list[Verdict], now: datetime) -> None:
    rows = [
        InstanceHealth(
            service=one.service,
            instance=one.instance,
            node=node,
            healthy=one.healthy,
            reason=one.reason[:_LONGEST_REASON],
            changed_at=datetime.fromtimestamp(one.since, UTC),
            checked_at=datetime.fromtimestamp(one.checked_at, UTC),
        )
        for one in verdicts
    ]
    upsert(
        InstanceHealth.objects.all(),
        rows,
        unique=["service", "instance", "node"],
        update=["healthy", "reason", "changed_at", "checked_at"],
    )
    kept = {one.key for one in verdicts}
    mine = InstanceHealth.objects.filter(node=node).values_list("pk", "service", "instance")
    gone = [pk for pk, service, instance in mine if (service, instance) not in kept]
    InstanceHealth.objects.filter(pk__in=gone).delete()
    InstanceHealth.objects.filter(checked_at__lt=now - _FORGOTTEN_AFTER).delete()
