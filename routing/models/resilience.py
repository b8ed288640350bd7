"""The part of a service's row that says how its failures are met.

Retries, breaker, health check, ejection and overload: flat fields, named and bounded as their
blocks of the document are. Leans on the document's defaults.
"""

from __future__ import annotations

from typing import get_args

from django.db import models
from django.db.models import Q

from routing import rows
from routing.document import (
    BreakerScope,
    BreakerSpec,
    EjectionSpec,
    HealthCheckSpec,
    OverloadSpec,
    ProbeKind,
    RetrySpec,
    WhenAllOut,
)

_RETRY, _BREAKER, _HEALTH = RetrySpec(), BreakerSpec(), HealthCheckSpec()
_EJECTION, _OVERLOAD = EjectionSpec(), OverloadSpec()


def default_retry_on() -> list[str]:
    """A new list for each row; named in the migrations."""
    return list(_RETRY.on)


def default_retry_methods() -> list[str]:
    """A new list for each row; named in the migrations."""
    return list(_RETRY.methods)


def default_breaker_failures() -> list[str]:
    """A new list for each row; named in the migrations."""
    return list(_BREAKER.failures)


def default_health_check_expect() -> list[str]:
    """A new list for each row; named in the migrations."""
    return list(_HEALTH.expect)


class ResilienceFields(models.Model):
    """Fields of ``Service``."""

    retry_attempts = models.PositiveSmallIntegerField(
        "attempts",
        default=_RETRY.attempts,
        help_text="Attempts in all, 1 to 10. 1 means never again.",
    )
    retry_backoff = models.FloatField(
        "backoff", default=_RETRY.backoff, help_text="Seconds before the second attempt; doubles."
    )
    retry_max_backoff = models.FloatField(
        "longest backoff", default=_RETRY.max_backoff, help_text="Seconds between attempts at most."
    )
    retry_on = models.JSONField(
        "retry on",
        default=default_retry_on,
        blank=True,
        help_text="What is worth another attempt: connect, reset, timeout, 500, 502, 503, 504.",
    )
    retry_methods = models.JSONField(
        "methods",
        default=default_retry_methods,
        blank=True,
        help_text="Methods that may be repeated once the request was sent. "
        "A failed connection is retried for every method.",
    )
    retry_budget = models.FloatField(
        "budget",
        default=_RETRY.budget,
        help_text="Retries as a share of requests, 0 to 1 (0.2 is 20 %).",
    )
    retry_idempotency_key = models.BooleanField(
        "trust Idempotency-Key",
        default=_RETRY.idempotency_key,
        help_text="Repeat any method whose request carries an Idempotency-Key.",
    )
    retry_hedge_after = models.FloatField(
        "hedge after",
        null=True,
        blank=True,
        help_text="Seconds without an answer after which a GET is sent to another instance too.",
    )
    breaker_enabled = models.BooleanField(
        "circuit breaker", default=True, help_text="Leave an instance alone while it fails."
    )
    breaker_failure_threshold = models.PositiveIntegerField(
        "failures in a row",
        default=_BREAKER.failure_threshold,
        help_text="Consecutive failures that open the breaker.",
    )
    breaker_failure_ratio = models.FloatField(
        "failure ratio",
        default=_BREAKER.failure_ratio,
        help_text="Share of failed requests in the window that opens the breaker, above 0 to 1.",
    )
    breaker_min_requests = models.PositiveIntegerField(
        "least requests",
        default=_BREAKER.min_requests,
        help_text="Requests in the window before the ratio counts.",
    )
    breaker_window = models.FloatField(
        "window", default=_BREAKER.window, help_text="Seconds over which the ratio is taken."
    )
    breaker_recovery = models.FloatField(
        "recovery",
        default=_BREAKER.recovery,
        help_text="Seconds an open breaker waits before it lets a trial request through.",
    )
    breaker_half_open_requests = models.PositiveIntegerField(
        "trial requests",
        default=_BREAKER.half_open_requests,
        help_text="Requests let through at once while the breaker is half open.",
    )
    breaker_scope = models.CharField(
        "scope",
        max_length=10,
        choices=rows.choices_of(get_args(BreakerScope)),
        default=_BREAKER.scope,
        help_text="Whether instances are left alone one by one, or the service as a whole.",
    )
    breaker_failures = models.JSONField(
        "what fails",
        default=default_breaker_failures,
        blank=True,
        help_text="What counts as a failure: connect, reset, timeout, protocol, 5xx, 503, …",
    )
    breaker_slow_seconds = models.FloatField(
        "slow after",
        null=True,
        blank=True,
        help_text="Seconds after which an answer counts as slow. Empty: none does.",
    )
    breaker_slow_ratio = models.FloatField(
        "slow ratio",
        default=_BREAKER.slow_ratio,
        help_text="Share of slow answers in the window that opens the breaker, above 0 to 1.",
    )
    health_check_enabled = models.BooleanField(
        "health check", default=False, help_text="Ask each instance regularly whether it is well."
    )
    health_check_path = models.CharField(
        "path", max_length=255, default=_HEALTH.path, help_text="Path asked with GET."
    )
    health_check_interval = models.FloatField(
        "interval", default=_HEALTH.interval, help_text="Seconds between two checks."
    )
    health_check_timeout = models.FloatField(
        "timeout", default=_HEALTH.timeout, help_text="Seconds to wait for the answer."
    )
    health_check_unhealthy_after = models.PositiveIntegerField(
        "unhealthy after",
        default=_HEALTH.unhealthy_after,
        help_text="Failed checks in a row that take an instance out.",
    )
    health_check_healthy_after = models.PositiveIntegerField(
        "healthy after",
        default=_HEALTH.healthy_after,
        help_text="Good checks in a row that bring it back.",
    )
    health_check_type = models.CharField(
        "kind",
        max_length=10,
        choices=rows.choices_of(get_args(ProbeKind)),
        default=_HEALTH.type,
        help_text="http asks the path, tcp only connects.",
    )
    health_check_expect = models.JSONField(
        "good answers",
        default=default_health_check_expect,
        blank=True,
        help_text="Statuses that count as well: 200, 204, 2xx, …",
    )
    ejection_max_share = models.FloatField(
        "most left out",
        default=_EJECTION.max_share,
        help_text="Share of the instances that breakers may leave out, above 0 to 1.",
    )
    ejection_when_all = models.CharField(
        "when none is well",
        max_length=10,
        choices=rows.choices_of(get_args(WhenAllOut)),
        default=_EJECTION.when_all,
        help_text="refuse answers 503; use all asks them whatever checks and breakers say.",
    )
    overload_max_requests = models.PositiveIntegerField(
        "requests at once",
        null=True,
        blank=True,
        help_text="For the whole service, in each worker. Empty: no bound.",
    )
    overload_max_requests_per_instance = models.PositiveIntegerField(
        "requests at once per instance",
        default=_OVERLOAD.max_requests_per_instance,
        help_text="In each worker.",
    )
    overload_max_queued = models.PositiveIntegerField(
        "queue", default=_OVERLOAD.max_queued, help_text="Requests that wait for their turn."
    )
    overload_queue_timeout = models.FloatField(
        "longest wait",
        default=_OVERLOAD.queue_timeout,
        help_text="Seconds in the queue before 503 overloaded.",
    )
    overload_adaptive = models.BooleanField(
        "adaptive",
        default=_OVERLOAD.adaptive,
        help_text="Send an instance fewer requests at once while its answers become slow.",
    )
    overload_tolerance = models.FloatField(
        "tolerance",
        default=_OVERLOAD.tolerance,
        help_text="How many times slower than at rest answers may become, 1 to 100.",
    )

    class Meta:
        abstract = True


