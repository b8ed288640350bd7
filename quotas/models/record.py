"""The history of what limits allowed and refused, and the sums of it that pages are made of."""

from __future__ import annotations

from typing import get_args

from django.db import models

from quotas.history import RecordQuerySet
from routing import rows
from routing.document import Period

LONGEST_IDENTIFIER = 190


class RateLimitRecord(models.Model):
    """What one caller used of one route in one window, as one run of one worker counted it.

    Counts are absolute for the window and node, so writing one again changes nothing. On MySQL and
    MariaDB the names are compared byte for byte (migration 0003): ``user:Bob`` is not ``user:bob``.
    """

    identifier = models.CharField(
        max_length=LONGEST_IDENTIFIER, help_text="The consumer, user or address that called."
    )
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

    objects = RecordQuerySet.as_manager()

    class Meta:
        db_table = "rate_limit_records"
        # By the primary key last, which the index on window_start ends in: no sort of all rows.
        ordering = ["-window_start", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["identifier", "window_type", "window_start", "route", "node"],
                name="rate_limit_records_window",
            )
        ]
        indexes = [
            models.Index(fields=["route", "window_start"], name="rlr_route_start"),
            models.Index(fields=["window_start"], name="rlr_start"),
        ]

    def __str__(self) -> str:
        return f"{self.identifier} on {self.route}, {self.window_type} of {self.window_start}"


class RateLimitRollup(models.Model):
    """Sums over nodes: of hours by route, of days by caller and route, by caller, by route.

    An empty ``identifier`` is everybody, an empty ``route`` every route. Made from the records by
    :mod:`quotas.rollups`.
    """

    window_type = models.CharField(
        "window", max_length=6, choices=rows.choices_of(["hour", "day"]), help_text="Its length."
    )
    window_start = models.DateTimeField(help_text="When the window began.")
    identifier = models.CharField(
        max_length=LONGEST_IDENTIFIER, blank=True, help_text="Who called. Empty: everybody."
    )
    route = models.CharField(
        max_length=100, blank=True, help_text="Name of the route. Empty: all of them."
    )
    allowed = models.PositiveBigIntegerField(default=0, help_text="Requests let through.")
    refused = models.PositiveBigIntegerField(default=0, help_text="Requests answered 429.")
    would_refuse = models.PositiveBigIntegerField(
        default=0, help_text="Requests a shadow limit would have refused."
    )

    objects = RecordQuerySet.as_manager()

    class Meta:
        db_table = "rate_limit_rollups"
        verbose_name = "usage"
        verbose_name_plural = "usage"
        ordering = ["-window_start", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["window_type", "window_start", "identifier", "route"],
                name="rate_limit_rollups_window",
            )
        ]
        indexes = [models.Index(fields=["identifier", "window_start"], name="rlu_identifier_start")]

    def __str__(self) -> str:
        who = self.identifier or "everybody"
        where = self.route or "all routes"
        return f"{who} on {where}, {self.window_type} of {self.window_start}"


class RollupState(models.Model):
    """The one row that says when the sums were last made, and whose turn it is."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    due_at = models.DateTimeField(help_text="Nobody sums before.")

    class Meta:
        db_table = "rate_limit_rollup_state"

    def __str__(self) -> str:
        return f"next sums at {self.due_at}"
