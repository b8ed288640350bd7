"""A Redis Cluster of three masters, started by the test that wants one."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from tests import servers


@dataclass(frozen=True)
class Cluster:
    """``host:port`` of each master and its process, in the same order."""

    nodes: tuple[str, ...]
    processes: tuple[subprocess.Popen[bytes], ...]

    def wait_until_whole(self, seconds: float = 40.0) -> None:
        """Return once every master holds the cluster to be well and complete."""
        deadline = time.monotonic() + seconds
        while not all(map(_is_whole, self.nodes)):
            if time.monotonic() > deadline:
                pytest.fail("the Redis Cluster is not whole")
            time.sleep(0.05)


@contextmanager
def three_masters(directory: Path) -> Iterator[Cluster]:
    """Three masters that share all slots; a master that is away leaves the others working."""
    [program, cli] = servers.require("redis-server", "redis-cli")
    with ExitStack() as stack:
        nodes, processes = [], []
        for number in range(3):
            port, bus = servers.find_free_port(), servers.find_free_port()
            home = directory / str(number)
            home.mkdir()
            options = {
                "--port": port, "--cluster-port": bus, "--bind": "127.0.0.1", "--save": "",
                "--cluster-enabled": "yes", "--cluster-require-full-coverage": "no",
                "--dir": home,
            }  # fmt: skip
            command = [program, *(str(word) for pair in options.items() for word in pair)]
            log = home / "redis.log"
            answers = partial(_answers, port)
            process = stack.enter_context(servers.running(command, log, answers))
            nodes.append(f"127.0.0.1:{port}")
            processes.append(process)
        create = [cli, "--cluster", "create", *nodes, "--cluster-replicas", "0", "--cluster-yes"]
        subprocess.run(create, check=True, capture_output=True, timeout=60)
        cluster = Cluster(tuple(nodes), tuple(processes))
        cluster.wait_until_whole()
        yield cluster


def _is_whole(node: str) -> bool:
    try:
        with redis.Redis(port=int(node.rpartition(":")[2]), socket_timeout=1) as master:
            state: Any = master.execute_command("CLUSTER INFO")
    except redis.RedisError:
        return False
    wanted = {"cluster_state": "ok", "cluster_slots_ok": "16384", "cluster_known_nodes": "3"}
    return wanted.items() <= dict(state).items()


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=1) as node:
            return bool(node.ping())
    except redis.RedisError:
        return False
