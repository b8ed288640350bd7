"""Minutes at 70 % of what the gateway can do: no process grows in memory or file descriptors.

``SOAK_MINUTES`` says how many, 10 by default.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression

import pytest

from tests import servers
from tests.faults.outcomes import say
from tests.faults.processes import all_of
from tests.faults.waiting import eventually
from tests.support.process import PROJECT, GatewayProcess, new_gateway

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
SHARE = 0.7
_FULL_SECONDS = 30
"""In which the most it can do is measured: the first seconds promise more than lasts."""
MOST_GROWTH = max(0.5, 5 / MINUTES)
"""MB a minute: 5 MB in all, in runs of more than ten minutes half of one a minute."""
CONNECTIONS = 64
"""Of the load: on a machine that is late all of them may come to ask at once, and each of their
requests to have a connection of its own upstream."""
UPSTREAM = """
import asyncio, sys
class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        answer = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
        self.transport.write(answer * data.count(b"\\r\\n\\r\\n"))
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answer, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""
CONFIGURATION = """
services:
  soaked:
    instances: [{{url: "http://127.0.0.1:{port}"}}]
    health_check: {{path: /, interval: 1}}
    overload: {{adaptive: true}}
routes:
  - {{name: soaked, path: /soaked, service: soaked, auth_required: false,
      rate_limit: {{limit: 100000000, by: ip}}}}
"""


@contextmanager
def _upstream() -> Iterator[int]:
    port = servers.find_free_port()
    with subprocess.Popen([sys.executable, "-c", UPSTREAM, str(port)]) as process:
        yield port
        process.kill()


def _steady(port: int, rate: float, seconds: float) -> subprocess.Popen[str]:
    arguments = [str(port), "/soaked", "2", str(rate), str(seconds)]
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.steady", *arguments],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )


def _facts(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate()
    facts: dict[str, float] = json.loads(output)
    return facts


@dataclass
class Samples:
    """What one process held, at moments in seconds."""

    name: str
    times: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    """Resident, in MB."""
    descriptors: list[int] = field(default_factory=list)

    def take(self, pid: int) -> None:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        self.times.append(time.monotonic())
        self.memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
        self.descriptors.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))

    def settled(self) -> Samples:
        """Without the first fifth, which fills pools and caches, and the end of the load."""
        kept = slice(len(self.times) // 5, -2)
        return Samples(self.name, self.times[kept], self.memory[kept], self.descriptors[kept])

    @property
    def memory_slope(self) -> float:
        """MB a minute."""
        return 60 * linear_regression(self.times, self.memory).slope

    @property
    def descriptor_slope(self) -> float:
        """Descriptors a minute."""
        return 60 * linear_regression(self.times, self.descriptors).slope

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.memory[0]:.1f} to {self.memory[-1]:.1f} MB, "
            f"{self.memory_slope:+.3f} MB a minute; {min(self.descriptors)} to "
            f"{max(self.descriptors)} descriptors, {self.descriptor_slope:+.2f} a minute"
        )


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60 + 240)
def test_memory_and_descriptors_are_flat(tmp_path: Path) -> None:
    gateway = new_gateway(tmp_path)
    with _upstream() as port:
        gateway.apply(CONFIGURATION.format(port=port))
        with gateway.serving("--workers", "1"):
            process = gateway.process
            assert process is not None
            eventually(lambda: gateway.request("GET", "/soaked").status == 200, seconds=5)
            most = _facts(_steady(gateway.port, 100_000, _FULL_SECONDS))["answered"]
            before = _attempts(gateway)
            load = _steady(gateway.port, SHARE * most, MINUTES * 60)
            samples = _watched(process.pid, load)
            facts = _facts(load)
            time.sleep(2)  # what is counted is handed over every second
            sent = _attempts(gateway) - before
    requests = facts["answered"] * MINUTES * 60
    say(
        f"soak: {requests:.0f} requests in {MINUTES:g} minutes, {facts['answered']:.0f} a second "
        f"of at most {most:.0f}, {facts['failed']:.0f} errors, p99 {facts['p99_ms']:.1f} ms, "
        f"longest stall {facts['longest_ms'] / 1000:.2f} s, upstream load {sent / requests:.2f}"
    )
    for one in samples:
        say(f"soak, {one}")
    assert facts["failed"] == 0
    for one in samples:
        half = len(one.descriptors) // 2
        assert one.memory_slope < MOST_GROWTH
        assert max(one.descriptors[half:]) <= max(one.descriptors[:half]) + CONNECTIONS


def _watched(supervisor: int, load: subprocess.Popen[str]) -> list[Samples]:
    """What every process of the gateway holds, each second until *load* ends."""
    found = {pid: Samples(name) for pid, name in all_of(supervisor).items()}
    while load.poll() is None:
        for pid, samples in found.items():
            samples.take(pid)
        time.sleep(1)
    return [samples.settled() for samples in found.values()]


def _attempts(gateway: GatewayProcess) -> float:
    """Requests that were sent to the upstream so far."""
    body = gateway.request("GET", "/metrics").body.decode()
    lines = [line for line in body.splitlines() if line.startswith("gateway_attempts_total{")]
    return sum(float(line.split()[-1]) for line in lines)
