"""Bodies through a running ``serve``: streamed, bounded, broken off visibly, nothing left behind.

The test plays both ends: it is the client and the upstream.
"""

from __future__ import annotations

import json
import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import RawClient
from tests.support.upstream import Received, Upstream, answering
from tests.support.waiting import wait_until

MEBI = 1024 * 1024
LARGE = 64 * MEBI
GIBI = 1024 * MEBI
MOST_GROWTH = 32 * MEBI
SIZES = [
    LARGE,
    pytest.param(GIBI, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
]
PIECE = bytes(65536)
CONFIGURATION = """
services:
  played:
    instances: [{{url: "http://127.0.0.1:{played}"}}]
    timeout: {{connect: 2, read: 20, total: 40}}
    breaker: null
    retry: {{attempts: 1}}
  crowd:
    instances: [{{url: "{crowd}"}}]
    timeout: {{connect: 20, read: 20, total: 40}}
    breaker: null
    retry: {{attempts: 1}}
routes:
  - {{name: played, path: "/played", service: played, auth_required: false,
      max_body_bytes: 1073741824}}
  - {{name: crowd, path: "/crowd", service: crowd, auth_required: false}}
"""


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """Where the upstream that the test plays is connected to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        yield listener


class _Forgetful(list[Received]):
    """Keeps no request: 100,000 would be half a gigabyte."""

    def append(self, _: Received) -> None:
        """Drop it."""


@pytest.fixture(scope="module")
def crowd() -> Iterator[Upstream]:
    """An upstream for many requests at once."""
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(scope="module")
def gateway(
    tmp_path_factory: pytest.TempPathFactory, listener: socket.socket, crowd: Upstream
) -> Iterator[GatewayProcess]:
    """``serve`` with one worker before both."""
    gateway = new_gateway(tmp_path_factory.mktemp("streams"))
    gateway.apply(CONFIGURATION.format(played=listener.getsockname()[1], crowd=crowd.url))
    with gateway.serving():
        # The workers serve sooner than the control plane has loaded everything.
        assert gateway.request("GET", "/admin/").status in (302, 400)
        yield gateway


class Peer:
    """The upstream's end of one exchange."""

    def __init__(self, listener: socket.socket) -> None:
        self.socket, _ = listener.accept()
        self.socket.settimeout(20)
        self.rest = b""
        while b"\r\n\r\n" not in self.rest:
            self.rest += self.socket.recv(65536)
        self.head, _, self.rest = self.rest.partition(b"\r\n\r\n")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def take(self, size: int) -> None:
        """Read *size* bytes of the body."""
        left = size - len(self.rest)
        self.rest = b""
        while left > 0 and (data := self.socket.recv(min(left, MEBI))):
            left -= len(data)
        assert left == 0

    def gone_within(self, seconds: float) -> bool:
        """Whether the gateway ends the connection in time."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True


def ask(client: RawClient, *lines: bytes, method: bytes = b"GET") -> None:
    head = [method + b" /played HTTP/1.1", b"Host: h", *lines, b"", b""]
    client.send(b"\r\n".join(head))


def resident(gateway: GatewayProcess) -> dict[int, int]:
    """Bytes each process of the gateway holds, by process."""
    assert gateway.process is not None
    found, waiting = {}, [gateway.process.pid]
    while waiting:
        pid = waiting.pop()
        directory = Path(f"/proc/{pid}")
        for task in (directory / "task").iterdir():
            waiting += map(int, (task / "children").read_text().split())
        fields = dict(
            line.split(":", 1) for line in (directory / "status").read_text().splitlines()
        )
        found[pid] = int(fields["VmHWM"].split()[0]) * 1024
    return found


def growth(gateway: GatewayProcess, before: dict[int, int]) -> int:
    """The most any process grew since, at its peak."""
    return max(size - before[pid] for pid, size in resident(gateway).items() if pid in before)


def send_much(sock: socket.socket, size: int) -> None:
    for _ in range(size // len(PIECE)):
        sock.sendall(PIECE)


def logged(gateway: GatewayProcess, request_id: str, status: int) -> int:
    """How many lines of the request log say so."""
    lines = (gateway.directory / "serve.log").read_text("utf-8").splitlines()
    parsed = [json.loads(line) for line in lines if request_id in line]
    return sum(line["type"] == "request" and line["status"] == status for line in parsed)


def in_flight(gateway: GatewayProcess) -> int:
    """What the gauge says; the request that asks is one of them."""
    text = gateway.request("GET", "/metrics").body.decode()
    [line] = [one for one in text.splitlines() if one.startswith("gateway_in_flight_requests")]
    return int(float(line.split()[-1]))


@pytest.mark.parametrize("size", SIZES)
def test_a_large_upload_is_not_held(
    gateway: GatewayProcess, listener: socket.socket, size: int
) -> None:
    before = resident(gateway)
    with RawClient(gateway.port) as client:
        ask(client, b"Content-Length: %d" % size, method=b"PUT")
        sending = threading.Thread(target=send_much, args=(client.socket, size))
        sending.start()
        with Peer(listener) as peer:
            time.sleep(0.5)  # the upstream is slow to begin: what the client sends has to wait
            peer.take(size)
            peer.socket.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        sending.join()
        assert client.read_reply().status == 204
    grown = growth(gateway, before)
    sys.stdout.write(f"upload of {size // MEBI} MiB: grown by {grown / MEBI:.1f} MiB\n")
    assert grown < MOST_GROWTH


@pytest.mark.parametrize("size", SIZES)
def test_a_large_download_is_not_held(
    gateway: GatewayProcess, listener: socket.socket, size: int
) -> None:
    before = resident(gateway)
    with RawClient(gateway.port) as client:
        ask(client)
        with Peer(listener) as peer:
            peer.socket.sendall(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
            )
            sending = threading.Thread(target=send_much, args=(peer.socket, size))
            sending.start()
            time.sleep(0.5)  # the client is slow to begin: what the upstream sends has to wait
            assert sending.is_alive()
            left = size
            data = client.socket.recv(65536).partition(b"\r\n\r\n")[2]
            while (left := left - len(data)) and (data := client.socket.recv(MEBI)):
                pass
            sending.join()
    assert left == 0
    grown = growth(gateway, before)
    sys.stdout.write(f"download of {size // MEBI} MiB: grown by {grown / MEBI:.1f} MiB\n")
    assert grown < MOST_GROWTH


def test_the_upstream_sees_the_first_byte_before_the_client_sent_the_last(
    gateway: GatewayProcess, listener: socket.socket
) -> None:
    with RawClient(gateway.port) as client:
        ask(client, b"Content-Length: 10", method=b"POST")
        client.send(b"first")
        with Peer(listener) as peer:
            peer.take(5)
            client.send(b"-last")
            peer.take(5)
            peer.socket.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        assert client.read_reply().status == 204


def test_events_arrive_one_by_one(gateway: GatewayProcess, listener: socket.socket) -> None:
    with RawClient(gateway.port) as client:
        ask(client)
        with Peer(listener) as peer:
            peer.socket.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            )
            assert b"text/event-stream" in client.socket.recv(65536).lower()
            for number in range(20):
                event = b"data: %d\n\n" % number
                peer.socket.sendall(event)
                assert event in client.socket.recv(65536)


def test_both_bodies_stream_at_once(gateway: GatewayProcess, listener: socket.socket) -> None:
    with RawClient(gateway.port) as client:
        ask(client, b"Transfer-Encoding: chunked", method=b"POST")
        with Peer(listener) as peer:
            peer.socket.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert b" 200 " in client.socket.recv(65536)
            for number in range(5):
                chunk = b"3\r\n<%d>\r\n" % number
                client.send(chunk)
                assert peer.socket.recv(65536) == chunk
                peer.socket.sendall(chunk)
                assert client.socket.recv(65536) == chunk
            client.send(b"0\r\n\r\n")
            assert peer.socket.recv(65536) == b"0\r\n\r\n"
            peer.socket.sendall(b"0\r\n\r\n")
            assert client.socket.recv(65536) == b"0\r\n\r\n"


def test_an_early_refusal_reaches_a_client_that_still_sends(
    gateway: GatewayProcess, listener: socket.socket
) -> None:
    with RawClient(gateway.port) as client:
        ask(client, b"Content-Length: %d" % LARGE, method=b"POST")
        client.send(PIECE)
        with Peer(listener) as peer:
            peer.socket.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nbig")
            reply = client.read_reply()
            assert (reply.status, reply.body, reply.get("x-gateway-error")) == (413, b"big", "")
            assert peer.gone_within(1)


@pytest.mark.parametrize("begun", [False, True])
def test_a_client_that_leaves_ends_the_upstreams_work_and_is_logged(
    gateway: GatewayProcess, listener: socket.socket, begun: bool
) -> None:
    request_id = f"leaves-{begun}"
    with RawClient(gateway.port) as client:
        ask(client, b"X-Request-Id: " + request_id.encode())
        with Peer(listener) as peer:
            if begun:
                peer.socket.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun")
                while b"begun" not in client.socket.recv(65536):
                    pass
            client.socket.close()
            assert peer.gone_within(1)
    wait_until(lambda: logged(gateway, request_id, 499) == 1, 10)
    wait_until(lambda: in_flight(gateway) == 1, 10)


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 99\r\n\r\nbegun", b"Transfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n"],
)
def test_an_upstream_that_dies_ends_the_answer_visibly(
    gateway: GatewayProcess, listener: socket.socket, framing: bytes
) -> None:
    with RawClient(gateway.port) as client:
        ask(client)
        with Peer(listener) as peer:
            peer.socket.sendall(b"HTTP/1.1 200 OK\r\n" + framing)
        reply = client.read_reply()
    assert (reply.status, reply.body, reply.complete) == (200, b"begun", False)


def storm(port: int, count: int, workers: int = 16) -> None:
    """*count* requests, a third of them broken off at a random place."""
    whole = b"POST /crowd HTTP/1.1\r\nHost: h\r\nContent-Length: 4096\r\n\r\n" + bytes(4096)

    def run(seed: int) -> None:
        chance = random.Random(seed)
        client: RawClient | None = None
        for _ in range(count // workers):
            client = client or RawClient(port)
            abort = chance.random() < 1 / 3
            client.send(whole[: chance.randrange(1, len(whole))] if abort else whole)
            if abort:
                if chance.random() < 0.5:
                    linger = struct.pack("ii", 1, 0)
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                client.socket.close()
                client = None
            else:
                assert client.read_reply().status == 200
        if client:
            client.socket.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, range(workers)))


def open_sockets(gateway: GatewayProcess, port: int) -> int:
    """Established connections of this machine that have *port* at one end, counted at that end."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(row[3] == "01" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


@pytest.mark.parametrize(
    "count", [2_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_nothing_is_left_after_many_aborted_requests(
    gateway: GatewayProcess, crowd: Upstream, count: int
) -> None:
    crowd.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n" + bytes(4096))
    crowd.requests = _Forgetful()
    storm(gateway.port, count)
    wait_until(lambda: in_flight(gateway) == 1, 10)
    wait_until(lambda: open_sockets(gateway, gateway.port) == 0, 10)
    assert open_sockets(gateway, crowd.port) <= 16
    assert gateway.request("GET", "/crowd").status == 200
