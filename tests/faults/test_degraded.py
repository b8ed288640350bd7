"""What still works while something the gateway leans on does not (docs/operations.md)."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxying.breaker import State
from tests.faults.conftest import PLAIN, Lab
from tests.faults.outcomes import figures
from tests.faults.processes import control_plane_of, replace_workers
from tests.faults.waiting import eventually
from tests.proxying.plans import URLS
from tests.proxying.test_services import World
from tests.support.load import Load
from tests.support.process import GatewayProcess
from tests.support.raw import request


@pytest.fixture
def without_database(lab: Lab, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway whose database cannot be read from the start, and that has served before."""
    gateway = lab.gateway.copy(tmp_path)
    var = tmp_path / "var"
    shutil.copy(Path(lab.gateway.environment["VAR_DIRECTORY"]) / "last_good.json", var)
    (var / "gateway.sqlite3").write_bytes(b"this is no database" * 1000)
    with gateway.serving("--workers", "2"):
        yield gateway


def test_a_node_starts_and_replaces_its_workers_without_a_database(
    lab: Lab, without_database: GatewayProcess
) -> None:
    gateway = without_database
    ready = gateway.ready()
    assert ready is not None
    assert (ready["status"], ready["checks"]["database"]) == ("ready", "degraded")
    with Load(gateway.port, PLAIN, 100, 8).running() as load:
        replace_workers(gateway, seconds=40)
    found = figures(
        "no database, workers replaced", load.outcomes, received=sum(lab.received("/plain"))
    )
    assert found.errors == 0


def test_the_control_plane_dies_and_comes_back_and_no_request_notices(lab: Lab) -> None:
    process = lab.gateway.process
    assert process is not None
    with lab.load(PLAIN, rate=50, connections=4).running() as load:
        os.kill(control_plane_of(process.pid), signal.SIGKILL)
        port = lab.gateway.port
        eventually(lambda: request(port, "GET", "/admin/login/").status < 500, seconds=20)
    found = figures("control plane killed", load.outcomes, received=sum(lab.received("/plain")))
    assert found.errors == 0


async def test_a_step_of_the_clock_moves_no_breaker_queue_or_slow_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(slow_start=100)
    world.open(URLS[0])
    real = time.time
    for step in (-86_400, 86_400):
        monkeypatch.setattr(time, "time", lambda step=step: real() + step)
        counts = await world.counts(4)
        assert (counts[URLS[0]], counts[URLS[1]], counts[URLS[2]]) == (0, 2, 2)
    assert world.breaker(URLS[0]).state is State.OPEN
