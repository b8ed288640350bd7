"""Pieces that every answer of the gateway shares: the date and the limit headers."""

from __future__ import annotations

import time
from email.utils import formatdate

from proxying.headers import Headers
from quotas.bucket import Decision


class _Clock:
    """The ``Date`` of the current second, formatted once in it."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def __call__(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode()
        return self._text


http_date = _Clock()
"""``http_date()`` is the current time as an IMF-fixdate (RFC 9110 §5.6.7)."""


def limit_headers(decision: Decision | None) -> Headers:
    """``RateLimit-*`` of an enforced limit; nothing where the client is told nothing."""
    if decision is None or decision.rule is None:
        return []
    return [
        (b"ratelimit-limit", b"%d" % decision.limit),
        (b"ratelimit-remaining", b"%d" % decision.remaining),
        (b"ratelimit-reset", b"%d" % decision.reset_seconds),
    ]
