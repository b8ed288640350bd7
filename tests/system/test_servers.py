"""runserver, daphne and a Django view serve the same gateway."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest

from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import RawClient, Reply, request
from tests.support.upstream import Upstream, answering, flooding

CONFIGURATION = """
services:
  scripted: {{instances: [{{url: "{url}"}}]}}
routes:
  - {{path: "/open/{{rest:path}}", service: scripted, auth_required: false}}
  - {{path: "/closed", service: scripted}}
"""
BEGUN = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, _upstream: Upstream) -> GatewayProcess:
    gateway = new_gateway(
        tmp_path_factory.mktemp("servers"), {"ALLOWED_HOSTS": "gateway.test,127.0.0.1"}
    )
    gateway.apply(CONFIGURATION.format(url=_upstream.url))
    return gateway


def commands(port: int) -> dict[str, list[str]]:
    scripts = Path(sys.executable).parent
    return {
        "runserver": [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
        "daphne": [str(scripts / "daphne"), "-b", "127.0.0.1", "-p", str(port),
                   "gateway_project.asgi:application"],
        "view": [str(scripts / "uvicorn"), "--port", str(port), "--lifespan", "off",
                 "tests.support.mounted:application"],
    }  # fmt: skip


@pytest.mark.parametrize("server", ["runserver", "daphne", "view"])
def test_every_server_serves_the_same_gateway(
    prepared: GatewayProcess, upstream: Upstream, server: str
) -> None:
    upstream.script = answering(
        b"HTTP/1.1 201 Created\r\nX-Own: 1\r\nContent-Length: 5\r\n\r\nhello"
    )
    key = prepared.key("acme")

    def ask(method: str, target: str, *lines: str, body: bytes = b"") -> Reply:
        return request(prepared.port, method, target, *lines, body=body)

    with prepared.under(commands(prepared.port)[server]):
        answered = ask("POST", "/open/a/../b?x=%2f", body=b"content")
        refused = ask("GET", "/closed")
        allowed = ask("GET", "/closed", f"X-API-Key: {key}")
        missing = ask("GET", "/nowhere")
        login = ask("GET", "/admin/login/")
        upstream.script = answering(BEGUN, close=True)
        broken = ask("GET", "/open/a")
        upstream.script = flooding(stalled := threading.Event(), 64 * 1024 * 1024)
        with RawClient(prepared.port) as slow:
            slow.send(b"GET /open/a HTTP/1.1\r\nHost: gateway.test\r\n\r\n")
            held_back = stalled.wait(20)
    assert (answered.status, answered.body, answered.get("x-own")) == (201, b"hello", "1")
    assert (upstream.requests[0].target, upstream.requests[0].body) == ("/open/b?x=%2f", b"content")
    assert (refused.status, refused.get("x-gateway-error")) == (401, "missing_credentials")
    assert allowed.status == 201
    assert upstream.requests[1].get("x-user-id") == "acme"
    assert (missing.status, missing.get("x-gateway-error")) == (404, "route_not_found")
    assert json.loads(missing.body)["request_id"] == missing.get("x-request-id")
    assert answered.get("x-frame-options") == ""
    assert (login.status, b"password" in login.body) == (200, True)
    assert (broken.status, broken.complete, held_back) == (200, False, True)
