"""Whose turn it is to try an instance whose breaker is open: one worker of a node at a time.

One file in the var directory, a slot for each breaker: a lock on the slot's bytes is the turn, the
system releases it when its worker ends, and the bytes say how the last trial ended. So of all
workers of a node no more than ``half_open_requests`` are on trial. Asked only of breakers that are
not closed; a call takes microseconds. Where the file cannot be used each worker tries for itself.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from hashlib import blake2b
from pathlib import Path

from proxying.breaker import State, Verdict
from proxying.breakers import Key

logger = logging.getLogger(__name__)

_FILE = "trials.lock"
_SLOTS = 65_536
_RECORD = struct.Struct("=8s?d")
"""Digest of the breaker's key, whether it closed, seconds of the clock that all processes share."""


class TrialBoard:
    """The node's board as one worker uses it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / _FILE
        self._file: int | None = None

    def turn_of(self, key: Key) -> Turn:
        """Turns at the breaker called *key*."""
        return Turn(self, key)

    def open(self) -> int:
        """The file's descriptor. One for the process: closing any would release all its locks.

        Raises ``OSError``.
        """
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._file


class Turn:
    """Turns of one breaker."""

    __slots__ = ("_board", "_digest", "_place")

    def __init__(self, board: TrialBoard, key: Key) -> None:
        self._board = board
        self._digest = blake2b("\0".join(key).encode(), digest_size=8).digest()
        slot = int.from_bytes(self._digest, "big") % _SLOTS
        self._place = slot * _RECORD.size

    def begin(self) -> tuple[bool, Verdict | None]:
        """Take the turn unless another worker has it; with how the last trial ended."""
        try:
            file = self._board.open()
        except OSError as error:
            logger.warning("trial requests are not agreed between workers: %s", error)
            return True, None
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _RECORD.size, self._place)
        except OSError:
            return False, None
        return True, self._last(file)

    def end(self, verdict: Verdict | None) -> None:
        """Give the turn back, if it is held, and leave a *verdict* for the others."""
        try:
            file = self._board.open()
            if verdict is not None:
                closed = verdict.state is State.CLOSED
                os.pwrite(file, _RECORD.pack(self._digest, closed, verdict.since), self._place)
            fcntl.lockf(file, fcntl.LOCK_UN, _RECORD.size, self._place)
        except OSError as error:
            logger.warning("the end of a trial is not told to other workers: %s", error)

    def _last(self, file: int) -> Verdict | None:
        try:
            record = os.pread(file, _RECORD.size, self._place)
        except OSError:
            return None
        if len(record) < _RECORD.size:
            return None
        digest, closed, since = _RECORD.unpack(record)
        if digest != self._digest:
            return None
        return Verdict(State.CLOSED if closed else State.OPEN, since)
