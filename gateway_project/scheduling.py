"""Who goes first on a busy machine: requests before publishes, before the admin, before a start.

The system's priorities ("nice") and the interpreter's turns. Giving priority back needs a right
that a container may lack (CAP_SYS_NICE, or RLIMIT_NICE); without it a new worker starts as any
process.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

CONTROL_PLANE_NICE = 10
"""Of the control plane: it gets a tenth of what a worker gets where both want everything."""
_STARTING_NICE = 10
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


def _set(pid: int, nice: int) -> None:
    """The system keeps a priority for each thread, not for each process."""
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)


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
