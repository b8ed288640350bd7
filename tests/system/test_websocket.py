"""WebSockets through a running gateway, with a real client and a real server."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode

from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import RawClient
from tests.support.upstream import Upstream, answering
from tests.support.websocket import WebSocketUpstream

CONFIGURATION = """
services:
  sockets: {{instances: [{{url: "{sockets}"}}], breaker: null}}
  scripted: {{instances: [{{url: "{scripted}"}}], breaker: null, retry: {{attempts: 1}}}}
  pair: {{instances: [{{url: "{sockets}"}}, {{url: "http://127.0.0.1:{dead}"}}]}}
routes:
  - {{name: open, path: "/open/{{rest:path}}", service: sockets, auth_required: false}}
  - {{name: closed, path: "/closed/{{rest:path}}", service: sockets}}
  - {{name: once, path: /once, service: sockets, rate_limit: 1}}
  - {{name: scripted, path: /scripted, service: scripted, auth_required: false}}
  - {{name: pair, path: /pair, service: pair, auth_required: false}}
"""
HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)
_LIMITS = {
    "WEBSOCKET_MAX_PER_CALLER": "2",
    "WEBSOCKET_IDLE_SECONDS": "4",
    "DRAIN_SECONDS": "1",
}


@pytest.fixture(scope="module")
def sockets() -> Iterator[WebSocketUpstream]:
    """The upstream of all WebSockets."""
    upstream = WebSocketUpstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
    sockets: WebSocketUpstream,
    _upstream: Upstream,
    dead_port: int,
) -> Iterator[GatewayProcess]:
    """``serve`` with the configuration above."""
    gateway = new_gateway(tmp_path_factory.mktemp("websockets"))
    text = CONFIGURATION.format(sockets=sockets.url, scripted=_upstream.url, dead=dead_port)
    gateway.apply(text)
    with gateway.serving():
        yield gateway


@pytest.fixture
def gateway(running: GatewayProcess, sockets: WebSocketUpstream) -> GatewayProcess:
    """The running gateway, its upstream fresh."""
    sockets.reset()
    return running


def opening(gateway: GatewayProcess, path: str, **options: Any) -> connect:
    """A client's connection, to be entered."""
    options = {"proxy": None, "max_size": None, "ping_interval": None, **options}
    return connect(f"ws://127.0.0.1:{gateway.port}{path}", **options)


async def upstream_end(sockets: WebSocketUpstream) -> int | None:
    """The close code a connection ended with at the upstream."""
    return await asyncio.to_thread(sockets.ended.get, timeout=10)


async def logged(gateway: GatewayProcess, request_id: str) -> dict[str, Any]:
    """The request line of an exchange, once it is written."""
    async with asyncio.timeout(10):
        while True:
            text = (gateway.directory / "serve.log").read_text("utf-8", "replace")
            for line in text.splitlines():
                if f'"{request_id}"' in line:
                    found: dict[str, Any] = json.loads(line)
                    return found
            await asyncio.sleep(0.05)


async def in_flight(gateway: GatewayProcess, wanted: int) -> None:
    """Return when as many exchanges are under way as are *wanted*, the question included."""
    name = "gateway_in_flight_requests "
    async with asyncio.timeout(10):
        while True:
            reply = await asyncio.to_thread(gateway.request, "GET", "/metrics")
            lines = reply.body.decode().splitlines()
            if [float(ln.removeprefix(name)) for ln in lines if ln.startswith(name)] == [wanted]:
                return
            await asyncio.sleep(0.05)


# --- what is carried ------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", [None, "deflate"])
async def test_messages_are_echoed(gateway: GatewayProcess, compression: str | None) -> None:
    async with opening(gateway, "/open/echo", compression=compression) as client:
        for message in ("gr\u00fc\u00df dich", b"\x00\xff", "", b"x" * 1_048_576):
            await client.send(message)
            assert await client.recv() == message


async def test_many_large_messages_at_once_arrive_in_order(gateway: GatewayProcess) -> None:
    messages = [bytes([number]) * 1_048_576 for number in range(16)]
    async with (
        opening(gateway, "/open/echo", compression=None) as client,
        asyncio.TaskGroup() as go,
    ):
        go.create_task(_send_all(client, messages))
        for message in messages:
            assert await client.recv() == message


async def _send_all(client: ClientConnection, messages: list[bytes]) -> None:
    for message in messages:
        await client.send(message)


async def test_fragments_stay_fragments_both_ways(gateway: GatewayProcess) -> None:
    async with opening(gateway, "/open/fragments", compression=None) as client:
        await client.send(["one", "three", "", "a"])
        assert await client.recv() == "3 5 0 1 0"
        sizes = [len(fragment) async for fragment in client.recv_streaming()]
    assert sizes == [3, 5, 0, 1, 0, 0]


