"""A gateway of two workers before three upstreams, each behind a proxy that can misbehave."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.faults.proxy import HEALTHY, Fault, FaultyProxy
from tests.faults.waiting import eventually
from tests.support.load import Load
from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import request
from tests.support.upstream import Upstream

WORKERS = 2
HEAD = b"GET /trio HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
"""For what is no fault of an instance: nothing of that service is in a hurry."""
CONFIGURATION = """
services:
  trio:
    instances: [{instances}]
    timeout: {{connect: 0.4, read: 0.4, total: 3}}
    retry: {{attempts: 3, backoff: 0.01, on: [connect, reset, timeout, 500, 502, 503, 504]}}
    breaker: {{failure_threshold: 3, recovery: 1, min_requests: 5, slow_seconds: 0.2}}
    health_check: {{interval: 0.4, timeout: 0.3, unhealthy_after: 2, healthy_after: 1}}
  plain:
    instances: [{instances}]
  guarded:
    instances: [{instances}]
    timeout: {{connect: 0.4, read: 0.4, total: 3}}
    retry: {{attempts: 3, backoff: 0, max_backoff: 0, on: [500, 502, 503, 504]}}
    breaker: null
  narrow:
    instances: [{{url: "{first}"}}]
    breaker: null
    overload: {{max_requests_per_instance: 1, max_queued: 1, queue_timeout: 0.5}}
  probed:
    instances: [{{url: "{first}"}}]
    retry: {{attempts: 1}}
    breaker: {{failure_threshold: 1, recovery: 0.5, half_open_requests: 2}}
  dripping:
    instances: [{{url: "{first}"}}]
    timeout: {{first_byte: 0.3, read: 10, total: 10}}
    retry: {{attempts: 1}}
    breaker: {{failure_threshold: 1, recovery: 0.5}}
  told:
    instances: [{{url: "{first}"}}]
    retry: {{attempts: 1}}
    breaker: {{failure_threshold: 1, recovery: 2}}
  sticky:
    instances: [{instances}]
    sticky_cookie: stay
  keyed:
    instances: [{instances}]
    breaker: null
    retry: {{attempts: 2, backoff: 0, on: [503], idempotency_key: true}}
  hedged:
    instances: [{instances}]
    breaker: null
    retry: {{hedge_after: 0.1, budget: 1}}
routes:
  - {{name: trio, path: /trio, service: trio, auth_required: false}}
  - {{name: plain, path: /plain, service: plain, auth_required: false}}
  - {{name: guarded, path: /guarded, service: guarded, auth_required: false}}
  - {{name: narrow, path: /narrow, service: narrow, auth_required: false}}
  - {{name: probed, path: /probed, service: probed, auth_required: false}}
  - {{name: dripping, path: /dripping, service: dripping, auth_required: false}}
  - {{name: told, path: /told, service: told, auth_required: false}}
  - {{name: sticky, path: /sticky, service: sticky, auth_required: false}}
  - {{name: keyed, path: /keyed, service: keyed, auth_required: false}}
  - {{name: hedged, path: /hedged, service: hedged, auth_required: false}}
"""


@dataclass
class Lab:
    """Everything a scenario needs; :meth:`mend` makes it whole again."""

    gateway: GatewayProcess
    upstreams: list[Upstream]
    proxies: list[FaultyProxy]
    _stopped: list[int] = field(default_factory=list)

    def load(self, head: bytes = HEAD, rate: float = 300.0, connections: int = 24) -> Load:
        """A constant rate of requests."""
        return Load(self.gateway.port, head, rate, connections)

    def get(self, target: str, *lines: str) -> int:
        """Status of one GET."""
        return request(self.gateway.port, "GET", target, *lines).status

    def breaks(self, fault: Fault, *which: int) -> None:
        """From now on *fault* is between the gateway and these upstreams."""
        for index in which or range(len(self.proxies)):
            self.proxies[index].fault = fault

    def kill(self, *which: int) -> None:
        """Nobody listens on these instances any more."""
        for index in which:
            self.proxies[index].stop()
            self._stopped.append(index)

    def received(self, target: str = "/trio") -> list[int]:
        """How many requests for *target* each upstream saw."""
        return [sum(one.target == target for one in each.requests) for each in self.upstreams]

    def mend(self) -> None:
        """Make everything whole, and forget what was received."""
        self.restore()
        for upstream in self.upstreams:
            upstream.reset()

    def restore(self) -> None:
        """Bring back what was killed and undo every fault of the proxies."""
        for index in self._stopped:
            old = self.proxies[index]
            self.proxies[index] = FaultyProxy(old.target, port=old.port)
        self._stopped.clear()
        self.breaks(HEALTHY)

    def metric(self, name: str, *parts: str) -> list[float]:
        """Values of the series of *name* that hold all *parts*."""
        body = request(self.gateway.port, "GET", "/metrics").body.decode()
        lines = (line for line in body.splitlines() if line.startswith(name + "{"))
        return [float(line.split()[-1]) for line in lines if all(part in line for part in parts)]


@pytest.fixture(scope="package")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    upstreams = [Upstream() for _ in range(3)]
    proxies = [FaultyProxy(each.port) for each in upstreams]
    extra = {"RATE_LIMIT_PER_WORKER": "true", "ALLOWED_HOSTS": "gateway.test"}
    gateway = new_gateway(tmp_path_factory.mktemp("lab"), extra)
    instances = ", ".join(f'{{url: "{each.url}"}}' for each in proxies)
    gateway.apply(CONFIGURATION.format(instances=instances, first=proxies[0].url))
    lab = Lab(gateway, upstreams, proxies)
    with gateway.serving("--workers", str(WORKERS)):
        yield lab
    for proxy in lab.proxies:
        proxy.stop()
    for upstream in upstreams:
        upstream.stop()


@pytest.fixture
def lab(_lab: Lab) -> Iterator[Lab]:
    """The laboratory, whole."""
    _wait_until_whole(_lab)
    yield _lab
    _lab.mend()


def _wait_until_whole(lab: Lab) -> None:
    lab.mend()
    eventually(lambda: _whole(lab), seconds=8)
    for upstream in lab.upstreams:
        upstream.reset()


def _whole(lab: Lab) -> bool:
    healthy = lab.metric("gateway_instance_healthy")
    return len(healthy) == 3 * WORKERS and all(healthy) and _closed(lab)


def _closed(lab: Lab) -> bool:
    lab.get("/trio")
    return not any(lab.metric("gateway_breaker_state"))
