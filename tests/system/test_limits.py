"""Limits of a whole gateway: two workers, a real Redis, many connections."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests import servers
from tests.support.flood import flood
from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import request
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]

WORKERS = 2
# Longer than the default, which a busy machine may take for a failure of Redis.
TIMEOUT = "0.5"
LIMITS = """
services:
  echo: {{instances: [{{url: "{url}"}}], breaker: null, retry: {{attempts: 1}}}}
limits: [{{limit: 1000000, per: minute}}]
routes:
  - {{name: exact, path: /exact, rate_limit: {{limit: 100, burst: 20, by: route}}, {public}}}
  - {{name: second, path: /second, rate_limit: {{limit: 1, per: second, by: route}}, {public}}}
  - {{name: edited, path: /edited, rate_limit: {{limit: {edited}, per: day, by: route}}, {public}}}
  - {{name: open, path: /open, rate_limit: {{limit: 60, per: day, by: route}}, {public}}}
  - name: closed
    path: /closed
    rate_limit: {{limit: 60, per: day, by: route, on_store_failure: closed}}
    {closing}
  - name: local
    path: /local
    rate_limit: {{limit: 60, per: day, by: "header:X-Run", on_store_failure: local}}
    {closing}
  - {{name: keyed, path: /keyed, service: echo, rate_limit: {{limit: 3, per: day}}}}
  - {{name: free, path: "/free/{{n}}", service: echo}}
