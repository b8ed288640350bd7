"""Who goes first on a busy machine: requests before publishes, before the admin, before a start.

The system's priorities ("nice", ``SCHED_IDLE``) and the interpreter's turns. Giving priority back
needs a right that a container may lack (CAP_SYS_NICE, or RLIMIT_NICE); without it a new worker
starts as any process, and the control plane is never put behind everybody.
"""

from __future__ import annotations

import gc
import math
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

CONTROL_PLANE_NICE = 10
"""Of the control plane: it gets a tenth of what a worker gets where both want everything."""
_STARTING_NICE = 10
_FAIR_SHARE: Final = 0.5
"""Of a processor: a thread that wants to run and gets less is starved."""
_CALM_SECONDS: Final = 2.0
"""Without starving, before a process goes behind everybody again."""
_SWITCH_SECONDS = 0.0005
"""How long another thread (database, log, a revision that is compiled) keeps the loop waiting for
its turn. With the usual 5 ms, a worker that looks up a stream of unknown keys answers its good
callers 10 ms late."""
_YOUNG = 20_000
"""Net allocations before the youngest objects are searched for cycles, which requests leave none
of; with the usual 700 that happens every few requests."""


def collect_seldom() -> None:
    """In a process that starts: loading makes objects that stay, and with the usual threshold a
    tenth of its time goes into looking for cycles among them.
    """
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


def favour_requests() -> None:
    """In a worker that is about to serve: the priority of its supervisor, short turns, and no look
    at what stays for ever: a collection of everything that was ever imported takes some 100 ms.
    """
    usual = os.getpriority(os.PRIO_PROCESS, os.getppid())
    if os.getpriority(os.PRIO_PROCESS, 0) != usual:
        _set(os.getpid(), usual)
    sys.setswitchinterval(_SWITCH_SECONDS)
    collect_seldom()
    gc.collect()
    gc.freeze()


def start_gently(pid: int) -> None:
    """Let the worker *pid* start behind those that serve, if it can take that back."""
    if _may_be_taken_back():
        _set(pid, _STARTING_NICE)


class Background:
    """Lets the process *pid* run when nobody else wants to, unless that is never.

    ``SCHED_IDLE`` (sched(7)) is more than a low priority: the system counts a processor that runs
    nothing else as free, so a request neither waits behind such a process nor crowds the other
    processors because of it. While a thread of the process is starved, it runs with its own nice
    value instead. Its supervisor is to call :meth:`look` a few times a second.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._possible = _may_be_taken_back()
        self._behind = self._possible
        self._starved_at = -math.inf
        self._looked_at = time.monotonic()
        self._ran: dict[int, int] = {}
        if self._behind:
            _set_policy(pid, os.SCHED_IDLE)

    def look(self) -> None:
        """Put it behind everybody, or give it its turns, by how it fared since the last look."""
        if not self._possible:
            return
        now, ran = time.monotonic(), _running(self._pid)
        enough = _FAIR_SHARE * (now - self._looked_at) * 1e9
        if any(ran[thread] - self._ran[thread] < enough for thread in ran.keys() & self._ran):
            self._starved_at = now
        self._looked_at, self._ran = now, ran
        behind = now - self._starved_at > _CALM_SECONDS
        if behind != self._behind:
            self._behind = behind
            _set_policy(self._pid, os.SCHED_IDLE if behind else os.SCHED_OTHER)


def _running(pid: int) -> dict[int, int]:
    """The threads of *pid* that want a processor now, and the nanoseconds each ever had one."""
    found: dict[int, int] = {}
    for thread in _threads(pid):
        with suppress(OSError):
            of_it = Path(f"/proc/{pid}/task/{thread}")
            if (of_it / "stat").read_text("utf-8", "replace").rpartition(") ")[2].startswith("R"):
                found[thread] = int((of_it / "schedstat").read_text("ascii").split()[0])
    return found


def _set(pid: int, nice: int) -> None:
    for thread in _threads(pid):
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, nice)


def _set_policy(pid: int, policy: int) -> None:
    for thread in _threads(pid):
        with suppress(OSError):
            os.sched_setscheduler(thread, policy, os.sched_param(0))


def _threads(pid: int) -> list[int]:
    """Ids of the threads of *pid*: the system keeps a priority for each, not for the process."""
    try:
        return [int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def _may_be_taken_back() -> bool:
    """Tried out on a thread that ends at once."""
    answers: list[bool] = []

    def try_it() -> None:
        thread = threading.get_native_id()
        try:
            before = os.getpriority(os.PRIO_PROCESS, thread)
            os.setpriority(os.PRIO_PROCESS, thread, before + 1)
            os.setpriority(os.PRIO_PROCESS, thread, before)
        except OSError:
            return
        answers.append(True)

    trial = threading.Thread(target=try_it)
    trial.start()
    trial.join()
    return bool(answers)
