"""A worker loads what the data plane needs; the pages, and what is seldom asked for, stay away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.process import PROJECT, GatewayProcess, new_gateway

BOOTSTRAP = """
import asyncio, sys
from gateway_project.env import get_settings
from gateway_project.serving import server_config

config = server_config(get_settings())
config.load()

async def start_and_stop():
    node = await config.loaded_app.node()
    print(*sorted(sys.modules))
    await node.stop()

asyncio.run(start_and_stop())
"""
"""What ``serve`` has a worker do, up to its first request."""

PAGES = {
    "axes", "django.contrib.admin", "django.contrib.messages", "django.contrib.sessions",
    "django.contrib.staticfiles", "django_prometheus", "drf_spectacular", "rest_framework",
    "runtime.console", "unfold", "whitenoise",
}  # fmt: skip
SELDOM = {"cryptography", "h2", "httpx", "jwt", "redis"}
"""For key pairs and external issuers, HTTP/2 to services, the httpx transport, and Redis."""
CONFIGURATION = """
services:
  grpc: {{instances: [{{url: "http://127.0.0.1:1"}}], transport: {transport}}}
routes:
  - {{path: /grpc, service: grpc, auth_required: false}}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayProcess:
    return new_gateway(tmp_path)


def modules_of_a_worker(gateway: GatewayProcess) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", BOOTSTRAP], cwd=PROJECT, env=gateway.environment,
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return set(ended.stdout.split())


def test_a_worker_loads_no_pages_and_nothing_that_is_not_asked_for(gateway: GatewayProcess) -> None:
    loaded = modules_of_a_worker(gateway)
    assert "proxying.upstream.native" in loaded
    assert not loaded & (PAGES | SELDOM)
    assert [name for name in loaded if name.endswith(".admin")] == []


@pytest.mark.parametrize(
    ("transport", "library"), [("h2", "proxying.http2.connection"), ("httpx", "httpx")]
)
def test_a_transport_is_loaded_before_the_revision_that_asks_for_it_is_served(
    gateway: GatewayProcess, transport: str, library: str
) -> None:
    gateway.apply(CONFIGURATION.format(transport=transport))
    assert library in modules_of_a_worker(gateway)


def test_of_key_pairs_a_worker_knows_from_its_start(gateway: GatewayProcess) -> None:
    gateway.environment["JWT_ALGORITHM"] = "RS256"
    gateway.manage("generate_keys")
    assert "cryptography" in modules_of_a_worker(gateway)


def processes_below(pid: int) -> dict[str, str]:
    """What each child of *pid* was started with, by its number."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return {child: Path(f"/proc/{child}/cmdline").read_text("utf-8") for child in children}


def test_a_running_worker_maps_no_library_that_it_does_not_need(gateway: GatewayProcess) -> None:
    with gateway.serving():
        assert gateway.process is not None
        started = processes_below(gateway.process.pid)
        [worker] = [pid for pid, words in started.items() if "spawn_main" in words]
        maps = Path(f"/proc/{worker}/maps").read_text("utf-8")
    assert "uvloop" in maps
    assert "cryptography" not in maps
