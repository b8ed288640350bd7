"""`serve --tls-cert --tls-key`, as clients see it."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import self_signed
from tests.support.process import GatewayProcess, new_gateway
from tests.support.upstream import Upstream

CONFIGURATION = """
services:
  plain: {{instances: [{{url: "{url}"}}]}}
routes:
  - {{name: open, path: "/open/{{rest:path}}", service: plain, auth_required: false}}
"""
ALLOWED_SECONDS = 10
"""For a handshake, as for a head."""


class TlsGateway(GatewayProcess):
    """One that is asked over TLS."""

    def ask(self, target: str) -> tuple[int, bytes]:
        """Status and body of the answer to a GET."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=context)
        with closing(client):
            client.request("GET", target)
            reply = client.getresponse()
            return reply.status, reply.read()

    def ready(self) -> dict[str, Any] | None:
        """What ``/ready`` says; ``None`` while nobody answers."""
        try:
            content: dict[str, Any] = json.loads(self.ask("/ready")[1])
        except (OSError, http.client.HTTPException):
            return None
        return content


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Files of a certificate and its key."""
    return self_signed(tmp_path)


def test_requests_are_served_and_silence_is_not(
    tmp_path: Path, upstream: Upstream, certificate: tuple[str, str]
) -> None:
    """A client that never greets is let go as soon as one that never asks."""
    made = new_gateway(tmp_path)
    gateway = TlsGateway(made.directory, made.port, made.environment)
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    with gateway.serving("--tls-cert", certificate[0], "--tls-key", certificate[1]):
        began = time.monotonic()
        address = ("127.0.0.1", gateway.port)
        with socket.create_connection(address, 2 * ALLOWED_SECONDS) as silent:
            assert gateway.ask("/open/a") == (200, b"ok")
            assert upstream.requests[-1].get("x-forwarded-proto") == "https"
            assert silent.recv(1) == b""
        assert ALLOWED_SECONDS - 1 < time.monotonic() - began < ALLOWED_SECONDS + 5
