"""One line of the request log for each finished exchange. No credential, no query string."""

from __future__ import annotations

import logging

from gateway_project.log_lines import RequestLine
from gateway_project.logs import request_log
from proxying.exchange import Exchange


def is_wanted(log_level: str) -> bool:
    """Whether lines of level INFO are written at LOG_LEVEL *log_level*."""
    return logging.getLevelNamesMapping()[log_level] <= logging.INFO


def observe(exchange: Exchange, status: int, seconds: float) -> None:
    """Queue the line; formatting and writing happen in the log thread."""
    route, caller = exchange.route, exchange.caller
    request_log(
        RequestLine(
            time="",
            level="INFO",
            type="request",
            request_id=exchange.request_id.decode("ascii"),
            method=exchange.method,
            host=exchange.host,
            path=exchange.path,
            status=status,
            code=exchange.error,
            route=route.name if route else "",
            service=route.service.name if route else "",
            instance=exchange.instance,
            attempts=exchange.attempts,
            user=caller.user_id if caller else "",
            key=caller.key_prefix if caller else "",
            client=exchange.client,
            received_bytes=exchange.received,
            sent_bytes=exchange.sent,
            seconds=round(seconds, 6),
            upstream_seconds=round(exchange.upstream_seconds, 6),
            trace=exchange.traceparent[3:35].decode("ascii"),
        )
    )
