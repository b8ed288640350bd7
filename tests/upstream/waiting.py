"""Waiting for what a running gateway does in its own time: log lines, gauges."""

from __future__ import annotations

import time
from collections.abc import Callable

_SECONDS = 10


def eventually(wanted: int, look: Callable[[], int]) -> None:
    """Fail unless *look* comes to say *wanted*."""
    deadline = time.monotonic() + _SECONDS
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
