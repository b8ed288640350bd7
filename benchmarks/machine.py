"""Processes of a run: started on chosen cores, looked at through /proc, stopped by their id.

Leans on Linux (``taskset``, ``/proc``). Every server is the leader of a session of its own, so
that its workers are found and, if they do not end by themselves, ended with it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.facts import Memory

PROJECT = Path(__file__).resolve().parent.parent
_START_SECONDS = 90.0
_STOP_SECONDS = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PORTS = 12_000, 32_768
"""From the first to before the last; a port among those of clients could be taken before use."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class CannotRun(Exception):
    """A program that is missing or does not start; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Cores:
    """Lists of cores as ``taskset -c`` takes them: what is measured, and all the rest."""

    measured: str
    rest: str


def two_cores() -> Cores:
    """One core for what is measured, another for load, upstream and Redis."""
    first, *others = sorted(os.sched_getaffinity(0))
    if not others:
        raise CannotRun(
            "two processor cores are needed: one for what is measured, one for the load"
        )
    return Cores(str(first), str(others[0]))


def program(name: str) -> str:
    """Path of *name*, beside this Python or on PATH. Raises :class:`CannotRun`."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=f"{beside}:{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise CannotRun(f"{name} is not installed")
    return found


def find_free_port() -> int:
    """A loopback port nobody listens on, below those the kernel gives to clients."""
    while True:
        port = random.randrange(*_PORTS)
        with contextlib.suppress(OSError), socket.socket() as listener:
            listener.bind(("127.0.0.1", port))
            return port


@dataclass
class Processes:
    """Starts processes and stops all of them, last first, when the block ends."""

    directory: Path
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._started:
            self.stop(self._started[-1].pid)

    def start(
        self,
        command: Sequence[str],
        cores: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Run *command* on *cores*; what it prints goes to *log*."""
        with log.open("ab") as output:
            process = subprocess.Popen(
                ["taskset", "-c", cores, *command],
                cwd=PROJECT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def stop(self, pid: int) -> None:
        """End the process *pid* and what it started: politely, then not."""
        process = next(each for each in self._started if each.pid == pid)
        self._started.remove(process)
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
        for left in list(processes_of(process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)
        process.wait()


def wait_until_answered(
    process: subprocess.Popen[bytes], port: int, path: str, log: Path, key: str = ""
) -> None:
    """Return once *path* answers 200. Raises :class:`CannotRun` with the end of *log*."""
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if ask(port, path, key)[0] == http.HTTPStatus.OK:
                return
        time.sleep(0.1)
    raise CannotRun(f"did not start: {log.read_text('utf-8', 'replace')[-600:].strip()}")


def ask(port: int, path: str, key: str = "") -> tuple[int, bytes]:
    """Status and body of one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"X-API-Key": key} if key else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def processes_of(session: int) -> Iterator[int]:
    """The live processes of *session*."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            state, of_session = fields[0], int(fields[3])
            if of_session == session and state != "Z":
                yield int(entry.name)


def cpu_seconds(session: int) -> float:
    """Processor time the processes of *session* have used so far."""
    facts = (_stat(pid) for pid in processes_of(session))
    return sum(int(fields[11]) + int(fields[12]) for fields in facts if fields) / _TICKS


def memory(session: int, aside: str = "") -> Memory:
    """Resident memory of *session*: of its largest process whose command lacks *aside*, and all."""
    worker = everything = 0.0
    for pid in processes_of(session):
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
            megabytes = pages * _PAGE / 2**20
            everything += megabytes
            if not aside or aside not in command:
                worker = max(worker, megabytes)
    return Memory(worker, everything)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat that follow the name: state first (proc(5))."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
