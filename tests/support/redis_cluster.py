"""A Redis Cluster of three masters, started by the test that wants one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis

from tests import servers


@dataclass(frozen=True)
class Cluster:
    """``host:port`` of each master and its process, in the same order."""

    nodes: tuple[str, ...]
    processes: tuple[subprocess.Popen[bytes], ...]


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
        yield Cluster(tuple(nodes), tuple(processes))


def _answers(port: int) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=1) as node:
            return bool(node.ping())
    except redis.RedisError:
        return False
