"""Log files shared by the processes of a node.

Imported only where a file is configured: concurrent-log-handler, which lets several processes share
and rotate one file, loads a Redis client among other things.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from concurrent_log_handler import ConcurrentRotatingFileHandler


class RotatedFile:
    """A file shared by all workers of the node, rotated at *max_bytes*."""

    def __init__(self, path: str, max_bytes: int, backups: int) -> None:
        Path(path).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self._handler = _Raising(
            path, maxBytes=max_bytes, backupCount=backups, encoding="utf-8", chmod=0o640
        )

    def write(self, lines: Sequence[bytes]) -> None:
        """Append *lines* under one lock."""
        self._handler.emit(logging.makeLogRecord({"msg": b"\n".join(lines).decode("utf-8")}))

    def close(self) -> None:
        """Close the file and its lock."""
        self._handler.close()


class _Raising(ConcurrentRotatingFileHandler):
    """Lets the caller count what was not written, instead of printing a traceback."""

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        raise OSError("log file cannot be written") from error
