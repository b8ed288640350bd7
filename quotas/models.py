"""Rate limits of routes, and the history of what they allowed and refused."""

from __future__ import annotations

from typing import get_args

from django.db import models
from django.db.models import Q

from audit.tracking import TrackedModel
from routing import rows, table
from routing.document import LimitMode, LimitSpec, Period, RouteSpec, StoreFailurePolicy
from routing.models import Route
from routing.shapes import Change


class RateLimit(TrackedModel):
    """A token bucket that requests of a route draw from."""

    route = models.ForeignKey(
        Route,
        on_delete=models.CASCADE,
        related_name="rate_limits",
        help_text="The route whose requests are counted.",
    )
    limit = models.PositiveIntegerField(help_text="Requests per period.")
    per = models.CharField(
        max_length=6,
        choices=rows.choices_of(get_args(Period)),
        default="minute",
        help_text="The period.",
    )
    burst = models.PositiveIntegerField(
        null=True, blank=True, help_text="Requests at once at most. Empty: the limit."
    )
    by = models.CharField(
        max_length=190,
        default="caller",
        help_text="Who shares a bucket: caller, user, api_key, ip, route, "
        "or header:NAME (one bucket for each value of that header).",
    )
    mode = models.CharField(
        max_length=10,
        choices=rows.choices_of(get_args(LimitMode)),
        default="enforce",
        help_text="shadow only counts what would be refused.",
    )
    on_store_failure = models.CharField(
        max_length=10,
        choices=rows.choices_of(get_args(StoreFailurePolicy)),
        default="open",
        help_text="When the counters cannot be reached: open lets requests pass, closed "
        "answers 503.",
    )

    objects = rows.ConfigurationQuerySet.as_manager()

    class Meta:
        db_table = "rate_limits"
        ordering = ["route", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(limit__gte=1), name="rate_limits_limit"),
            models.CheckConstraint(
                condition=Q(burst__isnull=True) | Q(burst__gte=1), name="rate_limits_burst"
            ),
            rows.one_of("per", get_args(Period), "rate_limits_per"),
            rows.one_of("mode", get_args(LimitMode), "rate_limits_mode"),
            rows.one_of("on_store_failure", get_args(StoreFailurePolicy), "rate_limits_on_failure"),
        ]

    def __str__(self) -> str:
        return f"{self.limit} per {self.per} by {self.by}"

    def clean(self) -> None:
        """Compile a route with this one limit; every other fault is the route's own."""
        rows.raise_by_field(rows.LIMIT, self._compile)

    def _compile(self) -> None:
        limits = (self.to_spec(),)
        table.compile_route(RouteSpec(name="any", path="/", service="any", rate_limit=limits))

    def to_spec(self) -> LimitSpec:
        """This row as the document has it. Raises ConfigurationError."""
        return rows.LIMIT.read(self, f"rate limit {self}")

    def fill(self, spec: LimitSpec) -> list[Change]:
        """Lay *spec* onto this row; not saved. Returns what changed."""
        return rows.LIMIT.write(self, spec)


class RateLimitRecord(models.Model):
    """What one caller used of one route in one window, as one node counted it.

    Counts are absolute for the window and node, so writing one again changes nothing.
    """

    identifier = models.CharField(max_length=190, help_text="The caller the bucket belongs to.")
    window_type = models.CharField(
        "window", max_length=6, choices=rows.choices_of(get_args(Period)), help_text="Its length."
    )
    window_start = models.DateTimeField(help_text="When the window began.")
    route = models.CharField(max_length=100, help_text="Name of the route.")
    node = models.CharField(max_length=100, help_text="The worker that counted.")
    allowed = models.PositiveBigIntegerField(default=0, help_text="Requests let through.")
    refused = models.PositiveBigIntegerField(default=0, help_text="Requests answered 429.")
    would_refuse = models.PositiveBigIntegerField(
        default=0, help_text="Requests a shadow limit would have refused."
    )
    first_at = models.DateTimeField(help_text="First request of the window.")
    last_at = models.DateTimeField(help_text="Last request of the window.")

    class Meta:
        db_table = "rate_limit_records"
        ordering = ["-window_start", "identifier"]
        constraints = [
            models.UniqueConstraint(
                fields=["identifier", "window_type", "window_start", "route", "node"],
                name="rate_limit_records_window",
            )
        ]
        indexes = [
            models.Index(fields=["identifier", "window_start"], name="rlr_identifier_start"),
            models.Index(fields=["route", "window_start"], name="rlr_route_start"),
            models.Index(fields=["window_start"], name="rlr_start"),
        ]

    def __str__(self) -> str:
        return f"{self.identifier} on {self.route}, {self.window_type} of {self.window_start}"
