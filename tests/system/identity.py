"""What the identity tests share: gateways with keyed routes, asking them, waiting for an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pymysql

from tests.servers import Server
from tests.support.process import PASSWORD, GatewayProcess, new_gateway
from tests.support.raw import Reply

CONFIGURATION = """
services:
  scripted: {{instances: [{{url: "{url}"}}], breaker: null, retry: {{attempts: 1}}}}
  signed: {{instances: [{{url: "{url}"}}], breaker: null, signed_identity: true}}
routes:
  - {{name: signed, path: /signed, service: signed}}
  - {{name: public, path: /public, service: signed, auth_required: false}}
  - {{name: keyed, path: /keyed, service: scripted, auth: {{methods: [api_key, jwt]}}}}
  - {{name: other, path: /other, service: scripted, auth: {{methods: [api_key]}}}}
  - {{name: limited, path: /limited, service: scripted, rate_limit: 1000000}}
"""


def database_of_its_own(server: Server, name: str) -> str:
    """The URL of a new database, made with the server's own collation."""
    connection = pymysql.connect(
        host=server.host, port=server.port, user="gateway", password="gateway"
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE OR REPLACE DATABASE {name} CHARACTER SET utf8mb4")
    return server.url.replace("gateway_db", name)


def gateway_with_an_operator(directory: Path, url: str, **settings: str) -> GatewayProcess:
    """Not started yet: ES256 keys, the routes above before *url*, and the superuser ops."""
    gateway = new_gateway(directory, {"ALLOWED_HOSTS": "gateway.test", **settings})
    gateway.manage("generate_keys", "--algorithm", "ES256")
    gateway.environment["JWT_ALGORITHM"] = "ES256"
    gateway.add_operator()
    gateway.apply(CONFIGURATION.format(url=url))
    return gateway


def api(gateway: GatewayProcess, method: str, path: str, **content: Any) -> Any:
    """What the REST API answers ops, who is signed in; fails unless that is a success."""
    lines = [*_session(gateway), "Content-Type: application/json"]
    body = json.dumps(content).encode() if method != "GET" else b""
    reply = gateway.request(method, f"/api/gateway/{path}", *lines, body=body)
    assert reply.status < 300, reply.body
    return json.loads(reply.body) if reply.body else None


def _session(gateway: GatewayProcess) -> list[str]:
    """Header lines of a browser in which ops is signed in: a password with each request would
    take a third of a second to check.
    """
    if gateway.cookie is None:
        program = (
            "from django.contrib.auth.models import User\nfrom django.test import Client\n"
            "client = Client()\nclient.force_login(User.objects.get(username='ops'))"
        )
        gateway.cookie = str(asked(gateway, "client.cookies['gateway_session'].value", program))
    token = "t" * 32
    cookies = f"gateway_session={gateway.cookie}; csrftoken={token}"
    return [f"Cookie: {cookies}", f"X-CSRFToken: {token}"]


def new_key(gateway: GatewayProcess, consumer: str) -> Any:
    """A key of the new *consumer*, as the REST API shows it once."""
    api(gateway, "POST", "consumers/", name=consumer)
    return api(gateway, "POST", "api-keys/", consumer=consumer)


def post(gateway: GatewayProcess, path: str, **content: str) -> Reply:
    """One request to a token endpoint."""
    return gateway.request("POST", path, body=json.dumps(content).encode())


def sign_in(gateway: GatewayProcess) -> Any:
    """A pair of tokens of ops."""
    reply = post(gateway, "/auth/token", username="ops", password=PASSWORD)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)


def ask(gateway: GatewayProcess, key: str, path: str = "/keyed", *lines: str) -> Reply:
    """One request with *key*."""
    return gateway.request("GET", path, f"X-API-Key: {key}", *lines)


def code(reply: Reply) -> str:
    """``ok``, or the gateway's own error code."""
    return reply.get("x-gateway-error") or ("ok" if reply.status == 200 else str(reply.status))


def codes(gateway: GatewayProcess, key: str, number: int = 10) -> set[str]:
    """What *number* requests on connections of their own are answered: all workers are met."""
    return {code(ask(gateway, key)) for _ in range(number)}


def asked(gateway: GatewayProcess, expression: str, imports: str = "") -> Any:
    """The value of a Python *expression* over this gateway's database, by way of JSON."""
    program = f"import json\n{imports}\nprint(json.dumps({expression}, default=str))"
    return json.loads(gateway.manage("shell", "-v", "0", "-c", program).stdout)


def get(key: str, path: str = "/keyed") -> bytes:
    """A request head for a kept-alive connection."""
    return f"GET {path} HTTP/1.1\r\nHost: gateway.test\r\nX-API-Key: {key}\r\n\r\n".encode()