RESILIENCE_CONSTRAINTS: list[models.BaseConstraint] = [
    models.CheckConstraint(
        condition=Q(
            retry_attempts__gte=1,
            retry_attempts__lte=10,
            retry_backoff__gte=0,
            retry_max_backoff__gte=0,
            retry_budget__gte=0,
            retry_budget__lte=1,
        ),
        name="services_retry",
    ),
    models.CheckConstraint(
        condition=Q(breaker_failure_ratio__gt=0, breaker_failure_ratio__lte=1)
        & rows.positive(
            "breaker_failure_threshold",
            "breaker_min_requests",
            "breaker_window",
            "breaker_recovery",
            "breaker_half_open_requests",
        ),
        name="services_breaker",
    ),
    models.CheckConstraint(
        condition=rows.positive(
            "health_check_interval",
            "health_check_timeout",
            "health_check_unhealthy_after",
            "health_check_healthy_after",
        ),
        name="services_health_check",
    ),
    models.CheckConstraint(
        condition=rows.is_share("breaker_slow_ratio", "ejection_max_share")
        & rows.positive(
            "overload_max_requests_per_instance",
            "overload_queue_timeout",
        )
        & Q(overload_max_queued__lte=1_000_000),
        name="services_overload",
    ),
    models.CheckConstraint(
        condition=Q(overload_tolerance__gte=1, overload_tolerance__lte=100),
        name="services_adaptive",
    ),
    models.CheckConstraint(
        condition=rows.empty_or_positive(
            "retry_hedge_after", "breaker_slow_seconds", "overload_max_requests"
        ),
        name="services_optional",
    ),
    rows.one_of("breaker_scope", get_args(BreakerScope), "services_breaker_scope"),
    rows.one_of("health_check_type", get_args(ProbeKind), "services_probe_kind"),
    rows.one_of("ejection_when_all", get_args(WhenAllOut), "services_when_all"),
]
"""What the database refuses in these fields."""
