"""Pieces that answers of the gateway share, and its answer to OPTIONS at the last hop."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus

from proxying.exchange import EMPTY, Answer, Exchange
from proxying.headers import GATEWAY_NAME, Headers
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


def options_answer(exchange: Exchange, allow: Iterable[str]) -> Answer:
    """The answer to an OPTIONS request that may travel no further (RFC 9110 §9.3.7)."""
    headers: Headers = [
        (b"allow", ", ".join(allow).encode("ascii")),
        (b"date", http_date()),
        (b"server", GATEWAY_NAME),
        (b"x-request-id", exchange.request_id),
        *limit_headers(exchange.decision),
    ]
    return Answer(HTTPStatus.NO_CONTENT, headers, EMPTY)
