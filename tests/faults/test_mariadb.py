"""MariaDB hangs, or ends, under load, while workers are replaced.

``MINUTES`` says for how long in the longest of them, 5 by default.
"""

from __future__ import annotations

import signal
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests import servers
from tests.faults.outcomes import figures
from tests.faults.processes import replace_workers, two_workers
from tests.faults.waiting import MINUTES
from tests.servers import Server
from tests.support.load import Load
from tests.support.process import GatewayProcess
from tests.support.upstream import Upstream

HEAD = b"GET /echo HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
CONFIGURATION = """
services:
  echo:
    instances: [{{url: "{url}"}}]
routes:
  - {{name: echo, path: /echo, service: echo, auth_required: false}}
"""


def _serving(
    directory: Path, server: Server, upstream: Upstream
) -> AbstractContextManager[GatewayProcess]:
    """Two workers whose rows are in *server*."""
    environment = {"DATABASE_URL": server.url, "RATE_LIMIT_PER_WORKER": "true"}
    return two_workers(directory, CONFIGURATION.format(url=upstream.url), environment)


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_no_request_notices_that_mariadb_is_away(
    tmp_path: Path, upstream: Upstream, fault: signal.Signals
) -> None:
    with (
        servers.mariadb(tmp_path) as server,
        _serving(tmp_path, server, upstream) as gateway,
    ):
        with Load(gateway.port, HEAD, 300, 16).running() as load:
            server.process.send_signal(fault)
            began = time.monotonic()
            time.sleep(3)
            replace_workers(gateway, seconds=150)
            time.sleep(3)
        if fault is signal.SIGSTOP:
            server.process.send_signal(signal.SIGCONT)
    received = len(upstream.requests)
    found = figures(f"MariaDB, {fault.name}", load.outcomes, since=began, received=received)
    assert found.errors == 0


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(MINUTES * 60 + 300)
def test_minutes_without_mariadb_cost_nobody_anything(tmp_path: Path, upstream: Upstream) -> None:
    with (
        servers.mariadb(tmp_path) as server,
        _serving(tmp_path, server, upstream) as gateway,
        Load(gateway.port, HEAD, 300, 16).running() as load,
    ):
        server.process.send_signal(signal.SIGKILL)
        began = time.monotonic()
        time.sleep(MINUTES * 30)
        replace_workers(gateway, seconds=60)
        time.sleep(max(0.0, began + MINUTES * 60 - time.monotonic()))
    name = f"MariaDB away for {MINUTES:g} minutes, workers replaced"
    found = figures(name, load.outcomes, since=began, received=len(upstream.requests))
    assert found.errors == 0
