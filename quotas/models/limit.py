"""Rate limits: of a route, of a consumer over all routes, or of everybody over all routes."""

from __future__ import annotations

from typing import get_args

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from audit.tracking import TrackedModel
from keys.models import Consumer
from routing import rows, table
from routing.document import LimitMode, LimitSpec, Period, RouteSpec, StoreFailurePolicy
from routing.models import Route
from routing.shapes import Change


class RateLimit(TrackedModel):
    """A token bucket that requests draw from: all that name them apply.

    With a route it counts that route's requests, with a consumer that consumer's over all routes,
    with neither the requests of every route together.
    """

    route = models.ForeignKey(
        Route,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="rate_limits",
        help_text="The route whose requests are counted. Empty: of all routes together.",
    )
    consumer = models.ForeignKey(
        Consumer,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="rate_limits",
        help_text="The consumer whose requests are counted. Empty: everybody's.",
    )
    override = models.BooleanField(
        default=False,
        help_text="Of a consumer's limit: it takes the place of the routes' own limits.",
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
        "answers 503, local counts in each worker its share of the limit.",
    )
    cost = models.PositiveIntegerField(
        default=1, help_text="What one request takes; at most the burst."
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
            models.CheckConstraint(condition=Q(cost__gte=1), name="rate_limits_cost"),
            models.CheckConstraint(
                condition=Q(route__isnull=True) | Q(consumer__isnull=True),
                name="rate_limits_one_owner",
            ),
            rows.one_of("per", get_args(Period), "rate_limits_per"),
            rows.one_of("mode", get_args(LimitMode), "rate_limits_mode"),
            rows.one_of("on_store_failure", get_args(StoreFailurePolicy), "rate_limits_on_failure"),
        ]

    def __str__(self) -> str:
        return f"{self.limit} per {self.per} by {self.by}"

    def clean(self) -> None:
        """Compile a route with this one limit; every other fault is the route's own."""
        if self.route_id and self.consumer_id:
            raise ValidationError({"consumer": "A limit is of a route or of a consumer."})
        if self.override and not self.consumer_id:
            raise ValidationError({"override": "Only a consumer's limit takes a route's place."})
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
