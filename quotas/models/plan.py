"""Quota plans: how much a consumer may use of a calendar day and month (UTC)."""

from __future__ import annotations

from typing import get_args

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from audit.tracking import TrackedModel
from keys.models import Consumer
from quotas.bucket import LARGEST
from quotas.calendar import Window
from routing import rows

_COUNT = [MinValueValidator(1), MaxValueValidator(LARGEST)]


class Plan(TrackedModel):
    """Quotas that the consumers in it have, each for itself. An empty one is no quota."""

    name = models.CharField(max_length=100, unique=True, help_text="Unique name.")
    description = models.TextField(blank=True, help_text="For whom it is.")
    daily = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=_COUNT,
        help_text="Requests per calendar day (UTC). Empty: any number.",
    )
    monthly = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=_COUNT,
        help_text="Requests per calendar month (UTC). Empty: any number.",
    )

    objects = rows.ConfigurationQuerySet.as_manager()

    class Meta:
        db_table = "plans"
        verbose_name = "quota plan"
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(daily__isnull=True) | Q(daily__gte=1), name="plans_daily"
            ),
            models.CheckConstraint(
                condition=Q(monthly__isnull=True) | Q(monthly__gte=1), name="plans_monthly"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PlanMembership(TrackedModel):
    """The one plan a consumer is in."""

    consumer = models.OneToOneField(
        Consumer,
        on_delete=models.CASCADE,
        related_name="plan_membership",
        help_text="Who is in the plan.",
    )
    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, related_name="memberships", help_text="The plan."
    )

    objects = rows.ConfigurationQuerySet.as_manager()

    class Meta:
        db_table = "plan_memberships"
        ordering = ["consumer"]

    def __str__(self) -> str:
        return f"{self.consumer} in {self.plan}"


class PlanNotice(models.Model):
    """A share of a quota was reached. One row for each consumer, period and share."""

    identifier = models.CharField(max_length=64, help_text="Digest of the consumer's identity.")
    window = models.CharField(
        max_length=5, choices=rows.choices_of(get_args(Window)), help_text="Of which quota."
    )
    period_start = models.DateTimeField(help_text="When the day or month began.")
    percent = models.PositiveSmallIntegerField(help_text="The share that was reached.")
    at = models.DateTimeField(auto_now_add=True, help_text="When it was noticed.")

    class Meta:
        db_table = "plan_notices"
        ordering = ["-period_start", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["identifier", "window", "period_start", "percent"],
                name="plan_notices_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.percent} % of the {self.window} of {self.period_start:%Y-%m-%d}"
