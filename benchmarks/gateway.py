"""Our gateway, started as an operator would: ``migrate``, ``apply``, ``create_api_key``, ``serve``.

How ``serve`` carries requests is its own business; this knows only its commands and settings.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.facts import OURS, Peer, Target, Workload
from benchmarks.machine import PROJECT, CannotRun, find_free_port, wait_until_answered
from benchmarks.surroundings import Surroundings
from gateway_project import compiled

CONTROL_PLANE = "gateway_project.control_plane"
_COMMAND_SECONDS = 900
_FULL = Workload.FULL
NOTE = "API key from its cache, limit in Redis, retry, breaker, JSON log, Prometheus"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway with a directory, database and settings of its own, not started yet."""

    directory: Path
    environment: dict[str, str]
    workload: Workload
    around: Surroundings

    def manage(self, *arguments: str) -> str:
        """Run a management command; its standard output. Raises ``CannotRun`` if it fails."""
        return self._run(sys.executable, "manage.py", *arguments)

    def apply(self, *files: Path) -> None:
        """Make *files* and the workload's own configuration the one that is served."""
        base = self.around.write(f"gateway-{self.workload}.yaml", self.directory, 0)
        self.manage("apply", str(base), *map(str, files))

    def new_key(self) -> str:
        """A key of consumer ``bench``."""
        key: str = json.loads(self.manage("create_api_key", "bench", "--json"))["key"]
        return key

    def new_keys(self, count: int) -> list[str]:
        """*count* keys in one transaction: a command for each would take hours."""
        path = self.directory / "keys.txt"
        self._run(sys.executable, "-m", "benchmarks.many_keys", str(count), str(path))
        return path.read_text("ascii").split()

    def serve(self, key: str, *, workers: int = 1, cores: str = "", name: str = OURS) -> Target:
        """Start ``serve`` on *cores* (default: the measured one) and wait until it answers."""
        port = find_free_port()
        log = self.directory / "serve.log"
        words = ("--host", "127.0.0.1", "--port", str(port), "--workers", str(workers))
        process = self.around.processes.start(
            [sys.executable, "manage.py", "serve", *words],
            cores or self.around.cores.measured,
            log,
            self.environment,
        )
        target = Target(name, port, process.pid, key, aside=CONTROL_PLANE)
        wait_until_answered(process, port, "/ready", log)
        return target

    def _run(self, *command: str) -> str:
        result = subprocess.run(
            command,
            cwd=PROJECT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        if result.returncode:
            raise CannotRun(f"{' '.join(command[1:3])}: {result.stderr[-600:].strip()}")
        return result.stdout


def new_gateway(
    around: Surroundings, workload: Workload, name: str, more: Mapping[str, str] | None = None
) -> Gateway:
    """A migrated gateway in a directory called *name*, with *more* settings."""
    directory = around.directory / name
    directory.mkdir()
    environment = {
        "ENVIRONMENT": "default",
        "ENV_FILE": os.devnull,
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(40),
        "JWT_SECRET_KEY": secrets.token_urlsafe(40),
        "VAR_DIRECTORY": str(directory / "var"),
        "LOG_DIRECTORY": str(directory / "logs"),
        "PROMETHEUS_ENABLED": "true",
        "REDIS_URL": f"redis://127.0.0.1:{around.redis_port}/0",
        "REDIS_PREFIX": f"{name}:",
        # Nobody writes a line for each request in the plain workload.
        "LOG_LEVEL": "info" if workload is _FULL else "warning",
        **(more or {}),
    }
    gateway = Gateway(directory, environment, workload, around)
    gateway.manage("migrate", "--verbosity", "0")
    return gateway


def start(workload: Workload, around: Surroundings) -> Target:
    """The gateway of the comparison."""
    gateway = new_gateway(around, workload, f"gateway-{workload}")
    gateway.apply()
    return gateway.serve(gateway.new_key() if workload is _FULL else "")


def describe() -> Peer:
    """What the report says of it."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    commit = _git("rev-parse", "--short", "HEAD")
    changed = " with changes" if commit and _git("status", "--porcelain") else ""
    return Peer(
        OURS,
        f"{project['version']} {commit}{changed}, compiled data plane: {compiled.state().value}, "
        f"fast path: {'in use' if compiled.fast_path() is not None else 'none'}",
        note=NOTE,
        configurations=tuple(f"gateway-{workload}.yaml" for workload in Workload),
    )


def _git(*words: str) -> str:
    command: Sequence[str] = ("git", *words)
    try:
        result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return result.stdout.strip()
