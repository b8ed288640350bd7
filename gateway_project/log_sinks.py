"""Where log lines end up: standard error here, rotated files in ``log_files``.

Called by one thread, a batch at a time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Protocol

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
