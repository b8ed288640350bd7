"""The processes of a running gateway, found as an operator would."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.faults.waiting import eventually
from tests.support.process import GatewayProcess


def workers_of(supervisor: int) -> set[int]:
    """Process ids of the data plane's workers."""
    return {pid for pid, command in _children(supervisor) if b"spawn_main" in command}


def replace_workers(gateway: GatewayProcess, *, seconds: float) -> None:
    """SIGHUP, and wait until other workers serve; fail when they do not within *seconds*."""
    process = gateway.process
    assert process is not None
    before = workers_of(process.pid)
    process.send_signal(signal.SIGHUP)
    eventually(lambda: not before & workers_of(process.pid), seconds=seconds)


def control_plane_of(supervisor: int) -> int:
    """Process id of the control plane."""
    mark = b"gateway_project.control_plane"
    return next(pid for pid, command in _children(supervisor) if mark in command)


def _children(pid: int) -> list[tuple[int, bytes]]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            try:
                found.append((int(child), Path(f"/proc/{child}/cmdline").read_bytes()))
            except OSError:
                continue
    return found
