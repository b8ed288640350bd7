"""Services and their instances: a backend, its addresses, and how it is called."""

from __future__ import annotations

from typing import Any, get_args

from django.db import models
from django.db.models import Q

from audit.tracking import TrackedModel
from routing import rows, table
from routing.document import (
    BalancerName,
    BreakerSpec,
    HealthCheckSpec,
    InstanceSpec,
    RetrySpec,
    ServiceSpec,
    TimeoutSpec,
)
from routing.shapes import Change

_TIMEOUT, _RETRY, _BREAKER, _HEALTH = TimeoutSpec(), RetrySpec(), BreakerSpec(), HealthCheckSpec()


def default_retry_on() -> list[str]:
    """A new list for each row; named in the migrations."""
    return list(_RETRY.on)


def default_retry_methods() -> list[str]:
    """A new list for each row; named in the migrations."""
    return list(_RETRY.methods)


def _positive(*names: str) -> Q:
    condition = Q()
    for name in names:
        condition &= Q(**{f"{name}__gt": 0})
    return condition


class Service(TrackedModel):
    """A backend: where its instances are and how they are balanced, retried and guarded."""

    name = models.CharField(
        max_length=100,
        unique=True,
        help_text="Unique name that routes refer to: letters, digits, '.', '_' and '-'.",
    )
    balancer = models.CharField(
        max_length=20,
        choices=rows.choices_of(get_args(BalancerName)),
        default="round_robin",
        help_text="How an instance is chosen for a request.",
    )
    connect_timeout = models.FloatField(
        default=_TIMEOUT.connect, help_text="Seconds to wait for a connection to an instance."
    )
    read_timeout = models.FloatField(
        default=_TIMEOUT.read, help_text="Seconds to wait between two reads of an answer."
    )
    total_timeout = models.FloatField(
        default=_TIMEOUT.total,
        help_text="Seconds for the whole exchange, retries included. A route may set its own.",
    )
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

    objects = rows.ConfigurationQuerySet.as_manager()

    class Meta:
        db_table = "services"
        ordering = ["name"]
        constraints = [
            rows.one_of("balancer", get_args(BalancerName), "services_balancer"),
            models.CheckConstraint(
                condition=_positive("connect_timeout", "read_timeout", "total_timeout"),
                name="services_timeouts",
            ),
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
                & _positive(
                    "breaker_failure_threshold",
                    "breaker_min_requests",
                    "breaker_window",
                    "breaker_recovery",
                    "breaker_half_open_requests",
                ),
                name="services_breaker",
            ),
            models.CheckConstraint(
                condition=_positive(
                    "health_check_interval",
                    "health_check_timeout",
                    "health_check_unhealthy_after",
                    "health_check_healthy_after",
                ),
                name="services_health_check",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Compile the service without its instances, which answer for themselves."""
        rows.raise_by_field(rows.SERVICE, lambda: table.compile_service(self.name, self._spec()))

    def to_spec(self) -> ServiceSpec:
        """The service and its instances (ordered by URL) as the document has them.

        Raises ConfigurationError where a row holds what the document cannot.
        """
        stored = self.instances.all() if self.pk else ()
        ordered = sorted(stored, key=lambda instance: instance.url)
        return self._spec(instances=tuple(instance.to_spec() for instance in ordered))

    def fill(self, spec: ServiceSpec) -> list[Change]:
        """Lay *spec* onto this row, its instances excepted; not saved. Returns what changed."""
        return rows.SERVICE.write(self, spec)

    def _spec(self, **more: Any) -> ServiceSpec:
        return rows.SERVICE.read(self, f"services.{self.name}", **more)


class ServiceInstance(TrackedModel):
    """One address of a service."""

    service = models.ForeignKey(
        Service,
        on_delete=models.CASCADE,
        related_name="instances",
        help_text="The service this address belongs to.",
    )
    url = models.CharField(
        "URL",
        max_length=255,
        help_text="Origin of the instance: http://host:port or https://host:port.",
    )
    weight = models.PositiveSmallIntegerField(
        default=1, help_text="Share of requests, 0 to 1000. 0 drains the instance."
    )
    healthy = models.BooleanField(
        default=True, help_text="Off takes the instance out, whatever its health check says."
    )

    objects = rows.ConfigurationQuerySet.as_manager()

    class Meta:
        db_table = "service_instances"
        ordering = ["service", "url"]
        verbose_name = "instance"
        constraints = [
            models.UniqueConstraint(fields=["service", "url"], name="service_instances_url"),
            models.CheckConstraint(
                condition=Q(weight__gte=0, weight__lte=1000), name="service_instances_weight"
            ),
        ]

    def __str__(self) -> str:
        return self.url

    def clean(self) -> None:
        """Check the row alone and bring its URL into the one spelling that can be compared."""
        rows.raise_by_field(rows.INSTANCE, self._compile)

    def _compile(self) -> None:
        spec = self.to_spec()
        plan = table.compile_service("any", ServiceSpec(instances=(spec,)))
        address = plan.instances[0].address
        self.url = f"{address.scheme}://{address.authority.decode()}"

    def to_spec(self) -> InstanceSpec:
        """This row as the document has it. Raises ConfigurationError."""
        return rows.INSTANCE.read(self, f"instances.{self.url}")

    def fill(self, spec: InstanceSpec) -> list[Change]:
        """Lay *spec* onto this row; not saved. Returns what changed."""
        return rows.INSTANCE.write(self, spec)
