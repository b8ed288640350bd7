"""Lengths of time as people write them on a command line: ``90s``, ``12h``, ``30d``. Pure."""

from __future__ import annotations

import re
from datetime import timedelta

_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """A number and one of s, m, h, d, w. Raises ``ValueError`` saying so."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text}: a number and one of s, m, h, d, w is needed (30d)")
    try:
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError as error:
        raise ValueError(f"{text}: that is too far away") from error
