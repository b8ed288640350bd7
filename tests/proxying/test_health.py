"""Verdicts change by thresholds, are shared by all workers of a node, and outlive publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxying.health import Checkup, Key, Verdict, as_expected
from proxying.health_board import Board
from proxying.health_checks import HealthChecks
from proxying.health_probes import Prober
from proxying.upstream.native import NativeTransport
from routing.addresses import parse_instance_url
from routing.document import HealthCheckSpec
from routing.plans import InstancePlan
from tests.proxying.plans import URLS, service
from tests.servers import find_free_port
from tests.support.upstream import Upstream, answering

SPEC = HealthCheckSpec(unhealthy_after=3, healthy_after=2)
FAST = HealthCheckSpec(interval=0.02, timeout=0.5, unhealthy_after=2, healthy_after=1)


def checkup(*, healthy: bool = True) -> Checkup:
    return Checkup(SPEC, Verdict("s", URLS[0], healthy=healthy, since=0.0, checked_at=0.0))


def test_failures_in_a_row_take_an_instance_out() -> None:
    check = checkup()
    assert [check.note("refused", n) for n in range(3)] == [False, False, True]
    assert (check.verdict.healthy, check.verdict.since, check.verdict.reason) == (
        False, 2, "refused",
    )  # fmt: skip


def test_one_good_answer_between_failures_keeps_it_in() -> None:
    check = checkup()
    for failure in ("x", "x", "", "x", "x"):
        assert not check.note(failure, 1.0)


def test_good_answers_in_a_row_bring_it_back() -> None:
    check = checkup(healthy=False)
    assert [check.note("", 5.0), check.note("x", 6.0)] == [False, False]
    assert [check.note("", 7.0), check.note("", 8.0)] == [False, True]


@given(st.lists(st.booleans(), max_size=40))
def test_a_verdict_changes_only_after_its_threshold(results: list[bool]) -> None:
    check = checkup()
    for number, well in enumerate(results):
        if check.note("" if well else "x", float(number)):
            needed = 2 if check.verdict.healthy else 3
            assert results[number - needed + 1 : number + 1] == [well] * needed


def test_statuses_are_expected_alone_or_by_class() -> None:
    assert as_expected(204, ("2xx",))
    assert as_expected(404, ("200", "404"))
    assert not as_expected(500, ("2xx", "3xx", "501"))


class Scripted:
    """Probes that answer what a test says; ``asked`` is set by each one."""

    def __init__(self) -> None:
        self.failing: set[str] = set()
        self.asked = asyncio.Event()

    async def __call__(self, plan: InstancePlan, spec: HealthCheckSpec) -> str:
        self.asked.set()
        return "down" if plan.url in self.failing else ""


class Worker:
    """One worker's checks, and what it acts on."""

    def __init__(self, directory: Path, probe: Scripted) -> None:
        self.unhealthy: frozenset[Key] = frozenset()
        self.changed = asyncio.Event()
        self.reported: list[Verdict] = []
        self.checks = HealthChecks(Board(directory), probe, self._judge, self._report)

    def _judge(self, unhealthy: frozenset[Key]) -> None:
        self.unhealthy = unhealthy
        self.changed.set()

    def _report(self, verdicts: Iterable[Verdict]) -> None:
        self.reported = list(verdicts)

    async def until_unhealthy(self, *urls: str) -> None:
        while self.unhealthy != {("s", url) for url in urls}:
            self.changed.clear()
            await self.changed.wait()


async def test_checks_begin_without_traffic_and_every_worker_hears_of_them(tmp_path: Path) -> None:
    probe = Scripted()
    probe.failing = {URLS[1]}
    workers = [Worker(tmp_path, probe) for _ in range(3)]
    tasks = [asyncio.create_task(each.checks.run()) for each in workers]
    for each in workers:
        each.checks.adjust(service(health_check=FAST))
    for each in workers:
        await each.until_unhealthy(URLS[1])
    assert sum(each.checks.leads for each in workers) == 1
    await _stop(tasks)


