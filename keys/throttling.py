"""How often one address may try its luck at the token endpoints.

A password costs a hash of tens of milliseconds, so the count comes before the work. Kept in the
control-plane process: it must hold when Redis is away, and a guesser of passwords meets the
lock-out, which is in the database, anyway.
"""

from __future__ import annotations

import threading
from math import ceil

from keys.bounded import Bounded
from runtime.networks import limit_key

_WINDOW = 60.0
_ADDRESSES = 50_000


class Throttle:
    """At most *limit* attempts a minute and address; IPv6 counts by /64."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._counts: Bounded[str, tuple[float, int]] = Bounded(_ADDRESSES)
        self._lock = threading.Lock()

    def wait(self, address: str, now: float) -> int:
        """Count one attempt at *now* (seconds); how many seconds until the next may be made if
        this one may not, else 0.
        """
        key = limit_key(address)
        with self._lock:
            began, count = self._counts.get(key) or (now, 0)
            if not 0 <= now - began < _WINDOW:
                began, count = now, 0
            if count >= self._limit:
                return max(1, ceil(began + _WINDOW - now))
            self._counts.put(key, (began, count + 1))
            return 0
