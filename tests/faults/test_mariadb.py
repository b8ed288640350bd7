"""MariaDB hangs, and then ends, under load, while workers are replaced."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests import servers
from tests.faults.outcomes import figures
from tests.faults.processes import workers_of
from tests.faults.waiting import eventually
from tests.support.load import Load
from tests.support.process import new_gateway
from tests.support.upstream import Upstream

AWAY_SECONDS = 300
HEAD = b"GET /echo HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
CONFIGURATION = """
services:
  echo:
    instances: [{{url: "{url}"}}]
routes:
  - {{name: echo, path: /echo, service: echo, auth_required: false}}
"""


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_no_request_notices_that_mariadb_is_away(tmp_path: Path, fault: signal.Signals) -> None:
    upstream = Upstream()
    with servers.mariadb(tmp_path) as server:
        extra = {"DATABASE_URL": server.url, "RATE_LIMIT_PER_WORKER": "true"}
        gateway = new_gateway(tmp_path, extra)
        gateway.apply(CONFIGURATION.format(url=upstream.url))
        with gateway.serving("--workers", "2"):
            process = gateway.process
            assert process is not None
            before = workers_of(process.pid)
            with Load(gateway.port, HEAD, 200, 16).running() as load:
                server.process.send_signal(fault)
                began = time.monotonic()
                time.sleep(3)
                process.send_signal(signal.SIGHUP)
                eventually(lambda: not before & workers_of(process.pid), seconds=150)
                time.sleep(3)
            found = figures(f"MariaDB, {fault.name}", load.outcomes, since=began)
            if fault is signal.SIGSTOP:
                server.process.send_signal(signal.SIGCONT)
    upstream.stop()
    assert found.errors == 0


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(600)
def test_five_minutes_without_mariadb_cost_nobody_anything(tmp_path: Path) -> None:
    upstream = Upstream()
    with servers.mariadb(tmp_path) as server:
        extra = {"DATABASE_URL": server.url, "RATE_LIMIT_PER_WORKER": "true"}
        gateway = new_gateway(tmp_path, extra)
        gateway.apply(CONFIGURATION.format(url=upstream.url))
        with gateway.serving("--workers", "2"):
            process = gateway.process
            assert process is not None
            with Load(gateway.port, HEAD, 300, 16).running() as load:
                server.process.send_signal(signal.SIGKILL)
                began = time.monotonic()
                time.sleep(AWAY_SECONDS / 2)
                before = workers_of(process.pid)
                process.send_signal(signal.SIGHUP)
                eventually(lambda: not before & workers_of(process.pid), seconds=60)
                time.sleep(max(0.0, began + AWAY_SECONDS - time.monotonic()))
            found = figures("MariaDB away, workers replaced", load.outcomes, since=began)
    upstream.stop()
    assert found.errors == 0
