"""Redis hangs, and then ends, under load: each limit follows its own policy, and nobody waits."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests import servers
from tests.faults.outcomes import figures
from tests.support.load import Load
from tests.support.process import new_gateway
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


def _head(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: gateway.test\r\n\r\n".encode()


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(180)
@pytest.mark.parametrize("fault", [signal.SIGSTOP, signal.SIGKILL])
def test_limits_follow_their_policy_while_redis_is_away(
    tmp_path: Path, fault: signal.Signals
) -> None:
    upstream = Upstream()
    with servers.redis(tmp_path) as server:
        gateway = new_gateway(tmp_path, {"REDIS_URL": server.url})
        gateway.apply(CONFIGURATION.format(url=upstream.url))
        with (
            gateway.serving("--workers", "2"),
            Load(gateway.port, _head("/open"), 150, 16).running() as opens,
            Load(gateway.port, _head("/closed"), 150, 16).running() as closes,
        ):
            time.sleep(2)
            began = time.monotonic()
            server.process.send_signal(fault)
            time.sleep(8)
            if fault is signal.SIGSTOP:
                server.process.send_signal(signal.SIGCONT)
                time.sleep(4)
    upstream.stop()
    served = figures(f"Redis, {fault.name}, open", opens.outcomes, since=began)
    refused = figures(f"Redis, {fault.name}, closed", closes.outcomes, since=began)
    assert served.errors == 0
    assert set(refused.statuses) == {200, 503}
    assert max(served.stall, refused.stall) < 2
    if fault is signal.SIGSTOP:
        assert all(one.reply and one.reply.status == 200 for one in closes.outcomes[-50:])
