"""Management commands of a gateway, each a process, without a second's worth of imports each."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.django_settings import ENVIRONMENT

PROJECT = Path(__file__).resolve().parents[2]
_START_SECONDS = 50
_COMMAND_SECONDS = 50
_KEPT = 2
"""Processes waiting for commands, of the environments asked last; each holds some 90 MB."""


def environment(directory: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of a gateway that writes below *directory* and checks passwords quickly."""
    return {
        **ENVIRONMENT,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(directory),
        "VAR_DIRECTORY": str(directory / "var"),
        "HOST": "127.0.0.1",
        "DJANGO_SETTINGS_MODULE": "tests.support.served_settings",
        **(extra or {}),
    }


class Loader:
    """The process whose forks know all libraries already."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="loader-")
        self._socket = Path(self._directory.name) / "socket"
        self._log = Path(self._directory.name) / "log"
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.command_server", str(self._socket)],
                cwd=PROJECT, env={"PATH": os.environ["PATH"]}, stdin=subprocess.PIPE,
                stdout=output, stderr=output,
            )  # fmt: skip

    def connect(self) -> socket.socket:
        """A connection, once it listens."""
        deadline = time.monotonic() + _START_SECONDS
        while (connection := _connected(self._socket)) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"no commands: {self._log.read_text('utf-8', 'replace')}")
            time.sleep(0.02)
        return connection

    def stop(self) -> None:
        """End it; forks that serve go on."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(20)
        self._directory.cleanup()


class CommandServer:
    """A process that runs ``manage.py`` in forks of itself, all in one *environment*.

    Each reads the settings anew unless the process *loads* them.
    """

    def __init__(
        self, loader: Loader, environment: Mapping[str, str], *, loads: bool = True
    ) -> None:
        self.environment = dict(environment)
        self._directory = tempfile.TemporaryDirectory(prefix="commands-")
        self._socket = Path(self._directory.name) / "socket"
        self._log = Path(self._directory.name) / "log"
        self._life = loader.connect()
        asked = {
            "environment": self.environment, "socket": str(self._socket), "log": str(self._log),
            "loads": loads,
        }  # fmt: skip
        self._life.sendall(json.dumps(asked).encode() + b"\n")

    def run(self, arguments: tuple[str, ...], working: Path) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, in the directory *working*."""
        with tempfile.TemporaryDirectory(dir=self._directory.name) as directory:
            outputs = {name: str(Path(directory) / name) for name in ("stdout", "stderr")}
            request = {"arguments": arguments, "directory": str(working), **outputs}
            with self._connect() as connection:
                connection.sendall(json.dumps(request).encode() + b"\n")
                code = int(connection.makefile("rb").readline())
            stdout, stderr = (Path(file).read_text("utf-8") for file in outputs.values())
        return subprocess.CompletedProcess(["manage.py", *arguments], code, stdout, stderr)

    def stop(self) -> None:
        """Let it end; commands that run go on."""
        with self._life:
            self._life.shutdown(socket.SHUT_WR)
            self._ended()
        self._directory.cleanup()

    def _ended(self, seconds: float = 20.0) -> bool:
        """Whether its process is gone, or goes within this time."""
        self._life.settimeout(seconds)
        try:
            return not self._life.recv(1)
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionResetError:
            return True

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + _START_SECONDS
        while (connection := _connected(self._socket)) is None:
            if self._ended(0.02) or time.monotonic() > deadline:
                pytest.fail(f"no commands: {self._log.read_text('utf-8', 'replace')}")
        return connection


def _connected(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_COMMAND_SECONDS)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        return None
    return connection


_loaders: list[Loader] = []
_servers: list[CommandServer] = []


def _loader() -> Loader:
    if not _loaders:
        _loaders.append(Loader())
    return _loaders[0]


def manage_from_the_start(
    environment: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` once, with the settings read as part of it: whatever they are."""
    server = CommandServer(_loader(), environment, loads=False)
    try:
        return server.run(arguments, PROJECT)
    finally:
        server.stop()


def manage(
    environment: Mapping[str, str], *arguments: str, working: Path = PROJECT
) -> subprocess.CompletedProcess[str]:
    """Run ``manage.py`` with *arguments* in exactly this *environment*."""
    found = next((one for one in _servers if one.environment == environment), None)
    if found is None:
        while len(_servers) >= _KEPT:
            _servers.pop(0).stop()
        found = CommandServer(_loader(), environment)
        _servers.append(found)
    return found.run(arguments, working)


def stop_all() -> None:
    """Stop every process that waits for commands."""
    while _servers:
        _servers.pop().stop()
    while _loaders:
        _loaders.pop().stop()
