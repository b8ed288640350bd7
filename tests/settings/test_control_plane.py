"""The control plane's process is kept running until it is told to stop."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway_project import control_plane
from gateway_project.control_plane import PORT_VARIABLE, ControlPlane


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_plane, "_PAUSE", 0.01)
    monkeypatch.setenv(PORT_VARIABLE, "")


def wait_for(caplog: pytest.LogCaptureFixture, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_one_that_cannot_be_started_for_a_while_is_started_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!{sys.executable}\n", "ascii")
    program.chmod(0o755)
    plane = ControlPlane(0, [str(program)])
    plane.start()
    program.chmod(0o644)
    wait_for(caplog, "could not be started")
    started = tmp_path / "started"
    program.write_text(f"#!{sys.executable}\nopen({str(started)!r}, 'w').close()\n", "ascii")
    program.chmod(0o755)
    deadline = time.monotonic() + 10
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    plane.stop()


def test_an_answer_in_pieces_does_not_wait_for_each_to_be_acknowledged(tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = (
        "import pathlib, socket, sys\n"
        "connection, _ = socket.socket(fileno=int(sys.argv[1])).accept()\n"
        "at_once = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)\n"
        f"pathlib.Path({str(told)!r}).write_text(str(at_once), 'ascii')\n"
        "connection.sendall(b'told')\n"
    )
    plane = ControlPlane(0, [sys.executable, "-c", program])
    plane.start()
    with socket.create_connection(("127.0.0.1", int(os.environ[PORT_VARIABLE])), 20) as client:
        assert client.recv(4) == b"told"
    plane.stop()
    assert told.read_text("ascii") == "1"


def test_stopping_while_it_is_started_again_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    plane = ControlPlane(0)
    stopping = threading.Thread(target=plane.stop, daemon=True)
    restarted = threading.Event()
    popen, started = subprocess.Popen, 0

    def start(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        nonlocal started
        started += 1
        if started == 1:
            return popen(["true"], **options)
        stopping.start()
        restarted.set()
        time.sleep(0.1)
        return popen(["sleep", "60"], **options)

    monkeypatch.setattr(subprocess, "Popen", start)
    plane.start()
    restarted.wait(10)
    stopping.join(10)
    assert started == 2
    assert not stopping.is_alive()
