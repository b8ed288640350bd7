"""Minutes at 70 % of what the gateway can do: memory and file descriptors stay where they are.

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
from pathlib import Path
from statistics import linear_regression

import pytest

from tests import servers
from tests.faults.outcomes import say
from tests.faults.processes import workers_of
from tests.faults.waiting import eventually
from tests.support.process import PROJECT, new_gateway

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))
SHARE = 0.7
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


def _memory(pid: int) -> float:
    """Resident, in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.slow
@pytest.mark.timeout(MINUTES * 60 + 180)
def test_memory_and_descriptors_are_flat(tmp_path: Path) -> None:
    gateway = new_gateway(tmp_path)
    with _upstream() as port:
        gateway.apply(CONFIGURATION.format(port=port))
        with gateway.serving("--workers", "1"):
            process = gateway.process
            assert process is not None
            eventually(lambda: gateway.request("GET", "/soaked").status == 200, seconds=5)
            (worker,) = workers_of(process.pid)
            most = _facts(_steady(gateway.port, 100_000, 5))["answered"]
            load = _steady(gateway.port, SHARE * most, MINUTES * 60)
            samples = []
            while load.poll() is None:
                samples.append((time.monotonic(), _memory(worker), _descriptors(worker)))
                time.sleep(1)
            facts = _facts(load)
    # The first fifth fills pools and caches.
    times, memory, descriptors = zip(*samples[len(samples) // 5 : -2], strict=True)
    slope = 60 * linear_regression(times, memory).slope
    say(
        f"soak: {facts['answered']:.0f} requests/s of at most {most:.0f} for {MINUTES:g} minutes, "
        f"{facts['failed']:.0f} failed, p99 {facts['p99_ms']:.1f} ms; {memory[0]:.1f} to "
        f"{memory[-1]:.1f} MB, {slope:+.3f} MB a minute; {min(descriptors)} to "
        f"{max(descriptors)} descriptors"
    )
    assert facts["failed"] == 0
    assert slope < 0.5
    half = len(descriptors) // 2
    assert max(descriptors[half:]) <= max(descriptors[:half]) + 10
