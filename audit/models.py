"""The record of what was done: one row an event, written once (``audit_logs``)."""

from __future__ import annotations

from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.utils import timezone


class ActorType(models.TextChoices):
    """What kind of actor did it."""

    USER = "user", "user"
    COMMAND = "command", "command"
    SYSTEM = "system", "system"
    CLIENT = "client", "client"


class AuditEntry(models.Model):
    """Who did what to which object, from where, and how it ended."""

    at = models.DateTimeField(default=timezone.now, editable=False, help_text="When it happened.")
    actor = models.CharField(
        max_length=190, blank=True, help_text="User name, command name or caller; empty: unknown."
    )
    actor_type = models.CharField(
        max_length=10,
        choices=ActorType.choices,
        default=ActorType.SYSTEM,
        help_text="user: staff in the admin or REST API; command: manage.py; client: a caller of "
        "the gateway; system: the gateway itself.",
    )
    action = models.CharField(
        max_length=64, help_text="What was done, as object.verb: route.changed, key.created."
    )
    object_type = models.CharField(
        max_length=64, blank=True, help_text="Kind of object: route, service, key, consumer."
    )
    object_id = models.CharField(max_length=64, blank=True, help_text="The object's primary key.")
    object_name = models.CharField(
        max_length=255, blank=True, help_text="The object's name at that time."
    )
    changes = models.JSONField(
        default=dict,
        blank=True,
        encoder=DjangoJSONEncoder,
        help_text="Changed fields with old and new values; secrets are replaced by ***.",
    )
    request_id = models.CharField(
        max_length=128, blank=True, help_text="X-Request-Id of the request that did it."
    )
    client_ip = models.GenericIPAddressField(
        null=True, blank=True, help_text="Address the request came from."
    )
    outcome = models.CharField(
        max_length=20, default="success", help_text="success, refused or failed."
    )

    class Meta:
        db_table = "audit_logs"
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["action", "at"], name="audit_action_at"),
            models.Index(fields=["object_type", "object_id", "at"], name="audit_object_at"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_name}".rstrip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the entry. Raises TypeError for an entry that is already written."""
        if not self._state.adding:
            raise TypeError("an audit entry is written once")
        super().save(*args, **kwargs)
