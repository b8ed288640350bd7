"""Quotas of calendar periods beyond the single request: restored when lost, warned of when used.

The store counts exactly, but may forget (a restart of Redis, of a worker without Redis). A counter
that begins at nothing is therefore raised to what the records say, and again after the other
workers have written theirs. The records never say more than was used, so raising is safe however
often and by whom it is done. Until then, and for what a killed worker had not written, more may
pass: at most what came since the last write of records. Leans on :mod:`quotas.records` for the
history and on ``audit.recorder`` for the warnings.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b

from django.db import Error, transaction

from audit.models import ActorType
from audit.recorder import record
from quotas import metrics
from quotas.bucket import SECOND, Rule, Usage
from quotas.errors import StoreUnavailable
from quotas.models import PlanNotice, RateLimitRecord
from quotas.records import WINDOW, readable
from quotas.rules import quota_key
from quotas.stores.base import QuotaStore
from runtime.database import DatabaseThread
from runtime.outage import Outage
from runtime.tasks import repeat

logger = logging.getLogger(__name__)

PERCENTS = (80, 100)
_LOOK_SECONDS = 0.5
_MOST_REMEMBERED = 50_000


@dataclass(frozen=True, slots=True)
class _Quota:
    """The quota of one consumer in one period."""

    identity: str
    rule: Rule
    start: int


class PlanLedger:
    """Follows the quotas this worker sees. *record_interval* is how often records are written, in
    seconds.
    """

    def __init__(
        self, store: QuotaStore, database: DatabaseThread, *, record_interval: float
    ) -> None:
        self._store = store
        self._database = database
        # Twice the interval: by then the last record of before was written, whoever wrote it.
        self._delays = (0.0, record_interval * 2, record_interval * 6)
        self._lost: dict[_Quota, list[float]] = {}
        self._told: set[tuple[_Quota, int]] = set()
        self._to_tell: dict[tuple[_Quota, int], int] = {}
        self._outage = Outage(logger, "quotas cannot be restored or warned of now: %s")

    def note(self, identity: str, usages: Iterable[Usage]) -> None:
        """A request of the consumer called *identity* left its quotas so."""
        for rule, used, start in usages:
            if used <= rule.cost:
                self._begin(_Quota(identity, rule, start))
            if used * 100 >= PERCENTS[0] * rule.full:
                self._reach(_Quota(identity, rule, start), used)

    async def keep_writing(self) -> None:
        """Restore and warn until cancelled."""
        await repeat(_LOOK_SECONDS, self.look)

    async def look(self) -> None:
        """Do what is due."""
        now = asyncio.get_running_loop().time()
        try:
            for quota, due in list(self._lost.items()):
                if due[0] > now:
                    continue
                self._lost[quota] = self._lost.pop(quota)  # one that fails is not the first again
                await self._restore(quota)
                due.pop(0)
                if not due and self._lost[quota] is due:
                    del self._lost[quota]
            while self._to_tell:
                (quota, percent), used = next(iter(self._to_tell.items()))
                await self._tell(quota, percent, used)
                del self._to_tell[quota, percent]
        except (Error, StoreUnavailable) as error:
            # The others would fail as well, and each of them costs a look at the database.
            self._outage.note_failure(error)
        else:
            self._outage.note_success()

    def _begin(self, quota: _Quota) -> None:
        if len(self._lost) < _MOST_REMEMBERED:
            now = asyncio.get_running_loop().time()
            self._lost[quota] = [now + delay for delay in self._delays]

    def _reach(self, quota: _Quota, used: int) -> None:
        for percent in PERCENTS:
            reached = used * 100 >= percent * quota.rule.full
            if reached and (quota, percent) not in self._told:
                if len(self._told) >= _MOST_REMEMBERED:
                    # Whoever is told of again has its row already and is not told of twice.
                    self._told.clear()
                self._told.add((quota, percent))
                self._to_tell[quota, percent] = used

    async def _restore(self, quota: _Quota) -> None:
        key = quota_key(quota.rule, quota.identity)
        used = await self._database.run(_used, quota)
        if used:
            await self._store.restore(quota.rule, key, used, quota.start)

    async def _tell(self, quota: _Quota, percent: int, used: int) -> None:
        if await self._database.run(_write_notice, quota, percent, used):
            metrics.PLAN_NOTICES.labels(quota.rule.plan, str(percent)).inc()


def _used(quota: _Quota) -> int:
    since = datetime.fromtimestamp(quota.start / SECOND, UTC)
    rows = RateLimitRecord.objects.filter(window_type=WINDOW, window_start__gte=since)
    allowed: int = rows.filter(identifier=readable(quota.identity)).totals()["allowed"]
    return allowed


def _write_notice(quota: _Quota, percent: int, used: int) -> bool:
    """Whether this is the first to notice, over all workers."""
    window = quota.rule.window or ""
    with transaction.atomic():
        _, first = PlanNotice.objects.get_or_create(
            identifier=blake2b(quota.identity.encode(), digest_size=32).hexdigest(),
            window=window,
            period_start=datetime.fromtimestamp(quota.start / SECOND, UTC),
            percent=percent,
        )
        if first:
            record(
                "plan.quota_reached",
                actor="",
                actor_type=ActorType.SYSTEM,
                object_type="consumer",
                object_name=quota.identity.removeprefix("consumer:"),
                changes={
                    "plan": quota.rule.plan,
                    "window": window,
                    "percent": percent,
                    "used": used,
                    "quota": quota.rule.full,
                },
            )
    return first
