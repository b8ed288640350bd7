"""What was published: every revision for good, and which one is current."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Revision(models.Model):
    """One published configuration. Never changed after it is written."""

    class Source(models.TextChoices):
        """The door the change came through."""

        ADMIN = "admin", "admin"
        COMMAND = "command", "command"
        API = "api", "API"
        ROLLBACK = "rollback", "rollback"
        OUTSIDE = "outside", "outside"

    number = models.PositiveIntegerField(unique=True, help_text="Counts up by one.")
    sha256 = models.CharField(
        "SHA-256", max_length=64, help_text="Of the document, as 64 hexadecimal digits."
    )
    document = models.TextField(help_text="The whole configuration as canonical JSON.")
    created_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="When it was published."
    )
    created_by = models.CharField(
        max_length=190, blank=True, help_text="Who made the change; empty: unknown."
    )
    source = models.CharField(
        max_length=10,
        choices=Source.choices,
        default=Source.OUTSIDE,
        help_text="Where the change was made; outside: a shell or the database itself.",
    )
    comment = models.CharField(max_length=255, blank=True, help_text="Why, in a few words.")
    faults = models.PositiveIntegerField(
        default=0, help_text="Objects that do not compile; each answers 503 alone."
    )

    class Meta:
        db_table = "revisions"
        ordering = ["-number"]
        indexes = [models.Index(fields=["created_at"], name="revisions_created_at")]
        constraints = [models.CheckConstraint(condition=Q(number__gte=1), name="revisions_number")]

    def __str__(self) -> str:
        return f"revision {self.number}"


class RevisionHead(models.Model):
    """The one row that names the current revision: workers poll it, a publish locks it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    number = models.PositiveIntegerField(default=0, help_text="Current revision; 0: none yet.")
    sha256 = models.CharField(
        "SHA-256", max_length=64, blank=True, help_text="Of the current revision's document."
    )
    updated_at = models.DateTimeField(auto_now=True, help_text="When it last changed.")

    class Meta:
        db_table = "revision_head"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="revision_head_single")]

    def __str__(self) -> str:
        return f"current: revision {self.number}"
