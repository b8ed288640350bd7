"""Waiting for what becomes true in other processes, by looking often."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def wait_until(true: Callable[[], object], seconds: float = 30.0) -> float:
    """Look again until *true* holds; how long that took. Fails after *seconds*."""
    began = time.monotonic()
    while not true():
        if time.monotonic() - began > seconds:
            pytest.fail(f"not so after {seconds} s")
        time.sleep(0.02)
    return time.monotonic() - began
