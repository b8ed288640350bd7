"""Where log lines end up: rotated files, or standard error.

Called by one thread, a batch at a time. Leans on concurrent-log-handler, which lets several
processes share and rotate one file.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from concurrent_log_handler import ConcurrentRotatingFileHandler

_ATOMIC_WRITE = 4096
"""Bytes that reach a pipe in one piece (PIPE_BUF on Linux)."""


class Sink(Protocol):
    """Takes whole lines. Raises ``OSError`` when they cannot be written."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Write *lines*, each followed by a line feed."""
        ...

    def close(self) -> None:
        """Give back what is held."""
        ...


class StandardError:
    """Standard error; workers share it, so lines go out in pieces that do not mix."""

    def write(self, lines: Sequence[bytes]) -> None:
        """Write *lines* whole, as many at a time as a pipe takes in one piece."""
        piece = b""
        for line in lines:
            if piece and len(piece) + len(line) >= _ATOMIC_WRITE:
                self._put(piece)
                piece = b""
            piece += line + b"\n"
        if piece:
            self._put(piece)

    def close(self) -> None:
        """Nothing is held."""

    def _put(self, piece: bytes) -> None:
        stream = sys.__stderr__
        if stream is None:
            return
        descriptor = stream.fileno()
        while piece:
            piece = piece[os.write(descriptor, piece) :]


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

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 the name is logging's
        error = sys.exc_info()[1]
        raise OSError("log file cannot be written") from error