"""


def configuration(upstream: Upstream, *, edited: int = 100) -> str:
    public = "service: echo, auth_required: false"
    closing = "service: echo\n    auth_required: false"
    return LIMITS.format(url=upstream.url, public=public, closing=closing, edited=edited)


class OwnRedis:
    """A Redis on a port of its own that can be paused, killed and started again."""

    def __init__(self, directory: Path) -> None:
        [self._program] = servers.require("redis-server")
        self._directory = directory
        self.port = servers.find_free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--save", "", "--dir", str(self._directory)]
        log = (self._directory / "redis.log").open("ab")
        with log:
            self.process = subprocess.Popen([self._program, *options], stdout=log)
        wait_until(lambda: servers._redis_answers(self.port))

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    own = OwnRedis(tmp_path_factory.mktemp("redis"))
    own.start()
    yield own
    own.kill()


@pytest.fixture(scope="module")
def limited(
    tmp_path_factory: pytest.TempPathFactory, own_redis: OwnRedis, _upstream: Upstream
) -> Iterator[GatewayProcess]:
    extra = {
        "REDIS_URL": own_redis.url,
        "REDIS_TIMEOUT": TIMEOUT,
        "RATE_LIMIT_RECORD_SECONDS": "0.5",
    }
    gateway = new_gateway(tmp_path_factory.mktemp("limited"), extra)
    gateway.apply(configuration(_upstream))
    with gateway.serving("--workers", str(WORKERS)):
        yield gateway


@pytest.fixture(autouse=True)
def _healthy(limited: GatewayProcess, own_redis: OwnRedis, upstream: Upstream) -> None:
    """Every test begins with a Redis that answers every worker, and full buckets."""
    if own_redis.process is None:
        own_redis.start()
    recovered(limited)
    forget(own_redis.port)


def forget(port: int) -> None:
    with redis.Redis(port=port) as client:
        client.flushall()


def recovered(gateway: GatewayProcess) -> None:
    """Return once no worker leaves the store alone and closed limits decide in all of them."""
    wait_until(
        lambda: 503 not in flood(gateway.port, "/closed", 32, 8).statuses and degraded(gateway) == 0
    )


def degraded(gateway: GatewayProcess) -> float:
    text = request(gateway.port, "GET", "/metrics").body.decode()
    name = "gateway_limiter_degraded_workers "
    values = [line for line in text.splitlines() if line.startswith(name)]
    return sum(float(line.removeprefix(name)) for line in values)


def test_a_client_that_waits_as_told_passes(limited: GatewayProcess) -> None:
    first, refused = (request(limited.port, "GET", "/second") for _ in range(2))
    assert (first.status, refused.status) == (200, 429)
    assert refused.get("retry-after") == "1"
    time.sleep(int(refused.get("retry-after")))
    assert request(limited.port, "GET", "/second").status == 200


def test_answers_tell_the_tightest_limit(limited: GatewayProcess) -> None:
    reply = request(limited.port, "GET", "/edited")
    names = ("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")
    assert [reply.get(name) for name in names] == ["100", "99", "864"]


def test_a_live_edit_keeps_the_level(limited: GatewayProcess, upstream: Upstream) -> None:
    flood(limited.port, "/edited", 60, 4)
    left = []
    for limit in (200, 30, 100):
        limited.apply(configuration(upstream, edited=limit))
        left.append(int(request(limited.port, "GET", "/edited").get("ratelimit-remaining")))
    assert left == [39, 29, 28]


@contextmanager
def paused(own: OwnRedis) -> Iterator[None]:
    own.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        own.signal(signal.SIGCONT)


@contextmanager
def killed(own: OwnRedis) -> Iterator[None]:
    own.kill()
    try:
        yield
    finally:
        own.start()


@pytest.mark.parametrize("without", [paused, killed])
def test_each_policy_holds_while_redis_is_away_and_limits_are_exact_after(
    limited: GatewayProcess, own_redis: OwnRedis, without: Any
) -> None:
    run = f"X-Run: {without.__name__}"
    with without(own_redis):
        results = {
            name: flood(limited.port, f"/{name}", 400, 16, run)
            for name in ("open", "closed", "local")
        }
    assert set(results["open"].statuses) == {200}
    assert set(results["closed"].statuses) == {503}
    # A share for each worker; together they let at most the limit pass.
    assert 30 <= results["local"].statuses[200] <= 60
    assert results["local"].statuses[429] >= 340
    # The limiter's timeout and what a busy machine adds, far below what a hung request would take.
    assert max(result.slowest for result in results.values()) < 3
    recovered(limited)
    forget(own_redis.port)
    for name in ("open", "closed", "local"):
        assert flood(limited.port, f"/{name}", 200, 16).statuses == {200: 60, 429: 140}


def test_redis_restarted_under_load_costs_no_request(
    limited: GatewayProcess, own_redis: OwnRedis
) -> None:
    expected = {"open": {200, 429}, "closed": {200, 429, 503}, "local": {200, 429}}
    with ThreadPoolExecutor(len(expected)) as pool:
        loads = {name: pool.submit(flood, limited.port, f"/{name}", 1500, 8) for name in expected}
        own_redis.kill()
        own_redis.start()
    for name, load in loads.items():
        result = load.result()
        assert set(result.statuses) <= expected[name]
        assert sum(result.statuses.values()) == 1500
        assert result.slowest < 3
    assert "Traceback" not in (limited.directory / "serve.log").read_text("utf-8", "replace")


def shell(gateway: GatewayProcess, code: str) -> None:
    gateway.manage("shell", "-c", code)


def with_key(gateway: GatewayProcess, consumer: str) -> str:
    return f"X-API-Key: {gateway.key(consumer)}"


def test_a_consumers_own_limit_takes_the_place_of_the_routes(limited: GatewayProcess) -> None:
    key = with_key(limited, "globex")
    assert flood(limited.port, "/keyed", 20, 4, key).statuses == {200: 3, 429: 17}
    shell(
        limited,
        "from keys.models import Consumer; from quotas.models import RateLimit; "
        "RateLimit.objects.create(consumer=Consumer.objects.get(name='globex'), limit=7, "
        "per='day', override=True)",
    )
    wait_until(lambda: request(limited.port, "GET", "/keyed", key).status == 200)
    assert flood(limited.port, "/keyed", 20, 4, key).statuses[200] <= 6
    assert request(limited.port, "GET", "/keyed", key).get("ratelimit-limit") == "7"


def test_a_plan_is_exact_over_workers_warns_and_survives_redis(
    limited: GatewayProcess, own_redis: OwnRedis
) -> None:
    key = with_key(limited, "acme")
    shell(
        limited,
        "from keys.models import Consumer; from quotas.models import Plan, PlanMembership; "
        "PlanMembership.objects.create(consumer=Consumer.objects.get(name='acme'), "
        "plan=Plan.objects.create(name='bronze', daily=500))",
    )
    wait_until(lambda: bool(request(limited.port, "GET", "/free/1", key).get("ratelimit-limit")))
    result = flood(limited.port, "/free/2", 700, 16, key)
    # Those that waited for the plan to arrive count as well, once they were measured.
    counted = "SELECT sum(allowed) FROM rate_limit_records WHERE identifier = 'consumer:acme'"
    wait_until(lambda: (limited.query(counted)[0][0] or 0) >= 500)
    assert result.statuses[429] >= 200
    passed = limited.query(counted)[0][0]
    notices = "SELECT changes FROM audit_logs WHERE action = 'plan.quota_reached'"
    wait_until(lambda: len(limited.query(notices)) == 2)
    forget(own_redis.port)
    wait_until(lambda: request(limited.port, "GET", "/free/3", key).status == 429)
    assert flood(limited.port, "/free/3", 50, 4, key).statuses == {429: 50}
    assert passed <= 502
    assert len(limited.query(notices)) == 2
