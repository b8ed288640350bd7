"""Real servers for tests: started on private ports in a temporary directory, stopped after.

A server that cannot be had skips its tests by name, or fails them with ``REQUIRE_SERVICES=1``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pymysql
import pytest

from tests import ports

_START_SECONDS = 40
_PORTS = ports.of_this_process()


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. ``process`` may be stopped and continued by a test that says so."""

    host: str
    port: int
    url: str
    process: subprocess.Popen[bytes]


def find_free_port() -> int:
    """A loopback port nobody listens on, and that no client and no other test is given."""
    return _PORTS.take()


def require(*programs: str) -> list[str]:
    """Paths of *programs*; skips the test, or fails it, when one is absent."""
    paths = [shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") for program in programs]
    missing = [program for program, path in zip(programs, paths, strict=True) if path is None]
    if missing:
        unavailable(f"{', '.join(missing)} is not installed (make services)")
    return [path for path in paths if path is not None]


def unavailable(reason: str) -> None:
    """Skip by name, or fail where the servers are demanded."""
    if os.environ.get("REQUIRE_SERVICES") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@contextmanager
def running(
    command: list[str], log: Path, answers: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the block ends; enters the block once *answers* says true."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not answers():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start: {log.read_text('utf-8', 'replace')}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def redis(directory: Path) -> Iterator[Server]:
    """A Redis that keeps nothing."""
    [program] = require("redis-server")
    port = find_free_port()
    options = {"--port": str(port), "--bind": "127.0.0.1", "--save": "", "--appendonly": "no"}
    command = [program, *(word for pair in options.items() for word in pair)]
    command += ["--dir", str(directory)]
    with running(command, directory / "redis.log", lambda: _redis_answers(port)) as process:
        yield Server("127.0.0.1", port, f"redis://127.0.0.1:{port}/0", process)


def _redis_answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


@contextmanager
def mariadb(directory: Path) -> Iterator[Server]:
    """A MariaDB with user ``gateway``, password ``gateway``, who may make databases."""
    install, program = require("mariadb-install-db", "mariadbd")
    data = directory / "data"
    as_user = [f"--user={_user_name()}"]
    shared = ["--no-defaults", f"--datadir={data}", *as_user]
    subprocess.run(
        [install, *shared, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    port = find_free_port()
    command = [
        program, *shared, f"--port={port}", "--bind-address=127.0.0.1",
        f"--socket={directory}/mariadb.sock", f"--pid-file={directory}/mariadb.pid",
        "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M",
        "--skip-name-resolve",
    ]  # fmt: skip
    unix_socket = directory / "mariadb.sock"
    with running(
        command, directory / "mariadb.log", lambda: _mariadb_answers(unix_socket)
    ) as process:
        # It has no TLS; PyMySQL would prepare for it, 20 ms, before each connection.
        url = f"mysql://gateway:gateway@127.0.0.1:{port}/gateway_db?ssl_disabled=True"
        yield Server("127.0.0.1", port, url, process)


def _user_name() -> str:
    return Path("~").expanduser().owner() if os.getuid() else "root"


def _mariadb_answers(unix_socket: Path) -> bool:
    # PyMySQL leaves its socket open when nobody listens yet.
    if not unix_socket.exists():
        return False
    try:
        connection = pymysql.connect(unix_socket=str(unix_socket), user="root", connect_timeout=1)
    except pymysql.err.OperationalError:
        return False
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS gateway_db CHARACTER SET utf8mb4")
        cursor.execute("CREATE USER IF NOT EXISTS gateway@'127.0.0.1' IDENTIFIED BY 'gateway'")
        cursor.execute("GRANT ALL ON *.* TO gateway@'127.0.0.1'")
    return True


@contextmanager
def etcd(directory: Path) -> Iterator[Server]:
    """A single etcd."""
    [program] = require("etcd")
    port = find_free_port()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{find_free_port()}"
    command = [
        program, "--data-dir", str(directory / "etcd"), "--listen-client-urls", client,
        "--advertise-client-urls", client, "--listen-peer-urls", peer,
        "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
    ]  # fmt: skip
    with running(command, directory / "etcd.log", lambda: _http_answers(client)) as process:
        yield Server("127.0.0.1", port, client, process)


def _http_answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=1).is_success
    except httpx.TransportError:
        return False
