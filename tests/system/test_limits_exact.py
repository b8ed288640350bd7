"""Limits are exact over workers and gateways that share a Redis, or a Redis Cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers import Server
from tests.support.flood import Flood, flood_together
from tests.support.process import GatewayProcess, new_gateway
from tests.support.redis_cluster import three_masters
from tests.support.upstream import Upstream

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

BURST = 20
PER_MINUTE = 100
CONFIGURATION = """
services:
  echo: {{instances: [{{url: "{url}"}}], breaker: null, retry: {{attempts: 1}}}}
limits: [{{limit: 1000000, per: minute}}]
routes:
  - name: exact
    path: /exact
    service: echo
    auth_required: false
    rate_limit: {{limit: {limit}, burst: {burst}, by: ip, on_store_failure: closed}}
"""
# Longer than the default, which a busy machine may take for a failure of Redis.
TIMEOUT = {"REDIS_TIMEOUT": "2", "REDIS_CLUSTER_SOCKET_TIMEOUT": "2"}


@contextmanager
def gateways(
    directory: Path, upstream: Upstream, number: int, workers: int, store: dict[str, str]
) -> Iterator[list[GatewayProcess]]:
    """Gateways with databases of their own and the same configuration and store."""
    first = new_gateway(directory / "0", {**store, **TIMEOUT})
    first.apply(CONFIGURATION.format(url=upstream.url, limit=PER_MINUTE, burst=BURST))
    found = [first]
    with ExitStack() as stack:
        for place in range(1, number):
            home = directory / str(place)
            home.mkdir()
            found.append(first.copy(home))
        for gateway in found:
            stack.enter_context(gateway.serving("--workers", str(workers)))
        yield found


def judge(result: Flood, requests: int) -> None:
    """A full bucket, and what came to it from the first request to the last answer."""
    seconds = result.span[1] - result.span[0]
    expected = BURST + seconds * PER_MINUTE / 60
    logger.info(
        "%d requests in %.1f s (%.0f a second): %d allowed, the arithmetic gives %.2f",
        requests,
        seconds,
        requests / seconds,
        result.statuses[200],
        expected,
    )
    assert set(result.statuses) == {200, 429}
    assert sum(result.statuses.values()) == requests
    assert abs(result.statuses[200] - int(expected)) <= 1


@pytest.fixture
def store(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: Server
) -> Iterator[dict[str, str]]:
    """A Redis, or a Redis Cluster of three masters."""
    if request.param == "redis":
        yield {"REDIS_URL": redis_server.url, "REDIS_PREFIX": f"{tmp_path.name}:"}
        return
    with three_masters(tmp_path) as cluster:
        yield {"REDIS_CLUSTER_ENABLED": "true", "REDIS_CLUSTER_NODES": ",".join(cluster.nodes)}


EITHER = pytest.mark.parametrize("store", ["redis", "cluster"], indirect=True)


@pytest.mark.parametrize(
    "store", [pytest.param("redis", marks=pytest.mark.slow), "cluster"], indirect=True
)
def test_a_limit_is_exact_over_two_gateways(
    store: dict[str, str], tmp_path: Path, upstream: Upstream
) -> None:
    with gateways(tmp_path / "gateways", upstream, 2, 1, store) as found:
        ports = [gateway.port for gateway in found]
        judge(flood_together(ports, "/exact", 1_500, 50), 1_500)


@pytest.mark.slow
@EITHER
def test_ten_thousand_requests_to_eight_workers_get_what_the_arithmetic_gives(
    store: dict[str, str], tmp_path: Path, upstream: Upstream
) -> None:
    with gateways(tmp_path / "gateways", upstream, 2, 4, store) as found:
        ports = [gateway.port for gateway in found]
        judge(flood_together(ports, "/exact", 10_000, 50), 10_000)
