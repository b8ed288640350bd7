"""The gateway as a process of its own: started as an operator would, stopped in order."""

from __future__ import annotations

import http.client
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.support import commands, sqlite_files
from tests.support.raw import Reply, request

PROJECT = Path(__file__).resolve().parents[2]
PASSWORD = "correct horse battery staple"
"""Of the operator of any gateway that has one."""
UNCHECKED = "--skip-checks"
"""Of commands that prepare a test: `serve` makes the same checks, which take most of their time."""
_START_SECONDS = 60


@dataclass
class GatewayProcess:
    """A gateway of this checkout with a directory, database and port of its own."""

    directory: Path
    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    keys: dict[str, str] = field(default_factory=dict)
    cookie: str | None = None

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a management command against this gateway's database."""
        done = commands.manage(self.environment, *arguments)
        if check and done.returncode:
            pytest.fail(f"{done.args}: code {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def apply(
        self, text: str, *options: str, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Apply a configuration file holding *text* and wait until every worker follows it."""
        path = self.directory / "gateway.yaml"
        path.write_text(text, "utf-8")
        result = self.manage("apply", UNCHECKED, str(path), *options, check=check)
        if result.returncode == 0 and self.process is not None:
            self.wait_for_revision(self.published())
        return result

    def published(self) -> int:
        """Number of the revision that was published last."""
        lines = self.manage("revisions", UNCHECKED).stdout.splitlines()
        current = next(line for line in lines if line.startswith("*"))
        return int(current.split()[1])

    def key(self, consumer: str) -> str:
        """An API key of *consumer*."""
        if consumer not in self.keys:
            result = self.manage("create_api_key", UNCHECKED, consumer, "--json")
            self.keys[consumer] = json.loads(result.stdout)["key"]
        return self.keys[consumer]

    def query(self, sql: str) -> list[Any]:
        """Rows of this gateway's SQLite file."""
        path = Path(self.environment["VAR_DIRECTORY"]) / sqlite_files.NAME
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            return connection.execute(sql).fetchall()

    def add_operator(self) -> None:
        """The superuser ops."""
        self.manage("createsuperuser", "--noinput", "--username", "ops", "--email", "ops@localhost")

    def request(self, method: str, target: str, *lines: str, body: bytes = b"") -> Reply:
        """One request on a connection of its own."""
        return request(self.port, method, target, *lines, body=body)

    def ready(self) -> dict[str, Any] | None:
        """What ``/ready`` says; ``None`` while nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/ready")
            content: dict[str, Any] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return content

    def wait_for_revision(self, number: int, seconds: float = 20.0) -> None:
        """Return once several answers in a row, from whichever workers, show *number*."""
        deadline = time.monotonic() + seconds
        agreed = 0
        while agreed < 10:
            ready = self.ready()
            agreed = agreed + 1 if ready and (ready["revision"] or 0) >= number else 0
            if time.monotonic() > deadline:
                pytest.fail(f"revision {number} is not served everywhere: {ready}")
            if not agreed:
                time.sleep(0.05)

    @contextmanager
    def serving(self, *options: str) -> Iterator[None]:
        """Run ``serve`` until the block ends."""
        with self.under([sys.executable, "manage.py", "serve", "--port", str(self.port), *options]):
            yield

    @contextmanager
    def under(self, command: list[str]) -> Iterator[None]:
        """Run *command*, which serves at this gateway's port, until the block ends."""
        log = self.directory / "serve.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=PROJECT, env=self.environment, stdout=output, stderr=output
            )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not (ready := self.ready()) or ready["status"] == "starting":
                if self.process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{command} did not start: {log.read_text('utf-8', 'replace')}")
                time.sleep(0.05)
            yield
        finally:
            self.stop()

    def copy(self, directory: Path, extra: Mapping[str, str] | None = None) -> GatewayProcess:
        """Another gateway, not started, with what is in this one's SQLite file now."""
        var = directory / "var"
        sqlite_files.copy(
            Path(self.environment["VAR_DIRECTORY"]) / sqlite_files.NAME, var / sqlite_files.NAME
        )
        environment = {**self.environment, "VAR_DIRECTORY": str(var), **(extra or {})}
        return GatewayProcess(directory, servers.find_free_port(), environment)

    def stop(self) -> int:
        """SIGTERM, and wait for the end; the exit code."""
        process, self.process = self.process, None
        if process is None:
            return 0
        process.terminate()
        try:
            return process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


def new_gateway(directory: Path, extra: Mapping[str, str] | None = None) -> GatewayProcess:
    """A gateway that is not started yet, its database migrated."""
    environment = commands.environment(
        directory, {"DJANGO_SUPERUSER_PASSWORD": PASSWORD, **(extra or {})}
    )
    gateway = GatewayProcess(directory, servers.find_free_port(), environment)
    if "DATABASE_URL" in gateway.environment:
        gateway.manage("migrate", "--verbosity", "0")
    else:
        sqlite_files.copy(sqlite_files.migrated(), directory / "var" / sqlite_files.NAME)
    return gateway
