"""Waiting for what becomes true in other processes, by looking often."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(true: Callable[[], object], *, seconds: float) -> float:
    """Return after how many seconds *true* held; fail when it does not within *seconds*."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started
