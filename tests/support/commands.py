"""Management commands of a gateway, each a process, without a second's worth of imports each."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
_START_SECONDS = 50
_COMMAND_SECONDS = 50
_KEPT = 2
"""Processes waiting for commands, of the environments asked last; each holds some 90 MB."""


class CommandServer:
    """A process that runs ``manage.py`` in forks of itself, all in one *environment*."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._directory = tempfile.TemporaryDirectory(prefix="commands-")
        self._socket = Path(self._directory.name) / "socket"
        self._log = Path(self._directory.name) / "log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.command_server", str(self._socket)],
                cwd=PROJECT, env=self.environment, stdin=subprocess.PIPE,
                stdout=output, stderr=output,
            )  # fmt: skip

    def run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        with tempfile.TemporaryDirectory(dir=self._directory.name) as directory:
            outputs = {name: str(Path(directory) / name) for name in ("stdout", "stderr")}
            with self._connect() as connection:
                connection.sendall(json.dumps({"arguments": arguments, **outputs}).encode() + b"\n")
                code = int(connection.makefile("rb").readline())
            stdout, stderr = (Path(file).read_text("utf-8") for file in outputs.values())
        return subprocess.CompletedProcess(["manage.py", *arguments], code, stdout, stderr)

    def stop(self) -> None:
        """Let it end; commands that run go on."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(20)
        self._directory.cleanup()

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + _START_SECONDS
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(_COMMAND_SECONDS)
        while True:
            try:
                connection.connect(str(self._socket))
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    connection.close()
                    pytest.fail(f"no commands: {self._log.read_text('utf-8', 'replace')}")
                time.sleep(0.02)
            else:
                return connection


_servers: list[CommandServer] = []


def manage(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` with *arguments* in exactly this *environment*."""
    found = next((one for one in _servers if one.environment == environment), None)
    if found is None:
        while len(_servers) >= _KEPT:
            _servers.pop(0).stop()
        found = CommandServer(environment)
        _servers.append(found)
    return found.run(arguments)


def stop_all() -> None:
    """Stop every process that waits for commands."""
    while _servers:
        _servers.pop().stop()
