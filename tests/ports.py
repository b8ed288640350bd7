"""Ports for servers that tests start in processes of their own.

A port that was bound to 0 and released lies where the kernel takes the ports of clients from, so
any connection of any process can have it before the server listens. The ports here lie outside
that range, each worker of the test run has a share of its own, and none is given out twice.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

_FIRST = 12_000
_LAST = 65_535
_RANGE_OF_CLIENTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_RANGE = (32_768, 65_535)


def ports_for_servers(clients: tuple[int, int], worker: int, workers: int) -> list[int]:
    """The share of *worker* (from 0) in the ports outside the range *clients*, both ends included.

    Raises ``ValueError`` when *clients* leaves nothing.
    """
    low, high = clients
    everything = [port for port in range(_FIRST, _LAST + 1) if not low <= port <= high]
    share = everything[worker::workers]
    if not share:
        raise ValueError(f"clients have all ports from {_FIRST} to {_LAST}: {clients}")
    return share


class Ports:
    """Gives each port of *share* out at most once, in random order."""

    def __init__(self, share: Sequence[int]) -> None:
        # Another test run on this machine has the same share: its order is another one.
        self._left: Iterator[int] = iter(random.sample(share, len(share)))

    def take(self) -> int:
        """A loopback port nobody listens on. Raises ``RuntimeError`` when all are given out."""
        for port in self._left:
            if _is_free(port):
                return port
        raise RuntimeError("every port for servers was given out")


def of_this_process() -> Ports:
    """Those of this worker of pytest-xdist, or of a run without workers."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    workers = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")
    return Ports(ports_for_servers(_range_of_clients(), int(worker), int(workers)))


def _range_of_clients() -> tuple[int, int]:
    try:
        low, high = _RANGE_OF_CLIENTS.read_text("ascii").split()
    except OSError:
        return _DEFAULT_RANGE
    return int(low), int(high)


def _is_free(port: int) -> bool:
    with socket.socket() as listener:
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
