"""Where the ports of the servers of tests come from."""

from __future__ import annotations

import socket

import pytest

from tests.ports import Ports, ports_for_servers

LINUX = (32_768, 60_999)


def test_no_client_is_given_a_port_for_servers() -> None:
    ports = ports_for_servers(LINUX, 0, 1)
    assert len(ports) > 20_000
    assert not any(LINUX[0] <= port <= LINUX[1] for port in ports)


def test_workers_share_no_port() -> None:
    shares = [set(ports_for_servers(LINUX, worker, 3)) for worker in range(3)]
    assert set.union(*shares) == set(ports_for_servers(LINUX, 0, 1))
    assert sum(map(len, shares)) == len(set.union(*shares))


def test_clients_that_may_have_every_port_are_named() -> None:
    with pytest.raises(ValueError, match="1024, 65535"):
        ports_for_servers((1024, 65_535), 0, 1)


def test_a_port_is_given_out_once() -> None:
    ports = Ports(ports_for_servers(LINUX, 0, 1))
    assert len({ports.take() for _ in range(200)}) == 200


def test_a_port_somebody_listens_on_is_left_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = Ports([listener.getsockname()[1]])
        with pytest.raises(RuntimeError):
            taken.take()
