"""Waiting for what becomes true in other processes, by looking often."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

MINUTES = float(os.environ.get("MINUTES", "5"))
"""How long a server is away in the proofs that take minutes."""


def eventually(true: Callable[[], object], *, seconds: float) -> float:
    """Return after how many seconds *true* held; fail when it does not within *seconds*."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds, f"not within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started
