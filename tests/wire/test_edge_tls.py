"""The edge behind TLS: uvicorn terminates it, the exchange knows of it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.certificates import self_signed
from tests.wire.edges import Edge, running


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running(certificate=self_signed(tmp_path_factory.mktemp("tls"))) as edge:
        yield edge


def say(edge: Edge, data: bytes) -> bytes:
    """All that comes back until the close."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", edge.port), 10)
    with closing(context.wrap_socket(plain)) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(4096), b""))


def test_the_scheme_is_https(edge: Edge) -> None:
    reply = say(edge, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    [exchange] = edge.gateway.exchanges
    assert (exchange.scheme, exchange.port) == ("https", edge.port)


def test_a_malformed_request_is_told_so_and_closed(edge: Edge) -> None:
    assert say(edge, b"GET  / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
