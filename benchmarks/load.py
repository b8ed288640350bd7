"""The two clients: wrk for throughput, :mod:`benchmarks.steady` for latency at a fixed rate.

Both run on the core that is not measured.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.facts import PATH, Sample, Steady, Target
from benchmarks.machine import PROJECT, CannotRun, ask, cpu_seconds, program

_SCRIPTS = Path(__file__).parent / "wrk"
_MARGIN_SECONDS = 60
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}
_BYTES = {"B": 1, "KB": 2**10, "MB": 2**20, "GB": 2**30}
_REFUSED = frozenset({401, 403, 404})


@dataclass(frozen=True, slots=True)
class Wrk:
    """How wrk is run: *script* is a file of ``benchmarks/wrk``, with its *arguments*."""

    cores: str
    connections: int = 64
    script: str = ""
    arguments: tuple[str, ...] = ()

    def run(self, target: Target, seconds: float) -> Sample:
        """Ask *target* as fast as it answers for *seconds*."""
        before = cpu_seconds(target.session) if target.session else 0.0
        text = self._output(target, seconds)
        used = cpu_seconds(target.session) - before if target.session else 0.0
        return read_wrk(text, used)

    def _output(self, target: Target, seconds: float) -> str:
        command = ["taskset", "-c", self.cores, program("wrk"), "-t1", f"-c{self.connections}"]
        command += [f"-d{max(1, round(seconds))}s", "--latency", "--timeout", "10s"]
        if target.key:
            command += ["-H", f"X-API-Key: {target.key}"]
        if self.script:
            command += ["-s", str(_SCRIPTS / self.script)]
        command.append(f"http://127.0.0.1:{target.port}{target.path}")
        if self.arguments:
            command += ["--", *self.arguments]
        return _output(command, seconds)


def read_wrk(text: str, cpu_seconds: float = 0.0) -> Sample:
    """What wrk printed, as numbers. Raises ``CannotRun`` when that is not a result."""
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    count = re.search(r"(\d+) requests in", text)
    if rate is None or count is None:
        raise CannotRun(f"wrk: {text.strip()[-300:]}")
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    sockets = re.search(r"Socket errors: (.*)", text)
    broken = sum(map(int, re.findall(r"\d+", sockets[1]))) if sockets else 0
    moved = re.search(r"Transfer/sec:\s+([\d.]+)(\w+)", text)
    return Sample(
        rate=float(rate[1]),
        p50_ms=_milliseconds(text, "50%"),
        p99_ms=_milliseconds(text, "99%"),
        cpu_us=cpu_seconds / max(1, int(count[1])) * 1e6,
        failed=(int(bad[1]) if bad else 0) + broken,
        bytes_per_second=float(moved[1]) * _BYTES[moved[2]] if moved else 0.0,
    )


def _milliseconds(text: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s|m)\b", text)
    return float(found[1]) * _UNITS[found[2]] if found else 0.0


def steady(target: Target, cores: str, rate: float, seconds: float) -> Steady:
    """Ask *target* *rate* times a second, whether it keeps up or not."""
    command = ["taskset", "-c", cores, sys.executable, "-m", "benchmarks.steady"]
    command += [str(target.port), target.path, str(target.body_bytes), str(rate), str(seconds)]
    facts = json.loads(_output(command, seconds, target.key))
    return Steady(**facts)


def _output(command: Sequence[str], seconds: float, given: str = "") -> str:
    result = subprocess.run(
        command,
        cwd=PROJECT,
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds + _MARGIN_SECONDS,
        check=False,
    )
    if result.returncode:
        raise CannotRun(f"{command[3]}: {(result.stderr or result.stdout).strip()[-300:]}")
    return result.stdout


def check(target: Target) -> None:
    """Raise ``CannotRun`` unless *target* answers rightly, and refuses who has no good key."""
    status, body = ask(target.port, target.path, target.key)
    if status != 200 or len(body) != target.body_bytes:
        raise CannotRun(f"answered {status} with {len(body)} bytes")
    if not target.key:
        return
    for wrong in ("", f"{target.key[:-1]}{'A' if target.key[-1] != 'A' else 'B'}", "gw_wrong"):
        status, _ = ask(target.port, target.path, wrong)
        if status not in _REFUSED:
            raise CannotRun(f"answered {status} to {'a wrong' if wrong else 'no'} key")


def with_path(target: Target, path: str = PATH, body_bytes: int = 1024) -> Target:
    """*target* asked for something else."""
    return Target(
        target.name, target.port, target.session, target.key, target.aside, path, body_bytes
    )
