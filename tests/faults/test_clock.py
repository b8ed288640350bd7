"""The wall clock of a gateway under load steps by an hour, forward and back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.faults.clock import WallClock
from tests.faults.conftest import WORKERS, Lab
from tests.faults.outcomes import figures, say
from tests.faults.proxy import FaultyProxy
from tests.faults.waiting import eventually
from tests.keys import forge
from tests.support.load import Load
from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import request
from tests.support.upstream import OK, Received, Upstream

HOUR = 3600
FAILURE = b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
CONFIGURATION = """
services:
  pair:
    instances: [{instances}]
    retry: {{attempts: 2, backoff: 0, on: [connect, reset, 500]}}
    breaker: {{failure_threshold: 3, recovery: 1}}
    health_check: {{interval: 0.4, timeout: 0.3, unhealthy_after: 2, healthy_after: 1}}
routes:
  - {{name: pair, path: /pair, service: pair, auth_required: false}}
  - {{name: keyed, path: /keyed, service: pair}}
  - {{name: tight, path: /tight, service: pair, auth_required: false,
      rate_limit: {{limit: 5, per: hour, by: ip}}}}
"""


async def _failing_but_well(
    received: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    writer.write(OK if received.target == "/health" else FAILURE)


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[WallClock]:
    made = WallClock(tmp_path)
    yield made
    made.close()


@pytest.fixture
def pair(tmp_path: Path, clock: WallClock) -> Iterator[Lab]:
    """Two workers by *clock* before two instances."""
    upstreams = [Upstream(), Upstream()]
    proxies = [FaultyProxy(each.port) for each in upstreams]
    instances = ", ".join(f'{{url: "{each.url}"}}' for each in proxies)
    gateway = new_gateway(tmp_path, {"RATE_LIMIT_PER_WORKER": "true"})
    gateway.apply(CONFIGURATION.format(instances=instances))
    gateway.key("acme")
    gateway.environment.update(clock.environment)
    lab = Lab(gateway, upstreams, proxies)
    with gateway.serving("--workers", str(WORKERS)):
        eventually(lambda: lab.metric("gateway_instance_healthy") == [1.0] * 4, seconds=8)
        yield lab
    for proxy in lab.proxies:
        proxy.stop()
    for upstream in upstreams:
        upstream.stop()


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(120)
def test_a_clock_that_steps_costs_no_request(pair: Lab, clock: WallClock) -> None:
    gateway = pair.gateway
    short = _bearer(gateway, HOUR // 2)
    heads = (_head("/pair"), _head("/keyed", f"X-API-Key: {gateway.key('acme')}"),
             _head("/keyed", _bearer(gateway, 3 * HOUR)))  # fmt: skip
    loads = [
        Load(gateway.port, head, rate) for head, rate in zip(heads, (200, 50, 50), strict=True)
    ]
    with ExitStack() as running:
        for load in loads:
            running.enter_context(load.running())
        time.sleep(1)  # of the requests of the last seconds a fifth may be repeated
        for ahead in (HOUR, 0):
            _step_while_a_breaker_is_open(pair, clock, ahead)
            _lose_an_instance_and_have_it_back(pair)
            _spend_all(gateway)
            # By the clock as it is.
            assert _keyed(gateway, short) == (401 if ahead else 200)
    outcomes = [one for load in loads for one in load.outcomes]
    received = sum(pair.received("/pair")) + sum(pair.received("/keyed"))
    found = figures("the clock steps by an hour, and back", outcomes, received=received)
    assert set(found.statuses) == {200}
    assert found.errors == 0


def _step_while_a_breaker_is_open(lab: Lab, clock: WallClock, ahead: int) -> None:
    """It closes when the instance answers again, and stays closed."""
    lab.upstreams[0].script = _failing_but_well
    eventually(lambda: 2.0 in lab.metric("gateway_breaker_state"), seconds=5)
    clock.set(ahead)
    eventually(lambda: _shows(lab.gateway, ahead), seconds=5)
    lab.upstreams[0].reset()
    closed = eventually(lambda: not any(lab.metric("gateway_breaker_state")), seconds=5)
    say(f"clock {ahead:+d} s: breakers closed {closed:.2f} s after the instance answered again")
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert not any(lab.metric("gateway_breaker_state"))


def _lose_an_instance_and_have_it_back(lab: Lab) -> None:
    def verdicts() -> list[float]:
        return lab.metric("gateway_instance_healthy", lab.proxies[0].url)

    lab.kill(0)
    out = eventually(lambda: verdicts() == [0.0] * WORKERS, seconds=5)
    lab.restore()
    back = eventually(lambda: verdicts() == [1.0] * WORKERS, seconds=5)
    say(f"an instance that was killed was out after {out:.2f} s, and in {back:.2f} s after it was")


def _spend_all(gateway: GatewayProcess) -> None:
    """Five an hour in each worker: nobody has to wait longer than for one of them."""
    for _ in range(10 * WORKERS):
        request(gateway.port, "GET", "/tight")
    refused = [request(gateway.port, "GET", "/tight") for _ in range(10)]
    assert {one.status for one in refused} == {429}
    assert max(int(one.get("retry-after")) for one in refused) <= HOUR // 5


def _shows(gateway: GatewayProcess, ahead: int) -> bool:
    """Whether both workers go by a clock that is *ahead*."""
    dates = [request(gateway.port, "GET", "/pair").get("date") for _ in range(10)]
    now = time.time() + ahead
    print(set(dates), ahead, time.ctime())
    return all(abs(parsedate_to_datetime(date).timestamp() - now) < 10 for date in dates)


def _keyed(gateway: GatewayProcess, line: str) -> int:
    return request(gateway.port, "GET", "/keyed", line).status


def _bearer(gateway: GatewayProcess, seconds: int) -> str:
    secret = gateway.environment["JWT_SECRET_KEY"].encode()
    claims = {"sub": "42", "exp": int(time.time()) + seconds}
    return f"Authorization: Bearer {forge.signed(forge.HEADER, claims, secret)}"


def _head(target: str, *lines: str) -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: gateway.test", *lines, "", ""]).encode()
