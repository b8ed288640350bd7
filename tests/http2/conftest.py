"""The gateway under hypercorn, with TLS, before an HTTP/1.1 upstream and a gRPC service."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.http2.echo import EchoServer
from tests.servers import find_free_port
from tests.support.process import GatewayProcess, new_gateway
from tests.support.upstream import Upstream
from tests.upstream.certificates import Authority

CONFIGURATION = """
services:
  scripted: {{instances: [{{url: "{scripted}"}}], breaker: null, retry: {{attempts: 1}}}}
  echo:
    instances: [{{url: "http://127.0.0.1:{echo}"}}]
    transport: h2
    timeout: {{connect: 2, read: 20, total: 20}}
  nowhere: {{instances: [{{url: "http://127.0.0.1:{dead}"}}], transport: h2, breaker: null}}
routes:
  - {{path: "/open/{{rest:path}}", service: scripted, auth_required: false}}
  - {{path: "/closed", service: scripted}}
  - {{path: "/echo.Echo/{{method}}", service: echo}}
  - {{path: "/echo.Echo/Count", service: echo, rate_limit: {{limit: 1, per: hour}}}}
  - {{path: "/open.Echo/Count", rewrite: /echo.Echo/Count, service: echo}}
  - {{path: "/dead.Echo/{{method}}", service: nowhere, auth_required: false}}
"""


@dataclass
class Front:
    """The gateway under hypercorn: ``port`` speaks TLS, the gateway's own port does not."""

    gateway: GatewayProcess
    port: int
    authority: Path

    @property
    def url(self) -> str:
        """Where HTTP/2 clients go."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """An API key."""
        return self.gateway.key("acme")

    def channel(self) -> grpc.Channel:
        """A gRPC client."""
        credentials = grpc.ssl_channel_credentials(self.authority.read_bytes())
        return grpc.secure_channel(f"127.0.0.1:{self.port}", credentials)


@pytest.fixture(autouse=True)
def _fresh(upstream: Upstream) -> None:
    """Whether a test asks for the upstream or not."""


@pytest.fixture(scope="session")
def echo() -> Iterator[EchoServer]:
    """The gRPC service."""
    server = EchoServer()
    yield server
    server.stop()


@pytest.fixture(scope="package")
def front(
    tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream, echo: EchoServer
) -> Iterator[Front]:
    """Started as docs/operations.md says."""
    gateway = new_gateway(tmp_path_factory.mktemp("http2"))
    gateway.apply(
        CONFIGURATION.format(scripted=_upstream.url, echo=echo.port, dead=find_free_port())
    )
    authority = Authority(tmp_path_factory.mktemp("front"))
    pair = authority.issue("127.0.0.1")
    front = Front(gateway, find_free_port(), Path(authority.file))
    command = [
        str(Path(sys.executable).parent / "hypercorn"),
        *("--config", "file:gateway_project/under_hypercorn.py"),
        *("--bind", f"127.0.0.1:{front.port}", "--insecure-bind", f"127.0.0.1:{gateway.port}"),
        *("--certfile", str(pair.certificate), "--keyfile", str(pair.key)),
        "gateway_project.asgi:application",
    ]
    with gateway.under(command):
        yield front
