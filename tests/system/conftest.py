"""One running gateway before two scripted upstreams, shared by the tests of this directory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers import Server, find_free_port
from tests.support.process import GatewayProcess, new_gateway
from tests.support.upstream import Upstream
from tests.system.identity import database_of_its_own, gateway_with_an_operator

CONFIGURATION = """
services:
  scripted:
    instances: [{{url: "{scripted}"}}]
    timeout: {{connect: 1, read: 5, total: 10}}
    breaker: null
    retry: {{attempts: 1}}
  pair:
    instances: [{{url: "{scripted}"}}, {{url: "http://127.0.0.1:{dead}"}}]
    timeout: {{connect: 1}}
  dead:
    instances: [{{url: "http://127.0.0.1:{dead}"}}]
    breaker: null
  fragile:
    instances: [{{url: "http://127.0.0.1:{dead}"}}]
    breaker: {{failure_threshold: 2, recovery: 60}}
    retry: {{attempts: 1}}
  retrying:
    instances: [{{url: "{scripted}"}}]
    breaker: null
    retry: {{attempts: 3, backoff: 0}}
  empty: {{}}
routes:
  - {{name: open, path: "/open/{{rest:path}}", {public}}}
  - {{name: closed, path: "/closed/{{rest:path}}", service: scripted, methods: [GET, POST]}}
  - {{name: only-jwt, path: /only-jwt, service: scripted, auth: {{methods: [jwt]}}}}
  - {{name: limited, path: /limited, service: scripted, rate_limit: 100}}
  - {{name: shadowed, path: /shadowed, rate_limit: {{limit: 1, mode: shadow}}, {public}}}
  - {{name: pair, path: /pair, service: pair, auth_required: false}}
  - {{name: dead, path: /dead, service: dead, auth_required: false}}
  - {{name: fragile, path: /fragile, service: fragile, auth_required: false}}
  - {{name: empty, path: /empty, service: empty, auth_required: false}}
  - {{name: retrying, path: /retrying, service: retrying, auth_required: false}}
  - {{name: slow, path: /slow, timeout: 0.5, {public}}}
  - {{name: small, path: /small, max_body_bytes: 10, {public}}}
  - {{name: strip, path: "/api/{{rest:path}}", strip_prefix: /api, {public}}}
  - {{name: rewrite, path: "/old/{{id}}", rewrite: "/v2/{{id}}/item", {public}}}
  - {{name: keep, path: "/keep/{{rest:path}}", merge_slashes: false, {public}}}
  - {{name: host-kept, path: /host-kept, preserve_host: true, {public}}}
  - {{name: with-token, path: /with-token, service: scripted, forward_authorization: true}}
  - {{name: by-host, path: /by-host, hosts: [api.example.com], {public}}}
"""


@pytest.fixture(autouse=True)
def _fresh(upstream: Upstream) -> None:
    """Whether a test asks for the upstream or not."""


@pytest.fixture(scope="package")
def running_gateway(
    tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream, dead_port: int
) -> Iterator[GatewayProcess]:
    """``serve`` with one worker and the configuration above."""
    gateway = new_gateway(tmp_path_factory.mktemp("gateway"))
    public = "service: scripted, auth_required: false"
    gateway.apply(CONFIGURATION.format(scripted=_upstream.url, dead=dead_port, public=public))
    with gateway.serving():
        yield gateway


@pytest.fixture
def gateway(running_gateway: GatewayProcess, upstream: Upstream) -> GatewayProcess:
    """The running gateway, its upstream fresh."""
    return running_gateway


@pytest.fixture(scope="session")
def dead_port() -> int:
    """A port on which nobody listens."""
    return find_free_port()


@pytest.fixture(scope="package", params=["embedded", "servers"])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream
) -> Iterator[GatewayProcess]:
    """Two workers that know callers: with SQLite and what is in the process, and with MariaDB and
    Redis.
    """
    settings = {"RATE_LIMIT_PER_WORKER": "true"}
    if request.param == "servers":
        mariadb: Server = request.getfixturevalue("mariadb_server")
        redis: Server = request.getfixturevalue("redis_server")
        settings = {
            "DATABASE_URL": database_of_its_own(mariadb, "identity_world"),
            "REDIS_URL": redis.url,
            "REDIS_PREFIX": "identity:",
        }
    gateway = gateway_with_an_operator(
        tmp_path_factory.mktemp(request.param), _upstream.url, **settings
    )
    with gateway.serving("--workers", "2"):
        yield gateway
