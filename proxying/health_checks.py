"""Active health checks of a node: one worker asks, every worker acts on the same verdicts.

Each instance of a service with a health check has a task of its own in the worker that leads
(``health_board`` says who does). A publish starts, ends and keeps these tasks; verdicts belong to
instances and outlive it. The first question comes at a random moment of the first interval and
each pause varies by a tenth, so that nodes do not ask in step.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random

from proxying import metrics
from proxying.health import Checkup, Key, Verdict, first_verdict, unhealthy
from proxying.health_board import Board
from proxying.services import instances_in_use
from routing.document import HealthCheckSpec
from routing.plans import InstancePlan, ServicePlan

logger = logging.getLogger(__name__)

Probe = Callable[[InstancePlan, HealthCheckSpec], Awaitable[str]]
"""Why the instance is not well; empty when it is."""
Report = Callable[[Iterable[Verdict]], None]
"""Told of all verdicts of the node, by the worker that leads."""
Judge = Callable[[frozenset[Key]], None]
"""Told which instances are not well, in every worker."""

_LOOK_SECONDS = 0.2
_HEARTBEAT_SECONDS = 2.0
_JITTER = 0.1

Wanted = tuple[InstancePlan, HealthCheckSpec]


class HealthChecks:
    """One worker's part in the checks of its node."""

    def __init__(
        self,
        board: Board,
        probe: Probe,
        judge: Judge,
        report: Report,
        random: Random | None = None,
    ) -> None:
        self._board = board
        self._probe = probe
        self._judge = judge
        self._report = report
        self._random = random or Random()
        self._wanted: dict[Key, Wanted] = {}
        self._known: dict[Key, Verdict] = {}
        self._checking: dict[Key, tuple[Wanted, asyncio.Task[None]]] = {}
        self._group: asyncio.TaskGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this worker is the one that asks."""
        return self._group is not None

    def adjust(self, services: Mapping[str, ServicePlan]) -> None:
        """Check exactly the instances that these services have in use."""
        self._wanted = {
            (name, instance.url): (instance, plan.spec.health_check)
            for name, plan in services.items()
            if plan.spec.health_check is not None and not plan.fault
            for instance in instances_in_use(plan)
        }
        for key in self._known.keys() - self._wanted.keys():
            metrics.INSTANCE_HEALTHY.labels(*key).set(float("nan"))
            del self._known[key]
        if self._group is not None:
            self._reconcile(self._group)

    async def run(self) -> None:
        """Follow, or lead from the moment the post is vacant, until cancelled."""
        try:
            while not self._board.lead():
                self._follow()
                await asyncio.sleep(_LOOK_SECONDS)
            self._follow()
            await self._lead()
        finally:
            self._board.resign()

    def _follow(self) -> None:
        news = self._board.news()
        if news is not None:
            self._known = {one.key: one for one in news if one.key in self._wanted}
            self._act()

    async def _lead(self) -> None:
        logger.info("this worker checks the health of instances")
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._reconcile(group)
                while True:
                    self._tell()
                    await asyncio.sleep(_HEARTBEAT_SECONDS)
        finally:
            self._group = None
            self._checking.clear()

    def _reconcile(self, group: asyncio.TaskGroup) -> None:
        for key, (wanted, task) in list(self._checking.items()):
            if self._wanted.get(key) != wanted:
                task.cancel()
                del self._checking[key]
        for key, wanted in self._wanted.items():
            if key not in self._checking:
                task = group.create_task(self._keep_checking(key, *wanted))
                self._checking[key] = (wanted, task)

    async def _keep_checking(self, key: Key, plan: InstancePlan, spec: HealthCheckSpec) -> None:
        checkup = Checkup(spec, first_verdict(key, self._known, time.time()))
        await asyncio.sleep(self._random.random() * spec.interval)
        while True:
            started = time.monotonic()
            failure = await self._probe(plan, spec)
            self._note(checkup, failure)
            pause = spec.interval * (1 + _JITTER * (2 * self._random.random() - 1))
            await asyncio.sleep(max(0.0, started + pause - time.monotonic()))

    def _note(self, checkup: Checkup, failure: str) -> None:
        changed = checkup.note(failure, time.time())
        verdict = checkup.verdict
        new = verdict.key not in self._known
        self._known[verdict.key] = verdict
        metrics.HEALTH_CHECKS.labels(*verdict.key, "failed" if failure else "ok").inc()
        if changed:
            word = "well again" if verdict.healthy else f"not well: {failure}"
            logger.warning("%s %s is %s", *verdict.key, word)
        if changed or new:
            self._act()
            self._tell()

    def _act(self) -> None:
        for key, verdict in self._known.items():
            metrics.INSTANCE_HEALTHY.labels(*key).set(int(verdict.healthy))
        self._judge(unhealthy(self._known.values()))

    def _tell(self) -> None:
        verdicts = list(self._known.values())
        self._board.write(verdicts)
        self._report(verdicts)
