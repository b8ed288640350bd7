"""What workers report about the instances they send to, and what operators tell the breakers."""

from __future__ import annotations

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from audit.tracking import TrackedModel
from routing.models import ServiceInstance


class BreakerState(models.Model):
    """The breaker of one instance, or of a whole service, as one worker last saw it."""

    class State(models.TextChoices):
        """Closed lets requests through, open none, half open a few on trial."""

        CLOSED = "closed", "closed"
        OPEN = "open", "open"
        HALF_OPEN = "half_open", "half open"

    service = models.CharField(max_length=100, help_text="Name of the service.")
    instance = models.CharField(
        max_length=255, blank=True, help_text="URL of the instance; empty: the service as a whole."
    )
    node = models.CharField(max_length=100, help_text="The worker that keeps this breaker.")
    state = models.CharField(
        max_length=10,
        choices=State.choices,
        default=State.CLOSED,
        help_text="closed: requests pass; open: none do; half open: a few, on trial.",
    )
    reason = models.CharField(max_length=255, blank=True, help_text="Why it is in this state.")
    failures = models.PositiveIntegerField(default=0, help_text="Failures in a row.")
    changed_at = models.DateTimeField(help_text="In this state since.")
    reported_at = models.DateTimeField(help_text="When the worker last reported it.")

    class Meta:
        db_table = "circuit_breaker_states"
        verbose_name = "circuit breaker"
        ordering = ["service", "instance", "node"]
        constraints = [
            models.UniqueConstraint(
                fields=["service", "instance", "node"], name="circuit_breaker_states_instance"
            )
        ]
        indexes = [
            models.Index(fields=["state", "reported_at"], name="breakers_state_reported"),
            models.Index(fields=["reported_at"], name="breakers_reported"),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.instance}: {self.get_state_display()}"


class BreakerOverride(TrackedModel):
    """What an operator told a breaker, in every worker. Deleting it gives the breaker back."""

    class Action(models.TextChoices):
        """Hold it open, hold it closed, or forget what it counted."""

        OPEN = "open", "forced open"
        CLOSED = "closed", "forced closed"
        RESET = "reset", "reset"

    service = models.CharField(max_length=100, help_text="Name of the service.")
    instance = models.CharField(
        max_length=255, blank=True, help_text="URL of the instance; empty: the service's breaker."
    )
    action = models.CharField(
        max_length=10,
        choices=Action.choices,
        help_text="forced open: no request passes; forced closed: all do; reset: begin anew.",
    )
    until = models.DateTimeField(
        null=True, blank=True, help_text="Empty: until this row is deleted. Not for a reset."
    )
    ordered_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        db_table = "circuit_breaker_overrides"
        verbose_name = "breaker order"
        ordering = ["service", "instance"]
        constraints = [
            models.UniqueConstraint(
                fields=["service", "instance"], name="circuit_breaker_overrides_one"
            )
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.instance}: {self.get_action_display()}"

    def clean(self) -> None:
        """Refuse what no worker has a breaker for, and a time that has passed."""
        found = ServiceInstance.objects.filter(service__name=self.service)
        if self.instance:
            found = found.filter(url=self.instance)
        if not found.exists():
            raise ValidationError({"service": "there is no such instance"})
        if self.until is not None and self.until <= timezone.now():
            raise ValidationError({"until": "must be in the future"})

    def order(self, action: str, until: datetime | None = None) -> None:
        """Tell every worker *action* anew."""
        self.action = action
        self.until = until
        self.ordered_at = timezone.now()
        self.save()


class InstanceHealth(models.Model):
    """What the active checks of one node say of one instance."""

    service = models.CharField(max_length=100, help_text="Name of the service.")
    instance = models.CharField(max_length=255, help_text="URL of the instance.")
    node = models.CharField(max_length=100, help_text="The node that checks.")
    healthy = models.BooleanField(help_text="Whether the node sends requests there.")
    reason = models.CharField(
        max_length=255, blank=True, help_text="Why the last check failed; empty when it did not."
    )
    changed_at = models.DateTimeField(help_text="So since.")
    checked_at = models.DateTimeField(help_text="When it was last checked.")

    class Meta:
        db_table = "instance_health"
        ordering = ["service", "instance", "node"]
        verbose_name = "instance health"
        verbose_name_plural = "instance health"
        constraints = [
            models.UniqueConstraint(
                fields=["service", "instance", "node"], name="instance_health_instance"
            )
        ]
        indexes = [models.Index(fields=["checked_at"], name="instance_health_checked")]

    def __str__(self) -> str:
        return f"{self.service} {self.instance}: {'well' if self.healthy else 'not well'}"
