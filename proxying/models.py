"""What workers report about the breakers they keep."""

from __future__ import annotations

from django.db import models


class BreakerState(models.Model):
    """The breaker of one instance, as one worker last saw it."""

    class State(models.TextChoices):
        """Closed lets requests through, open none, half open a few on trial."""

        CLOSED = "closed", "closed"
        OPEN = "open", "open"
        HALF_OPEN = "half_open", "half open"

    service = models.CharField(max_length=100, help_text="Name of the service.")
    instance = models.CharField(max_length=255, help_text="URL of the instance.")
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
