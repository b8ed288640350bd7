"""Saying once that something fails, however often it is tried."""

from __future__ import annotations

import logging


class Outage:
    """What is tried again and again, and fails or does not; the log is told when that changes.

    *begins* has a place for the error; without *ends* the end is not told of.
    """

    __slots__ = ("_begins", "_ends", "_logger", "lasts")

    def __init__(self, logger: logging.Logger, begins: str, ends: str = "") -> None:
        self._logger = logger
        self._begins = begins
        self._ends = ends
        self.lasts = False

    def note_failure(self, error: Exception) -> None:
        """It failed by *error*."""
        if not self.lasts:
            self._logger.warning(self._begins, error)
        self.lasts = True

    def note_success(self) -> None:
        """It did what it should."""
        if self.lasts and self._ends:
            self._logger.info(self._ends)
        self.lasts = False
