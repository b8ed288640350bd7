"""The processes of a running gateway, found as an operator would."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.waiting import eventually
from tests.support.process import GatewayProcess, new_gateway

_NAMES = {
    b"spawn_main": "worker",
    b"gateway_project.control_plane": "control plane",
    b"resource_tracker": "resource tracker",
}


@contextmanager
def two_workers(
    directory: Path, text: str, environment: Mapping[str, str]
) -> Iterator[GatewayProcess]:
    """A gateway of two workers that serves the configuration *text*."""
    gateway = new_gateway(directory, environment)
    gateway.apply(text)
    with gateway.serving("--workers", "2"):
        yield gateway


def workers_of(supervisor: int) -> set[int]:
    """Process ids of the data plane's workers."""
    return {pid for pid, command in _children(supervisor) if b"spawn_main" in command}


def all_of(supervisor: int) -> dict[int, str]:
    """Every process of a gateway by its id, and what it is."""
    found = {supervisor: "supervisor"}
    for pid, command in _children(supervisor):
        marks = (name for mark, name in _NAMES.items() if mark in command)
        found[pid] = next(marks, "helper")
    return found


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
    """Processes and threads may end while they are looked at."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            for child in (task / "children").read_text("ascii").split():
                with suppress(OSError):
                    found.append((int(child), Path(f"/proc/{child}/cmdline").read_bytes()))
    return found
