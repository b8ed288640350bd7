"""Connections: shared, capped, queued for, dropped when stale."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from proxying.upstream.base import (
    ConnectFailed,
    ConnectionReset,
    Origin,
)
from proxying.upstream.native import NativeTransport
from proxying.wire.pool import PoolStats
from tests.wire.scripted import (
    OK,
    PATIENT,
    Peer,
    Script,
    ScriptedUpstream,
    Serve,
    Turnstile,
    ask,
    only,
    request,
    whole,
)


async def test_two_hundred_at_once_leak_nothing(serve: Serve, transport: NativeTransport) -> None:
    upstream = await serve(OK)
    asking = [asyncio.create_task(ask(transport, upstream)) for _ in range(200)]
    for task in asking[::3]:
        await asyncio.sleep(0)
        task.cancel()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert {result for result in results if isinstance(result, tuple)} == {(200, b"ok")}
    stats = only(transport)
    assert (stats.open, stats.waiting) == (stats.idle, 0)
    assert stats.open <= 2


async def test_the_connection_used_last_is_used_next(
    serve: Serve, transport: NativeTransport
) -> None:
    served_by: list[int] = []
    both = asyncio.Event()

    async def script(peer: Peer) -> None:
        number = upstream.connections
        while await peer.request():
            served_by.append(number)
            if len(served_by) == 2:
                both.set()
            await both.wait()
            peer.send(OK)

    upstream = await serve(script)
    await asyncio.gather(ask(transport, upstream), ask(transport, upstream))
    del served_by[:]
    for _ in range(3):
        await ask(transport, upstream)
    assert len(set(served_by)) == 1


async def test_idle_connections_are_evicted(serve: Serve) -> None:
    transport = NativeTransport(idle_seconds=0.01)
    upstream = await serve(OK)
    await ask(transport, upstream)
    await upstream.closed.wait()
    assert only(transport) == PoolStats(open=0, idle=0, waiting=0)
    await transport.close()


@pytest.mark.parametrize("parting", [b"", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
async def test_a_connection_that_spoke_or_ended_while_idle_is_not_used_again(
    serve: Serve, transport: NativeTransport, parting: bytes
) -> None:
    parted = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await parted.wait()
        peer.send(parting)
        if parting:
            await peer.gone()

    upstream = await serve(script)
    await ask(transport, upstream)
    parted.set()
    await upstream.closed.wait()
    assert await ask(transport, upstream, request("POST", body=whole(b"x"))) == (200, b"ok")
    assert upstream.connections == 2


def _drops_the_second_request(heads: list[bytes]) -> Script:
    async def script(peer: Peer) -> None:
        heads.append(await peer.request())
        peer.send(OK)
        if len(heads) == 1:
            heads.append(await peer.request())

    return script


async def test_an_idempotent_request_is_repeated_once_on_a_new_connection(
    serve: Serve, transport: NativeTransport
) -> None:
    heads: list[bytes] = []
    upstream = await serve(_drops_the_second_request(heads))
    for _ in range(2):
        assert await ask(transport, upstream) == (200, b"ok")
    assert len(heads) == 3


@pytest.mark.parametrize(
    ("method", "content"), [("POST", b""), ("PATCH", b""), ("PUT", b"x"), ("POST", b"x")]
)
async def test_a_request_that_may_have_been_executed_is_never_repeated(
    serve: Serve, transport: NativeTransport, method: str, content: bytes
) -> None:
    heads: list[bytes] = []
    upstream = await serve(_drops_the_second_request(heads))
    await ask(transport, upstream)
    with pytest.raises(ConnectionReset) as raised:
        await ask(transport, upstream, request(method, body=whole(content)))
    assert type(raised.value) is ConnectionReset
    assert (len(heads), upstream.connections) == (2, 1)


async def test_a_request_is_not_repeated_once_a_byte_of_the_answer_came(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(OK)
        await peer.request()
        peer.send(b"HTTP/1.1 2")

    upstream = await serve(script)
    await ask(transport, upstream)
    with pytest.raises(ConnectionReset):
        await ask(transport, upstream)
    assert upstream.connections == 1


async def test_a_second_stale_connection_is_not_a_third_try(
    serve: Serve, transport: NativeTransport
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if upstream.connections == 1:
            peer.send(OK)
            await peer.request()

    upstream = await serve(script)
    await ask(transport, upstream)
    with pytest.raises(ConnectionReset):
        await ask(transport, upstream)
    assert upstream.connections == 2


async def test_a_refused_connection_is_connect_failed(transport: NativeTransport) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(ConnectFailed):
        await transport.send(Origin("http", "127.0.0.1", port, b"a"), request(), PATIENT)
    assert only(transport).open == 0


async def test_a_name_is_tried_at_every_address(serve: Serve, transport: NativeTransport) -> None:
    port = (await serve(OK)).origin.port
    origin = Origin("http", "localhost", port, b"localhost")
    answer = await transport.send(origin, request(), PATIENT)
    assert answer.status == 200


async def test_a_forbidden_address_is_not_connected_to(serve: Serve) -> None:
    transport = NativeTransport(allowed=lambda address: address != "127.0.0.1")
    upstream = await serve(OK)
    with pytest.raises(ConnectFailed):
        await ask(transport, upstream)
    assert upstream.connections == 0


async def test_closing_ends_idle_busy_and_waiting_requests(serve: Serve) -> None:
    transport = NativeTransport(max_connections_per_origin=1)
    gate = Turnstile()
    upstream = await serve(gate.script)
    asking = [asyncio.create_task(ask(transport, upstream)) for _ in range(2)]
    await gate.arrivals.get()
    await transport.close()
    busy, waiting = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(busy, ConnectionReset)
    assert isinstance(waiting, ConnectFailed)
    gate.let()
    await upstream.closed.wait()
    with pytest.raises(ConnectFailed):
        await ask(transport, upstream)


def _certificate(directory: Path, address: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), False
        )
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "certificate.pem", directory / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


@pytest.mark.parametrize(
    ("address", "trusted", "good"),
    [("127.0.0.1", True, True), ("127.0.0.1", False, False), ("127.0.0.2", True, False)],
)
async def test_tls_is_verified_by_authority_and_by_name(
    tmp_path: Path, address: str, trusted: bool, good: bool
) -> None:
    certificate, key = _certificate(tmp_path, address)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate, key)

    async def script(peer: Peer) -> None:
        while await peer.request():
            peer.send(OK)

    upstream = ScriptedUpstream(script, server_side)
    await upstream.start()
    tls = ssl.create_default_context(cafile=str(certificate)) if trusted else None
    transport = NativeTransport(tls=tls)
    if good:
        for _ in range(2):
            assert await ask(transport, upstream) == (200, b"ok")
        assert upstream.connections == 1
    else:
        with pytest.raises(ConnectFailed):
            await ask(transport, upstream)
    await transport.close()
    await upstream.stop()
