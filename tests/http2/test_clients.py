"""HTTP/2 from clients: hypercorn in front of the ASGI binding, an HTTP/1.1 service behind it."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator

import h2.connection
import httpx
import pytest

from tests.http2.conftest import Front
from tests.support.raw import request
from tests.support.upstream import OK, Received, Upstream, answering, flooding

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def client(front: Front) -> Iterator[httpx.Client]:
    """A client that speaks HTTP/2 where it is agreed on."""
    believing = ssl.create_default_context(cafile=str(front.authority))
    with httpx.Client(http2=True, verify=believing, base_url=front.url, timeout=30) as client:
        yield client


def test_a_request_and_its_answer_pass(client: httpx.Client, upstream: Upstream) -> None:
    upstream.script = answering(
        b"HTTP/1.1 201 Created\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX: \xe9\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    answer = client.post("/open/a/../b?x=%2f", content=b"content", headers={"x-own": "1"})
    assert (answer.http_version, answer.status_code, answer.content) == ("HTTP/2", 201, b"hello")
    assert answer.headers.get_list("set-cookie") == ["a", "b"]
    assert (b"x", b"\xe9") in answer.headers.raw
    [request] = upstream.requests
    assert (request.target, request.body, request.get("x-own")) == (
        "/open/b?x=%2f",
        b"content",
        "1",
    )
    assert request.get("x-forwarded-proto") == "https"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
def test_a_request_without_a_body_has_none_at_the_upstream(
    client: httpx.Client, upstream: Upstream, method: str
) -> None:
    assert client.request(method, "/open/a").status_code == 200
    [request] = upstream.requests
    assert (request.get("transfer-encoding"), request.get("content-length")) == (None, None)


def test_cookies_that_were_cut_into_lines_are_one_again(
    client: httpx.Client, upstream: Upstream
) -> None:
    client.get("/open/a", headers=[("cookie", "a=1"), ("cookie", "b=2")])
    assert upstream.requests[0].all("cookie") == ["a=1; b=2"]


def test_many_requests_share_a_connection(front: Front, upstream: Upstream) -> None:
    async def run() -> list[int]:
        believing = ssl.create_default_context(cafile=str(front.authority))
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            http2=True, verify=believing, base_url=front.url, limits=limits
        ) as client:
            answers = await asyncio.gather(*(client.get("/open/a") for _ in range(50)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(run()) == [200] * 50


def test_policies_and_problems_are_the_same(client: httpx.Client, front: Front) -> None:
    refused = client.get("/closed")
    assert (refused.status_code, refused.headers["x-gateway-error"]) == (401, "missing_credentials")
    assert client.get("/closed", headers={"x-api-key": front.key}).status_code == 200
    assert client.get("/nowhere").json()["code"] == "route_not_found"
    assert b"password" in client.get("/admin/login/").content


def test_an_upload_streams(client: httpx.Client, upstream: Upstream) -> None:
    pieces = (bytes(10_000) for _ in range(100))
    assert client.put("/open/a", content=pieces).status_code == 200
    assert len(upstream.requests[0].body) == 1_000_000


@pytest.mark.parametrize("begun", [SIZED + b"begun", CHUNKED + b"5\r\nbegun\r\n", CHUNKED])
@pytest.mark.parametrize("wanted", [{}, {"te": "trailers"}])
def test_an_answer_that_breaks_off_resets_its_stream_alone(
    client: httpx.Client, upstream: Upstream, begun: bytes, wanted: dict[str, str]
) -> None:
    with client.stream("GET", "/open/a") as other:
        upstream.script = answering(begun, close=True)
        with pytest.raises(httpx.RemoteProtocolError, match=r"StreamReset .*error_code:2"):
            client.get("/open/a", headers=wanted)
        upstream.script = answering(OK)
        assert (other.read(), client.get("/open/a").content) == (b"ok", b"ok")


def test_a_client_that_gives_no_room_stops_the_upstream(front: Front, upstream: Upstream) -> None:
    stalled = threading.Event()
    upstream.script = flooding(stalled, 64 * 1024 * 1024)
    believing = ssl.create_default_context(cafile=str(front.authority))
    believing.set_alpn_protocols(["h2"])
    asking = h2.connection.H2Connection()
    asking.initiate_connection()
    asked = {":method": "GET", ":scheme": "https", ":authority": "a", ":path": "/open/a"}
    asking.send_headers(1, asked.items(), end_stream=True)
    with (
        socket.create_connection(("127.0.0.1", front.port)) as plain,
        believing.wrap_socket(plain, server_hostname="127.0.0.1") as client,
    ):
        client.sendall(asking.data_to_send())
        assert stalled.wait(20)


def test_an_answer_has_one_date_and_no_server_but_the_origins(
    client: httpx.Client, upstream: Upstream
) -> None:
    upstream.script = answering(OK.replace(b"\r\n", b"\r\nDate: then\r\nServer: own\r\n", 1))
    answer = client.get("/open/a")
    assert answer.headers.get_list("date") == ["then"]
    assert answer.headers.get_list("server") == ["own"]
    assert len(client.get("/admin/login/").headers.get_list("date")) == 1


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET\t/closed", "/open/a", {}),
        ("G(T", "/open/a", {}),
        ("GET", "/admin/login/", {"x": "a\x01b"}),
        ("GET", "/open/a", {"x": "a\x7fb"}),
    ],
)
def test_what_http11_cannot_say_is_refused(
    client: httpx.Client,
    upstream: Upstream,
    method: str,
    target: str,
    headers: dict[str, str],
) -> None:
    refused = client.request(method, target, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert upstream.requests == []


def test_a_websocket_handshake_is_refused_as_a_problem(front: Front) -> None:
    refused = request(
        front.gateway.port, "GET", "/open/a", "Connection: upgrade", "Upgrade: websocket",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert (refused.status, refused.get("x-gateway-error")) == (501, "not_implemented")
    assert b'"code":"not_implemented"' in refused.body


def test_events_arrive_one_by_one(client: httpx.Client, upstream: Upstream) -> None:
    following = threading.Event()

    async def script(
        request: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await asyncio.to_thread(following.wait, 20)
        writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    upstream.script = script
    with client.stream("GET", "/open/a") as answer:
        pieces = answer.iter_bytes()
        assert next(pieces) == b"one"
        following.set()
        assert next(pieces) == b"two"
