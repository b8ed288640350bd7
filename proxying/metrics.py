"""What the data path counts (documented in docs/metrics.md, held to it by a test).

Label values come from configuration or from fixed lists only, so the number of series does not
depend on what clients send. What is counted per request goes through ``runtime.tally``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from runtime.tally import CountTally, LevelTally, SpreadTally, tell_losses_to

if TYPE_CHECKING:
    from proxying.exchange import Exchange

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
BUCKETS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
)
_CLASSES = tuple(f"{number}xx" for number in range(10))
PLAIN_CLASSES = _CLASSES[2:5]
"""Of what the fast path passes on."""
NO_ROUTE = ""
CLIENT_GONE = 499

REQUESTS = CountTally(
    "gateway_requests_total",
    "Requests by outcome; code is the gateway's own error code, empty for an upstream's answer.",
    ("route", "service", "method", "status_class", "code"),
)
DURATION = SpreadTally(
    "gateway_request_duration_seconds",
    "From the complete request head to the last byte of the answer.",
    ("route",),
    BUCKETS,
)
UPSTREAM_DURATION = SpreadTally(
    "gateway_upstream_duration_seconds",
    "From the start of an attempt to the head of its answer.",
    ("service", "instance"),
    BUCKETS,
)
ATTEMPTS = CountTally(
    "gateway_attempts_total",
    "Attempts at instances; outcome is a status class or the failure.",
    ("service", "instance", "outcome"),
)
IN_FLIGHT = Gauge(
    "gateway_in_flight_requests",
    "Exchanges begun and not yet finished.",
    multiprocess_mode="livesum",
)
BREAKER_STATE = Gauge(
    "gateway_breaker_state",
    "0 closed, 1 half-open, 2 open.",
    ("service", "instance"),
    multiprocess_mode="livemax",
)
INSTANCE_HEALTHY = Gauge(
    "gateway_instance_healthy",
    "What a worker acts on: 1 well, 0 not well, NaN no longer checked.",
    ("service", "instance"),
    multiprocess_mode="liveall",
)
CONCURRENCY_LIMIT = Gauge(
    "gateway_concurrency_limit",
    "Requests at once that adaptive services send an instance, summed over the workers.",
    ("service", "instance"),
    multiprocess_mode="livesum",
)
HEALTH_CHECKS = Counter(
    "gateway_health_checks_total",
    "Active health checks; outcome is ok or failed.",
    ("service", "instance", "outcome"),
)
AUTHENTICATIONS = CountTally(
    "gateway_authentications_total",
    "Callers verified (outcome ok) or refused (outcome is the error code).",
    ("outcome",),
)
REVISION = Gauge(
    "gateway_revision",
    "Number of the revision a worker serves; the lowest over the workers.",
    multiprocess_mode="livemin",
)
DROPPED = Counter(
    "gateway_dropped_records_total",
    "Records a bounded queue had no room for.",
    ("queue",),
)


tell_losses_to(DROPPED.labels("metrics").inc)

in_flight = LevelTally(IN_FLIGHT)
"""Its ``level`` goes up and down with the exchanges of this worker."""


def observe(exchange: Exchange, status: int, seconds: float) -> None:
    """Count a finished exchange."""
    route = exchange.route
    method = exchange.method if exchange.method in _METHODS else "other"
    name = route.name if route else NO_ROUTE
    service = route.service.name if route else NO_ROUTE
    REQUESTS.inc(name, service, method, status_class(status), exchange.error)
    DURATION.observe(seconds, name)


def status_class(status: int) -> str:
    """``2xx`` and the like."""
    return _CLASSES[status // 100]
