"""What a worker runs for limits: the meter of requests and the tasks behind it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from quotas.ledger import PlanLedger
from quotas.limiter import Limiter
from quotas.meter import Meter
from quotas.records import Recorder
from quotas.rollups import keep_summing
from quotas.stores.memory import MemoryStore
from runtime.database import DatabaseThread
from runtime.redis_place import place
from runtime.tasks import TaskOwner

if TYPE_CHECKING:
    from gateway_project.env import Settings
    from quotas.stores.redis import RedisStore

_LONGEST_NODE = 100


class QuotaSide:
    """Limits of the worker called *worker*; its buckets are in *buckets*, without it in memory."""

    def __init__(
        self, settings: Settings, buckets: RedisStore | None, writer: DatabaseThread, worker: str
    ) -> None:
        # Of its own: summing many records takes longer than their writing may wait.
        self._summer = DatabaseThread("database-sums")
        self._recorder: Recorder | None = None
        self._ledger: PlanLedger | None = None
        self.meter: Meter | None = None
        if not settings.rate_limit_enabled:
            return
        store = buckets or MemoryStore()
        interval = settings.rate_limit_record_seconds
        if settings.rate_limit_mysql_enabled:
            self._recorder = Recorder(_run(worker), writer, interval=interval)
            self._ledger = PlanLedger(store, writer, record_interval=interval)
        parts = settings.workers * settings.cluster_node_count
        self.meter = Meter(
            Limiter(store, timeout=place().timeout, parts=parts),
            self._recorder,
            self._ledger,
            write_first=not settings.rate_limit_mysql_async,
        )

    def start(self, owner: TaskOwner) -> None:
        """Begin to write, in tasks of *owner*."""
        if self._recorder is not None and self._ledger is not None:
            owner.start("limit records", self._recorder.keep_writing)
            owner.start("quota plans", self._ledger.keep_writing)
            owner.start("usage sums", lambda: keep_summing(self._summer))

    async def close(self) -> None:
        """End the thread that sums, once its task has ended."""
        await self._summer.close()


def _run(worker: str) -> str:
    """A name for this run: a later process may get the same number, and must not write over it."""
    return f"{worker}.{time.time_ns() // 1_000_000:x}"[-_LONGEST_NODE:]
