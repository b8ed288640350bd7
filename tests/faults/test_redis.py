"""Redis hangs, or ends, under load: each limit follows its own policy, and nobody waits.

``MINUTES`` says for how long in the longest of them, 5 by default.
"""

from __future__ import annotations

import signal
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests import servers
from tests.faults.outcomes import Figures, figures
from tests.faults.processes import replace_workers, two_workers
from tests.faults.waiting import MINUTES
from tests.servers import Server
from tests.support.load import Load
from tests.support.process import GatewayProcess
from tests.support.upstream import Upstream

CONFIGURATION = """
services:
  echo:
    instances: [{{url: "{url}"}}]
routes:
  - {{name: opens, path: /open, service: echo, auth_required: false, rate_limit:
      {{limit: 1000000, by: ip, on_store_failure: open}}}}
  - {{name: closes, path: /closed, service: echo, auth_required: false, rate_limit:
      {{limit: 1000000, by: ip, on_store_failure: closed}}}}
"""


def _serving(
    directory: Path, server: Server, upstream: Upstream
) -> AbstractContextManager[GatewayProcess]:
    """Two workers whose limits are in *server*."""
    environment = {"REDIS_URL": server.url}
    return two_workers(directory, CONFIGURATION.format(url=upstream.url), environment)


def _load(gateway: GatewayProcess, target: str, rate: float) -> Load:
    head = f"GET {target} HTTP/1.1\r\nHost: gateway.test\r\n\r\n".encode()
    return Load(gateway.port, head, rate, 16)


def _figures(name: str, load: Load, since: float, upstream: Upstream) -> Figures:
    target = load.head.split()[1].decode()
    received = sum(one.target == target for one in upstream.requests)
    return figures(f"{name}, {target}", load.outcomes, since=since, received=received)


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_limits_follow_their_policy_while_redis_is_away(
    tmp_path: Path, upstream: Upstream, fault: signal.Signals
) -> None:
    with (
        servers.redis(tmp_path) as server,
        _serving(tmp_path, server, upstream) as gateway,
        _load(gateway, "/open", 300).running() as opens,
        _load(gateway, "/closed", 100).running() as closes,
    ):
        time.sleep(2)
        began = time.monotonic()
        server.process.send_signal(fault)
        time.sleep(8)
        if fault is signal.SIGSTOP:
            server.process.send_signal(signal.SIGCONT)
            time.sleep(4)
    served = _figures(f"Redis, {fault.name}", opens, began, upstream)
    refused = _figures(f"Redis, {fault.name}", closes, began, upstream)
    assert served.errors == 0
    assert set(refused.statuses) == {200, 503}
    assert max(served.stall, refused.stall) < 2
    if fault is signal.SIGSTOP:
        assert all(one.reply and one.reply.status == 200 for one in closes.outcomes[-50:])


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(MINUTES * 60 + 300)
def test_minutes_without_redis_cost_only_who_asked_for_it(
    tmp_path: Path, upstream: Upstream
) -> None:
    with (
        servers.redis(tmp_path) as server,
        _serving(tmp_path, server, upstream) as gateway,
        _load(gateway, "/open", 300).running() as opens,
        _load(gateway, "/closed", 30).running() as closes,
    ):
        server.process.send_signal(signal.SIGKILL)
        began = time.monotonic()
        time.sleep(MINUTES * 30)
        replace_workers(gateway, seconds=60)
        time.sleep(max(0.0, began + MINUTES * 60 - time.monotonic()))
    name = f"Redis away for {MINUTES:g} minutes, workers replaced"
    served = _figures(name, opens, began, upstream)
    refused = _figures(name, closes, began, upstream)
    assert served.errors == 0
    late = [one for one in closes.outcomes if one.sent > began + 1]
    assert {one.reply and one.reply.get("x-gateway-error") for one in late} == {
        "limiter_unavailable"
    }
    assert max(served.stall, refused.stall) < 2
