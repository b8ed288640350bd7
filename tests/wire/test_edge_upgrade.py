"""A tunnel between two sockets that the test holds both of."""

from __future__ import annotations

import queue
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Never

import pytest

from proxying.admission import Patience
from proxying.exchange import EMPTY, Answer, Exchange
from proxying.upstream.base import Origin, Timeouts, UpstreamRequest
from proxying.upstream.upgrade import UPGRADE, Switched, UpgradeTransport
from tests.support.certificates import self_signed
from tests.wire.edges import Edge, running

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
HELLO = b"\x81\x05hello"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Gives a side that takes nothing a second."""
    with running(Patience(write=1.0)) as edge:
        yield edge


@pytest.fixture
def upstream() -> Iterator[socket.socket]:
    """Listens where the gateway forwards to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        yield listener


def forward(
    edge: Edge, upstream: socket.socket, idle: float = 60.0, tls: ssl.SSLContext | None = None
) -> None:
    """Let *edge* send handshakes to *upstream*."""
    port = upstream.getsockname()[1]
    origin = Origin("https" if tls else "http", "localhost" if tls else "127.0.0.1", port, b"a")

    async def script(exchange: Exchange) -> Answer:
        transport = UpgradeTransport(idle_seconds=idle, tls=tls)
        headers = [(n, v) for n, v in exchange.headers if n not in (b"upgrade", b"connection")]
        request = UpstreamRequest("GET", b"/ws", headers, EMPTY)
        received = await transport.send(origin, request, Timeouts(2, 2, 2, 2))
        if isinstance(received, Switched):
            return Answer(101, list(UPGRADE), EMPTY, far_end=received.far_end)
        return Answer(received.status, [], received)

    edge.reset()
    edge.gateway.ended = queue.Queue()  # tunnels of the test before may still be ending
    edge.gateway.script = script


def read_head(sock: socket.socket) -> bytes:
    """A head to its blank line, and what came with it."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = sock.recv(4096)
        assert piece, head
        head += piece
    return head


def read_all(sock: socket.socket) -> bytes:
    """Everything to the end; a reset is an end too."""
    pieces = []
    try:
        while piece := sock.recv(65_536):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """The next *size* bytes."""
    data = bytearray()
    while len(data) < size:
        data += sock.recv(size - len(data))
    return bytes(data)


def fill(sock: socket.socket) -> int:
    """Send until nothing more is taken; how many bytes were."""
    sock.settimeout(0.2)
    sent = 0
    # What the sockets' own buffers hold is the kernel's affair.
    while sent < 30_000_000:
        try:
            sent += sock.send(b"x" * 65_536)
        except TimeoutError:
            return sent
    pytest.fail("nothing stops the writer")


@contextmanager
def tunnel(
    edge: Edge, upstream: socket.socket, idle: float = 60.0
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of an open tunnel: the client's and the upstream's."""
    forward(edge, upstream, idle)
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as client:
        client.sendall(HANDSHAKE)
        far, _ = upstream.accept()
        with far:
            far.settimeout(10)
            read_head(far)
            far.sendall(SWITCHED)
            assert read_head(client).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            yield client, far


def test_what_comes_with_the_heads_is_not_lost(edge: Edge, upstream: socket.socket) -> None:
    forward(edge, upstream)
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as client:
        client.sendall(HANDSHAKE + b"early from the client")
        far, _ = upstream.accept()
        with far:
            far.settimeout(10)
            read_head(far)
            far.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + SWITCHED + HELLO)
            far.shutdown(socket.SHUT_WR)
            assert read_all(client).partition(b"\r\n\r\n")[2] == HELLO
            client.shutdown(socket.SHUT_WR)
            assert read_all(far) == b"early from the client"


def test_any_bytes_pass_unchanged_both_ways_at_once(edge: Edge, upstream: socket.socket) -> None:
    chance = Random(6455)
    down, up = chance.randbytes(3_000_000), chance.randbytes(3_000_000)
    with tunnel(edge, upstream) as (client, far), ThreadPoolExecutor(4) as threads:
        client.settimeout(10)
        sent = [threads.submit(client.sendall, up), threads.submit(far.sendall, down)]
        at_client = threads.submit(read_exactly, client, len(down))
        assert read_exactly(far, len(up)) == up
        assert at_client.result() == down
        assert [each.result() for each in sent] == [None, None]


@pytest.mark.parametrize("reading_first", ["client", "upstream"])
def test_a_side_that_does_not_read_stops_the_other(
    edge: Edge, upstream: socket.socket, reading_first: str
) -> None:
    with tunnel(edge, upstream) as ends:
        writer, reader = ends if reading_first == "upstream" else reversed(ends)
        left = fill(writer)
        while left:
            left -= len(reader.recv(1_048_576))
        writer.settimeout(10)
        writer.sendall(b"!")
        assert reader.recv(10) == b"!"


def pour(sock: socket.socket) -> Never:
    """Send until the other side ends it: how much the buffers take is not known."""
    while True:
        sock.sendall(b"x" * 65_536)


