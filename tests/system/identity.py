"""What the identity tests share: a gateway with keyed routes, asking, and waiting for an answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.process import GatewayProcess
from tests.support.raw import Reply

CONFIGURATION = """
services:
  scripted: {{instances: [{{url: "{url}"}}], breaker: null, retry: {{attempts: 1}}}}
routes:
  - {{name: keyed, path: /keyed, service: scripted, auth: {{methods: [api_key, jwt]}}}}
  - {{name: other, path: /other, service: scripted, auth: {{methods: [api_key]}}}}
"""


def ask(gateway: GatewayProcess, key: str, path: str = "/keyed", *lines: str) -> Reply:
    """One request with *key*."""
    return gateway.request("GET", path, f"X-API-Key: {key}", *lines)


def code(reply: Reply) -> str:
    """``ok``, or the gateway's own error code."""
    return reply.get("x-gateway-error") or ("ok" if reply.status == 200 else str(reply.status))


def codes(gateway: GatewayProcess, key: str, number: int = 10) -> set[str]:
    """What *number* requests on connections of their own are answered: all workers are met."""
    return {code(ask(gateway, key)) for _ in range(number)}


def wait_until(condition: Callable[[], bool], seconds: float) -> float:
    """Ask again until *condition* is true; how long it took. Fails after *seconds*."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            pytest.fail(f"not so after {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - began


def asked(gateway: GatewayProcess, expression: str, imports: str = "") -> Any:
    """The value of a Python *expression* over this gateway's database, by way of JSON."""
    program = f"import json\n{imports}\nprint(json.dumps({expression}, default=str))"
    return json.loads(gateway.manage("shell", "-v", "0", "-c", program).stdout)


def get(key: str, path: str = "/keyed") -> bytes:
    """A request head for a kept-alive connection."""
    return f"GET {path} HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\n\r\n".encode()
