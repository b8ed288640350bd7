"""``make run`` on a machine where something is in its way, and how it and ``serve`` end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import find_free_port
from tests.support import sqlite_files
from tests.support.process import PROJECT
from tests.system.test_readme import SECRETS


def environment(directory: Path, port: int) -> dict[str, str]:
    own = {"ENV_FILE": os.devnull, "VAR_DIRECTORY": str(directory), "PORT": str(port)}
    inherited = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    return {**inherited, **SECRETS, **own, "HOST": "127.0.0.1", "DRAIN_ACCEPT_SECONDS": "20"}


def test_a_port_in_use_is_named_before_anything_is_changed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "scripts/run.py"],
            cwd=PROJECT,
            env=environment(tmp_path, port),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}: Address already in use" in done.stderr
    assert not (tmp_path / "gateway.sqlite3").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["keyboard", "service"])
def test_a_signal_to_the_whole_group_stops_serve_in_order(
    number: signal.Signals, tmp_path: Path
) -> None:
    seconds = "20" if number == signal.SIGINT else "0"
    if number == signal.SIGTERM:  # the other one makes its database first
        sqlite_files.copy(sqlite_files.migrated(), tmp_path / sqlite_files.NAME)
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve", "--init-db"],
        cwd=PROJECT,
        env={**environment(tmp_path, find_free_port()), "DRAIN_ACCEPT_SECONDS": seconds},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Application startup complete" in line:
            break
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=15)
    assert process.returncode == 0
    assert "is started again" not in said
    assert "Fatal" not in said
