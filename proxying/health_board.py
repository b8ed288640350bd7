"""Who checks on this node, and what all its workers know: a lock and a file in the var directory.

One worker of a node holds the lock and checks; the system releases it when that worker ends, and
another one takes over where it left off. The verdicts are one small file, replaced whole, that the
other workers look at several times a second. Leans on the file system; every call is short.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from proxying.health import Verdict

logger = logging.getLogger(__name__)

_LOCK = "health.lock"
_VERDICTS = "health.json"
_TOO_OLD = 30.0
"""Seconds after which what a former checker wrote says nothing: nobody checked since."""


class _Page(msgspec.Struct, frozen=True, array_like=True):
    """What is written, and when: by a clock that does not step, and begins anew with the system."""

    written_at: float
    verdicts: list[Verdict]


class Board:
    """The node's board as one worker uses it; *clock* is the one that all its processes share."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._clock = clock
        self._lock: int | None = None
        self._seen = (0, 0)

    def lead(self) -> bool:
        """Whether this worker is the one that checks; takes the post when it is vacant.

        Where no lock can be made every worker checks for itself: too many questions, no wrong
        answers.
        """
        if self._lock is not None:
            return True
        try:
            lock = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            logger.warning("no lock for health checks, this worker checks by itself: %s", error)
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            return False
        self._lock = lock
        return True

    def resign(self) -> None:
        """Leave the post to another worker."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def write(self, verdicts: Iterable[Verdict]) -> None:
        """Let the other workers know. A disk that cannot be written is logged: they keep theirs."""
        path = self._directory / _VERDICTS
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            draft.write_bytes(msgspec.json.encode(_Page(self._clock(), list(verdicts))))
            draft.replace(path)
        except OSError as error:
            logger.warning("the verdicts of health checks are not shared: %s", error)

    def news(self) -> list[Verdict] | None:
        """What was written since the last look; ``None``: nothing, or nothing recent."""
        path = self._directory / _VERDICTS
        try:
            status = path.stat()
            # Two writes within a tick of the file system's clock are two files all the same.
            seen = (status.st_mtime_ns, status.st_ino)
            if seen == self._seen:
                return None
            self._seen = seen
            page = msgspec.json.decode(path.read_bytes(), type=_Page)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            logger.warning("the verdicts of health checks cannot be read: %s", error)
            return None
        return page.verdicts if 0 <= self._clock() - page.written_at <= _TOO_OLD else None