async def test_subprotocol_and_extension_are_agreed_end_to_end(
    gateway: GatewayProcess, sockets: WebSocketUpstream
) -> None:
    async with opening(gateway, "/open/echo", subprotocols=["chat.v1", "other"]) as client:
        assert client.subprotocol == "chat.v1"
        assert client.response is not None
        assert client.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    [seen] = sockets.handshakes
    assert seen.headers["Sec-WebSocket-Protocol"] == "chat.v1, other"


async def test_pings_pass_both_ways(gateway: GatewayProcess) -> None:
    async with opening(gateway, "/open/ping") as client:
        assert await client.recv() == "pong came"
    async with opening(gateway, "/open/echo") as client, asyncio.timeout(10):
        await (await client.ping(b"and you"))


async def test_the_upstreams_close_code_reaches_the_client(gateway: GatewayProcess) -> None:
    async with opening(gateway, "/open/close") as client:
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert (client.close_code, client.close_reason) == (4001, "enough")


async def test_the_clients_close_code_reaches_the_upstream(
    gateway: GatewayProcess, sockets: WebSocketUpstream
) -> None:
    client = await opening(gateway, "/open/echo")
    await client.close(4002, "done")
    assert client.close_code == 4002
    assert await upstream_end(sockets) == 4002


# --- headers --------------------------------------------------------------------------------------


async def test_the_handshake_carries_what_a_request_carries(
    gateway: GatewayProcess, sockets: WebSocketUpstream
) -> None:
    given = {
        "X-API-Key": gateway.key("acme"),
        "X-User-Id": "root",
        "X_Roles": "admin",
        "Origin": "https://shop.example",
        "X-Request-Id": "mine",
    }
    async with opening(gateway, "/closed/echo?a=%2F&b", additional_headers=given) as client:
        assert client.response is not None
        answered = client.response.headers
    [seen] = sockets.handshakes
    headers = seen.headers
    assert (headers.get_all("X-User-Id"), headers["X-Consumer"]) == (["acme"], "acme")
    assert (headers["Origin"], headers["X-Request-Id"]) == ("https://shop.example", "mine")
    assert (headers["Upgrade"], headers["Connection"]) == ("websocket", "Upgrade")
    assert (seen.path, headers["Via"]) == ("/closed/echo?a=%2F&b", "1.1 gateway")
    assert not {"X_Roles", "X-Roles", "X-API-Key"} & set(headers)
    assert (answered["X-Request-Id"], answered["Via"]) == ("mine", "1.1 gateway")
    assert answered.get_all("Upgrade") == ["websocket"]
    assert "Content-Length" not in answered


# --- what is refused ------------------------------------------------------------------------------


