"""Two gateways alike before one upstream: the plain requests of one take the fast path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway_project.compiled import FAST_PATH_VARIABLE
from tests.servers import Server
from tests.support.process import PROJECT, GatewayProcess, new_gateway
from tests.support.raw import RawClient, Reply
from tests.support.upstream import Received, Upstream

CONFIGURATION = """
services:
  plain:
    instances: [{{url: "{url}"}}]
    timeout: {{first_byte: 0.5, read: 0.5, total: 5}}
    breaker: {{failure_threshold: 3, recovery: 1}}
    retry: {{attempts: 1}}
  patient:
    instances: [{{url: "{url}"}}]
    timeout: {{first_byte: 30, read: 0.5, total: 60}}
    breaker: null
  narrow:
    instances: [{{url: "{url}"}}]
    breaker: null
    overload: {{max_requests_per_instance: 2, queue_timeout: 5}}
  hopeful: {{instances: [{{url: "{url}"}}], breaker: null, retry: {{attempts: 2, backoff: 0}}}}
routes:
  - {{name: open, path: "/open/{{rest:path}}", service: plain, auth_required: false}}
  - {{name: again, path: /again, service: hopeful, auth_required: false}}
  - {{name: patient, path: /patient, service: patient, auth_required: false}}
  - {{name: narrow, path: /narrow, service: narrow, auth_required: false}}
  - {{name: host, path: /host, service: hopeful, auth_required: false, preserve_host: true}}
  - {{name: keyed, path: "/keyed/{{rest:path}}", service: hopeful, auth: {{methods: [api_key]}}}}
  - name: limited
    path: /limited
    service: hopeful
    auth: {{methods: [api_key]}}
    rate_limit: {{limit: 20, per: day}}
"""


LIBRARY = {FAST_PATH_VARIABLE: str(PROJECT / "build" / "fastpath-of-tests")}
"""Of these sources, and apart from the one that is served: tests change nothing of that."""


@pytest.fixture(scope="session", autouse=True)
def _library() -> None:
    """It is there."""
    if shutil.which("cargo") is None:
        pytest.skip("the fast path is made with Rust")
    environment = {**os.environ, **LIBRARY}
    subprocess.run(
        [sys.executable, "scripts/fastpath.py"], cwd=PROJECT, env=environment, check=True
    )


@dataclass
class Pair:
    """The gateways, each with a key of its own for the consumer ``tester``."""

    fast: GatewayProcess
    slow: GatewayProcess
    upstream: Upstream

    def ask(self, client: RawClient, target: str, *lines: str) -> tuple[Reply, Received]:
        """The answer to one GET, and the request that the upstream saw."""
        client.send(head(target, *lines))
        return client.read_reply(), self.upstream.requests[-1]

    def on_the_fast_path(self, target: str, *lines: str) -> RawClient:
        """A connection on which such a request was served once: the next one needs no Python."""
        client = RawClient(self.fast.port)
        self.ask(client, target, *lines)
        return client


def head(target: str, *lines: str) -> bytes:
    """A GET."""
    given = "".join(f"{line}\r\n" for line in lines)
    return f"GET {target} HTTP/1.1\r\nHost: gateway.test\r\n{given}\r\n".encode("latin-1")


def gateway(directory: Path, upstream: Upstream, redis: Server, mode: str) -> GatewayProcess:
    """Not started yet; *mode* is that of COMPILED_DATA_PLANE."""
    directory.mkdir()
    made = new_gateway(
        directory,
        {
            "ALLOWED_HOSTS": "gateway.test",
            "COMPILED_DATA_PLANE": mode,
            **LIBRARY,
            "REDIS_URL": redis.url,
            "REDIS_PREFIX": f"{directory}:",
            "LOG_FORMAT": "json",
            "DRAIN_ACCEPT_SECONDS": "1",
            "MAX_HEADER_BYTES": "7000",
            "MAX_TARGET_BYTES": "1000",
        },
    )
    made.apply(CONFIGURATION.format(url=upstream.url))
    return made


@pytest.fixture(scope="session")
def pair(
    tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream, redis_server: Server
) -> Iterator[Pair]:
    """Both, running."""
    directory = tmp_path_factory.mktemp("pair")
    fast = gateway(directory / "fast", _upstream, redis_server, "auto")
    slow = gateway(directory / "slow", _upstream, redis_server, "off")
    with fast.serving("--workers", "1"), slow.serving("--workers", "1"):
        yield Pair(fast, slow, _upstream)


@pytest.fixture(autouse=True)
def fresh(upstream: Upstream) -> None:
    """The upstream answers 200 and has seen nothing."""