def test_a_client_that_takes_nothing_is_let_go(edge: Edge, upstream: socket.socket) -> None:
    with tunnel(edge, upstream) as (_client, far):
        with pytest.raises(ConnectionError):
            pour(far)
        assert edge.gateway.ended.get(timeout=10) is None


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_a_deaf_upstream_is_let_go(
    edge: Edge, upstream: socket.socket, reset: bool
) -> None:
    with tunnel(edge, upstream) as (client, _far):
        fill(client)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert edge.gateway.ended.get(timeout=5) is None


def test_a_reset_is_noticed_while_nothing_is_read(upstream: socket.socket) -> None:
    with running(Patience(write=60)) as patient, tunnel(patient, upstream) as (client, _far):
        fill(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert patient.gateway.ended.get(timeout=5) is None


def test_an_end_of_sending_lets_the_other_side_finish(edge: Edge, upstream: socket.socket) -> None:
    with tunnel(edge, upstream) as (client, far):
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert read_all(far) == b"last words"
        far.sendall(HELLO)
        far.close()
        assert read_all(client) == HELLO
        assert edge.gateway.ended.get(timeout=5) is None


@pytest.mark.parametrize("who", ["client", "upstream"])
def test_a_side_that_stays_is_closed_when_the_other_left(
    edge: Edge, upstream: socket.socket, who: str
) -> None:
    with tunnel(edge, upstream) as (client, far):
        leaving, staying = (client, far) if who == "client" else (far, client)
        leaving.close()
        begun = time.monotonic()
        assert read_all(staying) == b""
        assert time.monotonic() - begun < 1
        if who == "client":  # it does not close, and is closed
            assert edge.gateway.ended.get(timeout=5) is None


def test_what_upstream_said_before_it_left_reaches_a_slow_client(
    edge: Edge, upstream: socket.socket
) -> None:
    with tunnel(edge, upstream) as (client, far):
        sent = fill(far)
        far.close()
        time.sleep(0.6)  # longer than an upstream may linger
        assert len(read_all(client)) == sent


def test_an_idle_tunnel_ends_with_close_frames(edge: Edge, upstream: socket.socket) -> None:
    with tunnel(edge, upstream, idle=1.0) as (client, far):
        far.sendall(HELLO)
        assert read_all(client) == HELLO + b"\x88\x13\x03\xe9idle for too long"
        closing = read_all(far)
        assert (closing[:2], len(closing)) == (b"\x88\x93", 25)


def test_no_close_frame_is_put_into_a_frame_or_behind_one(
    edge: Edge, upstream: socket.socket
) -> None:
    with tunnel(edge, upstream, idle=1.0) as (client, far):
        far.sendall(HELLO[:-1])
        client.sendall(b"\x88\x80mask")
        assert read_all(client) == HELLO[:-1]
        assert read_all(far) == b"\x88\x80mask"


def test_bytes_either_way_keep_it_open(edge: Edge, upstream: socket.socket) -> None:
    with tunnel(edge, upstream, idle=1.0) as (client, far):
        begun = time.monotonic()
        while time.monotonic() < begun + 1.5:
            far.sendall(HELLO)
            assert client.recv(100) == HELLO
            time.sleep(0.05)
        assert edge.gateway.ended.empty()


def test_a_server_that_stops_says_goodbye(upstream: socket.socket) -> None:
    with running() as edge:
        edge.server.config.timeout_graceful_shutdown = 0
        with tunnel(edge, upstream) as (client, _far):
            edge.begin_stop()
            assert read_all(client) == b"\x88\x19\x03\xe9the gateway is stopping"
            assert edge.gateway.ended.get(timeout=5) is None


def test_the_bytes_are_counted(edge: Edge, upstream: socket.socket) -> None:
    with tunnel(edge, upstream) as (client, far):
        client.sendall(b"1234")
        assert far.recv(10) == b"1234"
        far.sendall(HELLO)
        assert client.recv(10) == HELLO
    assert edge.gateway.ended.get(timeout=5) is None
    [exchange] = edge.gateway.exchanges
    assert (exchange.received, exchange.sent) == (4, 7)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Files of a certificate for ``localhost`` and its key."""
    return self_signed(tmp_path)


@pytest.mark.parametrize("leaves_first", ["client", "upstream"])
def test_both_sides_may_be_behind_tls(
    upstream: socket.socket, certificate: tuple[str, str], leaves_first: str
) -> None:
    trusting = ssl.create_default_context(cafile=certificate[0])
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(*certificate)
    with running(certificate=certificate) as edge:
        forward(edge, upstream, tls=trusting)
        plain = socket.create_connection(("127.0.0.1", edge.port), timeout=10)
        with trusting.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(HANDSHAKE)
            with serving.wrap_socket(upstream.accept()[0], server_side=True) as far:
                far.settimeout(10)
                read_head(far)
                far.sendall(SWITCHED + HELLO)
                head = read_head(client)
                assert (head.partition(b"\r\n\r\n")[2] or client.recv(100)) == HELLO
                client.sendall(b"x" * 300_000)
                assert len(read_exactly(far, 300_000)) == 300_000
                leaving, staying = (client, far) if leaves_first == "client" else (far, client)
                leaving.close()
                assert read_all(staying) == b""
        assert edge.gateway.ended.get(timeout=5) is None