async def refusal(gateway: GatewayProcess, path: str, **headers: str) -> tuple[int, str]:
    """Status and code a handshake is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        await opening(gateway, path, additional_headers=headers)
    response = caught.value.response
    return response.status_code, response.headers.get("X-Gateway-Error", "")


async def test_policies_refuse_before_the_upstream_is_touched(
    gateway: GatewayProcess, sockets: WebSocketUpstream
) -> None:
    key = gateway.key("eager")
    assert await refusal(gateway, "/nowhere") == (404, "route_not_found")
    assert await refusal(gateway, "/closed/echo") == (401, "missing_credentials")
    assert not sockets.handshakes
    async with opening(gateway, "/once", additional_headers={"X-API-Key": key}):
        pass
    assert await refusal(gateway, "/once", **{"X-API-Key": key}) == (429, "rate_limited")
    assert len(sockets.handshakes) == 1


async def test_the_upstreams_refusal_is_relayed(gateway: GatewayProcess) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await opening(gateway, "/open/refuse")
    response = caught.value.response
    assert (response.status_code, response.body) == (403, b"not you\n")
    assert "X-Gateway-Error" not in response.headers


def test_the_connection_is_kept_after_a_refusal(gateway: GatewayProcess) -> None:
    lines = ("GET /open/refuse HTTP/1.1", "Host: h", *HANDSHAKE, "", "")
    with RawClient(gateway.port) as client:
        for _ in range(2):
            client.send("\r\n".join(lines).encode())
            assert client.read_reply().status == 403


def test_another_version_is_426_and_names_ours(
    gateway: GatewayProcess, sockets: WebSocketUpstream
) -> None:
    reply = gateway.request("GET", "/open/echo", *HANDSHAKE[:3], "Sec-WebSocket-Version: 8")
    assert (reply.status, reply.get("x-gateway-error")) == (426, "upgrade_required")
    assert reply.get("sec-websocket-version") == "13"
    assert reply.get("upgrade") == "websocket"
    assert not sockets.handshakes


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        ("POST", HANDSHAKE),
        ("GET", (*HANDSHAKE, "Content-Length: 4")),
        ("GET", (*HANDSHAKE[:2], HANDSHAKE[3])),
        ("GET", (*HANDSHAKE, HANDSHAKE[2])),
        ("GET", (*HANDSHAKE[:2], "Sec-WebSocket-Key: c2hvcnQ=", HANDSHAKE[3])),
        ("GET", (*HANDSHAKE[:2], "Sec-WebSocket-Key: ?", HANDSHAKE[3])),
    ],
    ids=["POST", "a body", "no key", "two keys", "a short key", "no base64"],
)
def test_a_wrong_handshake_is_400(
    gateway: GatewayProcess, sockets: WebSocketUpstream, method: str, lines: tuple[str, ...]
) -> None:
    reply = gateway.request(method, "/open/echo", *lines)
    assert (reply.status, reply.get("x-gateway-error")) == (400, "bad_request")
    assert not sockets.handshakes


@pytest.mark.parametrize(
    "answer",
    [
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n",
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        b"",
    ],
    ids=["wrong accept", "no accept", "another protocol", "nothing"],
)
def test_a_101_that_answers_no_handshake_is_502(
    gateway: GatewayProcess, upstream: Upstream, answer: bytes
) -> None:
    upstream.script = answering(b"HTTP/1.1 101 Switching Protocols\r\n" + answer + b"\r\n")
    reply = gateway.request("GET", "/scripted", *HANDSHAKE)
    assert (reply.status, reply.get("x-gateway-error")) == (502, "upstream_protocol_error")


async def test_an_instance_that_is_down_is_passed_over(gateway: GatewayProcess) -> None:
    for _ in range(4):
        async with opening(gateway, "/pair") as client:
            await client.send("hello")
            assert await client.recv() == "hello"


# --- how it ends ----------------------------------------------------------------------------------


async def test_an_upstream_that_dies_ends_the_clients_connection(gateway: GatewayProcess) -> None:
    async with opening(gateway, "/open/die") as client, asyncio.timeout(1):
        await client.send("die")
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert client.close_code == CloseCode.ABNORMAL_CLOSURE


async def test_a_client_that_leaves_ends_the_upstreams_connection(
    gateway: GatewayProcess, sockets: WebSocketUpstream
) -> None:
    async with opening(gateway, "/open/echo") as client:
        await client.send("here")
        await client.recv()
        await in_flight(gateway, 2)
        client.transport.abort()
        async with asyncio.timeout(1):
            assert await upstream_end(sockets) == CloseCode.ABNORMAL_CLOSURE
        await in_flight(gateway, 1)


async def test_the_end_is_logged_with_what_was_carried(gateway: GatewayProcess) -> None:
    mark = {"X-Request-Id": "counted"}
    async with opening(gateway, "/open/echo", compression=None, additional_headers=mark) as client:
        await client.send(b"x" * 1000)
        await client.recv()
    line = await logged(gateway, "counted")
    assert (line["status"], line["route"], line["code"]) == (101, "open", "")
    # A message with its header and mask, and a Close frame.
    assert (line["received_bytes"], line["sent_bytes"]) == (1000 + 8 + 8, 1000 + 4 + 4)


async def test_limits_idle_and_drain(
    gateway: GatewayProcess, sockets: WebSocketUpstream, tmp_path: Path
) -> None:
    short = gateway.copy(tmp_path, _LIMITS)
    with short.serving():
        for _ in range(3):
            assert await refusal(short, "/open/refuse") == (403, "")
        first, second = await opening(short, "/open/echo"), await opening(short, "/open/echo")
        assert await refusal(short, "/open/echo") == (429, "rate_limited")
        assert len(sockets.handshakes) == 3 + 2
        await second.close()
        await upstream_end(sockets)
        async with opening(short, "/open/echo"):
            pass
        await upstream_end(sockets)
        await first.wait_closed()
        assert (first.close_code, first.close_reason) == (1001, "idle for too long")
        assert await upstream_end(sockets) == CloseCode.GOING_AWAY
        last = await opening(short, "/open/echo")
        assert short.process is not None
        short.process.send_signal(signal.SIGTERM)
        await last.wait_closed()
        assert (last.close_code, last.close_reason) == (1001, "the gateway is stopping")
        assert await upstream_end(sockets) == CloseCode.GOING_AWAY
        assert await asyncio.to_thread(short.stop) == 0
