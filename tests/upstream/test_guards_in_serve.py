"""What ``serve`` connects to and believes: addresses, certificates, HTTP/2."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import RawClient
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until
from tests.upstream.certificates import Authority, Pair
from tests.upstream.h2_server import H2Server, Stream

CONFIGURATION = """
services:
  named: {{instances: [{{url: "http://localhost:{plain}"}}], retry: {{attempts: 1}}}}
  modern:
    instances: [{{url: "https://127.0.0.2:{modern}"}}]
    transport: httpx
    tls: {{ca_file: {ca}, server_name: "127.0.0.1"}}
  closed:
    instances: [{{url: "https://127.0.0.2:{modern}"}}]
    tls: {{ca_file: {lost}}}
routes:
  - {{name: named, path: /named, service: named, auth_required: false}}
  - {{name: modern, path: /modern, service: modern, auth_required: false}}
  - {{name: closed, path: /closed, service: closed, auth_required: false}}
"""


@pytest.fixture(scope="module")
def plain() -> Iterator[Upstream]:
    """An upstream at an address that is denied."""
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def modern(authority: Authority, local: Pair) -> Iterator[H2Server]:
    """An upstream that speaks HTTP/2 alone, in a thread of its own, at 127.0.0.2 too."""

    async def echo(stream: Stream) -> None:
        await stream.ended.wait()
        stream.respond((":status", "200"), ("x-spoken", "h2"))
        stream.send(stream.body, end=True)

    server = H2Server(echo, authority.context(local, alpn=["h2"]), host="127.0.0.2")
    loop = asyncio.new_event_loop()
    loop.run_until_complete(server.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield server
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory,
    plain: Upstream,
    modern: H2Server,
    authority: Authority,
) -> Iterator[GatewayProcess]:
    """``serve`` that may not connect to 127.0.0.1 nor ::1; a CA file is lost before it starts."""
    directory = tmp_path_factory.mktemp("guards")
    gateway = new_gateway(directory, {"UPSTREAM_DENIED_NETWORKS": "127.0.0.1,::1"})
    lost = directory / "lost.pem"
    lost.write_bytes(Path(authority.file).read_bytes())
    text = CONFIGURATION.format(
        plain=plain.port, modern=modern.origin.port, ca=authority.file, lost=lost
    )
    gateway.apply(text)
    lost.unlink()
    with gateway.serving():
        yield gateway


def log(gateway: GatewayProcess) -> str:
    return (gateway.directory / "serve.log").read_text("utf-8")


def test_a_name_at_a_denied_address_is_not_connected_to(
    gateway: GatewayProcess, plain: Upstream
) -> None:
    reply = gateway.request("GET", "/named")
    assert (reply.status, reply.get("x-gateway-error")) == (502, "upstream_unreachable")
    assert not plain.requests
    line = f"localhost:{plain.port} is at no address that upstreams may have"
    wait_until(lambda: log(gateway).count(line) == 1, 10)


def test_the_control_plane_is_reached_all_the_same(gateway: GatewayProcess) -> None:
    with RawClient(gateway.port) as client:
        client.send(b"GET /admin/login/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.read_reply().status == 200


def test_an_address_that_is_denied_is_not_saved(gateway: GatewayProcess) -> None:
    text = 'services: {denied: {instances: [{url: "http://127.0.0.1:9"}]}}'
    result = gateway.apply(text, check=False)
    assert result.returncode == 1
    assert "UPSTREAM_DENIED_NETWORKS" in result.stdout + result.stderr


def test_a_service_whose_files_are_lost_is_closed_alone(gateway: GatewayProcess) -> None:
    reply = gateway.request("GET", "/closed")
    assert (reply.status, reply.get("x-gateway-error")) == (503, "route_misconfigured")
    assert "tls.ca_file: cannot be read: No such file or directory" in log(gateway)


def test_a_service_may_be_asked_by_http2(gateway: GatewayProcess, modern: H2Server) -> None:
    reply = gateway.request("POST", "/modern", "X-Raw: caf\xe9", body=bytes(range(256)))
    assert (reply.status, reply.get("x-spoken"), reply.body) == (200, "h2", bytes(range(256)))
    seen = dict(modern.streams[-1].headers)
    assert (seen[b"x-raw"], seen[b":path"]) == (b"caf\xe9", b"/modern")
    assert b"user-agent" not in seen
    assert b"accept" not in seen