async def test_another_worker_takes_over_where_the_first_left_off(tmp_path: Path) -> None:
    probe = Scripted()
    probe.failing = {URLS[0]}
    first, second = Worker(tmp_path, probe), Worker(tmp_path, probe)
    for each in (first, second):
        each.checks.adjust(service(health_check=FAST))
    tasks = [asyncio.create_task(first.checks.run())]
    await first.until_unhealthy(URLS[0])
    tasks.append(asyncio.create_task(second.checks.run()))
    await second.until_unhealthy(URLS[0])
    await _stop(tasks[:1])
    probe.failing.clear()
    await second.until_unhealthy()
    assert second.checks.leads
    await _stop(tasks[1:])


async def test_a_verdict_outlives_the_change_of_other_instances(tmp_path: Path) -> None:
    probe = Scripted()
    probe.failing = {URLS[0]}
    worker = Worker(tmp_path, probe)
    worker.checks.adjust(service(2, health_check=FAST))
    task = asyncio.create_task(worker.checks.run())
    await worker.until_unhealthy(URLS[0])
    worker.checks.adjust(service(3, health_check=FAST))
    probe.asked.clear()
    await asyncio.wait_for(probe.asked.wait(), 5)
    assert worker.unhealthy == {("s", URLS[0])}
    await _stop([task])


async def test_a_removed_instance_is_not_asked_again(tmp_path: Path) -> None:
    probe = Scripted()
    probe.failing = {URLS[1]}
    worker = Worker(tmp_path, probe)
    worker.checks.adjust(service(2, health_check=FAST))
    task = asyncio.create_task(worker.checks.run())
    await worker.until_unhealthy(URLS[1])
    worker.checks.adjust(service(1))
    probe.asked.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(probe.asked.wait(), 5 * FAST.interval)
    await _stop([task])


@pytest.mark.parametrize(("later", "believed"), [(0, True), (29, True), (31, False), (-9, False)])
def test_old_verdicts_of_a_node_that_was_down_say_nothing(
    tmp_path: Path, later: float, believed: bool
) -> None:
    verdicts = [Verdict("s", URLS[0], healthy=False, since=0.0, checked_at=0.0)]
    Board(tmp_path, lambda: 1000).write(verdicts)
    assert Board(tmp_path, lambda: 1000 + later).news() == (verdicts if believed else None)


def test_verdicts_written_at_nearly_the_same_moment_are_all_heard(tmp_path: Path) -> None:
    writer, reader = Board(tmp_path), Board(tmp_path)
    for number in range(100):
        verdict = Verdict("s", URLS[0], healthy=False, since=float(number), checked_at=0.0)
        writer.write([verdict])
        assert reader.news() == [verdict]


def test_only_one_holds_the_post_and_it_is_given_on(tmp_path: Path) -> None:
    one, other = Board(tmp_path), Board(tmp_path)
    assert (one.lead(), other.lead()) == (True, False)
    one.resign()
    assert other.lead()
    other.resign()


async def test_a_probe_tells_well_from_unwell() -> None:
    upstream = Upstream()
    prober = Prober(NativeTransport())
    instance = service(1)["s"].instances[0]
    here = _at(instance, upstream.port)
    try:
        assert await prober(here, HealthCheckSpec(path="/up?deep=1")) == ""
        upstream.script = answering(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        assert await prober(here, HealthCheckSpec()) == "status 500"
        assert await prober(here, HealthCheckSpec(expect=("500",))) == ""
        assert await prober(here, HealthCheckSpec(type="tcp")) == ""
        gone = _at(instance, find_free_port())
        assert await prober(gone, HealthCheckSpec(type="tcp")) == "Connection refused"
        assert await prober(gone, HealthCheckSpec()) == "Connection refused"
        assert upstream.requests[0].target == "/up?deep=1"
    finally:
        await prober.close()
        upstream.stop()


async def test_a_probe_gives_up_after_its_own_timeout() -> None:
    async def silent(*_: object) -> None:
        await asyncio.sleep(60)

    upstream = Upstream(script=silent)
    prober = Prober(NativeTransport())
    here = _at(service(1)["s"].instances[0], upstream.port)
    try:
        assert "0.05 s" in await prober(here, HealthCheckSpec(timeout=0.05))
    finally:
        await prober.close()
        upstream.stop()


def _at(plan: InstancePlan, port: int) -> InstancePlan:
    url = f"http://127.0.0.1:{port}"
    return InstancePlan(url, parse_instance_url(url), plan.weight, plan.healthy)


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
