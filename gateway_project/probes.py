"""The endpoints a platform asks: ``/health``, ``/ready`` and ``/metrics`` (CONTRACT §6).

They are answered in the data plane, by every worker, without Django.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway_project.exposition import registry
from proxying.answering import http_date
from proxying.errors import MethodNotAllowed
from proxying.exchange import Answer, Bytes, Exchange, Headers
from proxying.gateway import LocalHandler
from proxying.headers import GATEWAY_NAME
from proxying.snapshot import Snapshots
from runtime import tally

Status = Literal["ready", "starting", "draining"]
Check = Literal["ok", "degraded", "off"]

_RETRY_SECONDS = b"1"


class Probes:
    """Reports on one worker. *checks* are asked anew each time; they must not block."""

    def __init__(self, snapshots: Snapshots, checks: Mapping[str, Callable[[], Check]]) -> None:
        self._snapshots = snapshots
        self._checks = checks
        self.draining = False

    def handlers(self, *, metrics: bool) -> dict[str, LocalHandler]:
        """The endpoints by path; ``/metrics`` only where *metrics* is on."""
        handlers: dict[str, LocalHandler] = {"/health": self.health, "/ready": self.ready}
        if metrics:
            handlers["/metrics"] = self.metrics
        return handlers

    async def health(self, exchange: Exchange) -> Answer:
        """200 while the process lives."""
        return _json(exchange, 200, {"status": "ok"})

    async def ready(self, exchange: Exchange) -> Answer:
        """200 where requests can be served; a lost database or Redis only degrades."""
        snapshot = self._snapshots.current
        status: Status = "starting" if snapshot is None else "ready"
        if self.draining:
            status = "draining"
        return _json(
            exchange,
            200 if status == "ready" else 503,
            {
                "status": status,
                "revision": snapshot.number if snapshot else None,
                "sha256": snapshot.sha256 if snapshot else None,
                "checks": {name: check() for name, check in self._checks.items()},
            },
        )

    async def metrics(self, exchange: Exchange) -> Answer:
        """Prometheus text, summed over the workers of this node."""
        tally.flush()
        content = await asyncio.to_thread(lambda: generate_latest(registry()))
        return _answer(exchange, 200, CONTENT_TYPE_LATEST.encode(), content)


def _json(exchange: Exchange, status: int, content: dict[str, Any]) -> Answer:
    return _answer(exchange, status, b"application/json", msgspec.json.encode(content))


def _answer(exchange: Exchange, status: int, kind: bytes, content: bytes) -> Answer:
    if exchange.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(exchange.method, ("GET", "HEAD"))
    headers: Headers = [
        (b"content-type", kind),
        (b"content-length", b"%d" % len(content)),
        (b"cache-control", b"no-store"),
        (b"date", http_date()),
        (b"server", GATEWAY_NAME),
        (b"x-request-id", exchange.request_id),
    ]
    if status == 503:
        headers.append((b"retry-after", _RETRY_SECONDS))
    return Answer(status, headers, Bytes(b"" if exchange.method == "HEAD" else content))
