"""What all peers share: two upstream instances and Redis, on the core that is not measured.

Configurations are files of ``benchmarks/configurations`` in which ``<<name>>`` stands for what is
only known at the start, such as ports.
"""

from __future__ import annotations

import getpass
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

import redis

from benchmarks.facts import BODY_BYTES, Target
from benchmarks.machine import (
    PROJECT,
    Cores,
    Processes,
    find_free_port,
    program,
    wait_until_answered,
)
from quotas.bucket import CLOCK_TOLERANCE, SECOND, Rule

CONFIGURATIONS = Path(__file__).parent / "configurations"
SIZES = {"1k": 2**10, "10k": 10 * 2**10, "100k": 100 * 2**10, "1m": 2**20, "10m": 10 * 2**20}
_NO_LIMIT = 1_000_000
_BLANK = re.compile(r"<<(\w+)>>")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where everything is. ``key`` is the one API key of the peers that are told theirs."""

    processes: Processes
    cores: Cores
    direct: Target
    redis_port: int
    key: str
    shared: Mapping[str, str]

    @property
    def directory(self) -> Path:
        """A directory for everything the run writes."""
        return self.processes.directory

    def script_calls(self) -> int:
        """How many scripts this run's Redis was asked to run so far."""
        with redis.Redis(port=self.redis_port) as client:
            facts = client.info("commandstats")
        return sum(
            facts[name]["calls"] for name in ("cmdstat_eval", "cmdstat_evalsha") if name in facts
        )

    def write(self, name: str, directory: Path, port: int) -> Path:
        """Fill in configuration *name* and put it into *directory*."""
        values = {
            **self.shared,
            "directory": str(directory),
            "port": str(port),
            "spare_port": str(find_free_port()),
        }
        text = (CONFIGURATIONS / name).read_text("utf-8")
        path = directory / name
        path.write_text(_BLANK.sub(lambda match: values[match[1]], text), "utf-8")
        return path


def surround(processes: Processes, cores: Cores) -> Surroundings:
    """Start upstream and Redis. Raises ``CannotRun`` when either cannot be had."""
    redis_port = _start_redis(processes, cores)
    key = f"gw_{secrets.token_urlsafe(32)}"
    upstream = find_free_port(), find_free_port()
    shared = {
        "user": getpass.getuser(),
        "key": key,
        "kilobyte": "x" * BODY_BYTES,
        "upstream_a": str(upstream[0]),
        "upstream_b": str(upstream[1]),
        "redis_port": str(redis_port),
        **_bucket(redis_port),
    }
    around = Surroundings(
        processes, cores, Target("direct", upstream[0], 0), redis_port, key, shared
    )
    _start_upstream(around)
    return around


def _start_redis(processes: Processes, cores: Cores) -> int:
    port = find_free_port()
    options = ("--save", "", "--appendonly", "no", "--dir", str(processes.directory))
    command = [program("redis-server"), "--bind", "127.0.0.1", "--port", str(port), *options]
    processes.start(command, cores.rest, processes.directory / "redis.log")
    client = redis.Redis(port=port, retry=redis.retry.Retry(_pause(), 50))
    client.ping()
    client.close()
    return port


def _pause() -> redis.backoff.AbstractBackoff:
    return redis.backoff.ConstantBackoff(0.1)


def _start_upstream(around: Surroundings) -> None:
    directory = around.directory / "upstream"
    files = directory / "files"
    files.mkdir(parents=True)
    for name, size in SIZES.items():
        (files / name).write_bytes(b"x" * size)
    port = around.direct.port
    path = around.write("upstream.conf", directory, port)
    log = directory / "start.log"
    command = [program("nginx"), "-e", str(directory / "error.log"), "-c", str(path)]
    process = around.processes.start(command, around.cores.rest, log)
    wait_until_answered(process, port, "/", log)


def _bucket(redis_port: int) -> dict[str, str]:
    """The gateway's bucket script, loaded, and its numbers, for who calls it by hand."""
    script = (PROJECT / "quotas" / "token_bucket.lua").read_text("utf-8")
    with redis.Redis(port=redis_port) as client:
        client.script_load(script)
    rule = Rule(key_prefix="", limit=_NO_LIMIT, period_us=SECOND, capacity=_NO_LIMIT)
    return {
        "bucket_sha": sha1(script.encode(), usedforsecurity=False).hexdigest(),
        "bucket_tolerance": str(CLOCK_TOLERANCE),
        "bucket_limit": str(rule.limit),
        "bucket_full": str(rule.full),
        "bucket_need": str(rule.price),
        "bucket_token": str(rule.token),
        "bucket_tick": str(rule.tick_us),
    }
