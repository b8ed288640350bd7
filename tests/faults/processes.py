"""The processes of a running gateway, found as an operator would."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def workers_of(supervisor: int) -> set[int]:
    """Process ids of the data plane's workers."""
    return {pid for pid, command in _children(supervisor) if b"spawn_main" in command}


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
