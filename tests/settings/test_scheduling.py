"""What a process does for those who wait for it to start, and who runs before whom."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway_project import scheduling
from gateway_project.scheduling import Background, collect_seldom


@pytest.fixture
def usual() -> Iterator[tuple[int, int, int]]:
    """Python's own thresholds, in force."""
    before, usual = gc.get_threshold(), (700, 10, 10)
    gc.set_threshold(*usual)
    yield usual
    gc.set_threshold(*before)


def test_loading_is_hardly_ever_stopped_to_look_for_cycles(usual: tuple[int, int, int]) -> None:
    collect_seldom()
    young, *older = gc.get_threshold()
    assert young >= 10_000
    assert tuple(older) == usual[1:]


@contextmanager
def spinning(processor: int) -> Iterator[int]:
    """The id of a process that wants all of *processor*."""
    program = (
        f"import os; os.sched_setaffinity(0, {{{processor}}})\nprint(flush=True)\nwhile 1: pass"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def look_until(background: Background, pid: int, policy: int) -> None:
    deadline = time.monotonic() + 20
    while os.sched_getscheduler(pid) != policy:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        background.look()


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever may not raise priorities lowers none")
def test_what_runs_behind_everybody_is_given_turns_while_it_would_get_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduling, "_CALM_SECONDS", 0.1)
    processor = min(os.sched_getaffinity(0))
    with spinning(processor) as pid:
        background = Background(pid)
        assert os.sched_getscheduler(pid) == os.SCHED_IDLE
        with spinning(processor):
            look_until(background, pid, os.SCHED_OTHER)
        look_until(background, pid, os.SCHED_IDLE)


def test_a_process_that_has_ended_is_looked_at_in_vain() -> None:
    with spinning(min(os.sched_getaffinity(0))) as pid:
        background = Background(pid)
    background.look()
