"""Calendar days and months in UTC, in integer microseconds since 1970. Pure.

``token_bucket.lua`` computes the same in doubles, so this is integer arithmetic too and not
:mod:`datetime`. The way from a day number to the day of its month is Howard Hinnant's
(``civil_from_days``, public domain): years begin in March, so that leap days come last.
"""

from __future__ import annotations

from typing import Literal

Window = Literal["day", "month"]

DAY = 86_400_000_000
"""Microseconds; days of Unix time have no leap seconds."""

_TO_MARCH_OF_YEAR_0 = 719_468
_ERA = 146_097


def period_start(now: int, window: Window) -> int:
    """When the day or month that *now* is in began."""
    day = now // DAY
    return (day if window == "day" else day - _days_into_month(day)) * DAY


def period_end(start: int, window: Window) -> int:
    """When the period that began at *start* ends and the next begins."""
    return start + DAY if window == "day" else period_start(start + 32 * DAY, window)


def _days_into_month(day: int) -> int:
    of_era = (day + _TO_MARCH_OF_YEAR_0) % _ERA
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // (_ERA - 1)) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    return of_year - (153 * month + 2) // 5
