"""Consumers, their API keys, and what remains of deleted keys.

A key's text is never stored, only its SHA-256 (:mod:`keys.digest`) and the first characters for
recognition. Every change that decides whether a key works raises the :class:`KeyEpoch` in the
same transaction and is announced after it; workers look at that one number and drop what they
remember.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from audit.tracking import ModelT, TrackedModel, TrackedQuerySet, alters_data
from keys.digest import GeneratedKey, generate_api_key
from keys.revocation import RevocationEpoch as RevocationEpoch
from keys.revocation import RevokedSession as RevokedSession
from keys.validation import (
    validate_header_items,
    validate_name,
    validate_names,
    validate_networks,
)
from runtime.notify import announce
from runtime.transactions import have_row, repeated

TOPIC = "keys"
"""What watchers of the key epoch are woken by."""


_LONGEST_NUMBER = 19
"""Digits of the largest primary key."""


def matters(fields: Collection[str] | None) -> bool:
    """Whether writing *fields* (None: all) can change what a key is worth."""
    return fields is None or bool(set(fields) - {"last_used_at"})


class KeyQuerySet(TrackedQuerySet[ModelT]):
    """Raises the epoch for writes that send no signal. Deleting sends one for each row."""

    @alters_data
    @repeated
    def update(self, **kwargs: Any) -> int:
        self._for_write = True
        with transaction.atomic(using=self.db):
            changed = super().update(**kwargs)
            if changed and matters(kwargs):
                KeyEpoch.bump(self.db)
        return changed

    def bulk_create(self, objs: Iterable[ModelT], *args: Any, **kwargs: Any) -> list[ModelT]:
        self._for_write = True
        with transaction.atomic(using=self.db):
            created = super().bulk_create(objs, *args, **kwargs)
            if created:
                KeyEpoch.bump(self.db)
        return created


class Consumer(TrackedModel):
    """A program or organisation that calls the gateway with API keys."""

    name = models.CharField(
        max_length=190,
        unique=True,
        validators=[validate_name],
        help_text="Unique name, sent to the upstream as X-Consumer.",
    )
    description = models.TextField(blank=True, help_text="Who this is and whom to ask.")
    enabled = models.BooleanField(default=True, help_text="Off: every key of it is refused.")
    roles = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_header_items],
        help_text="Roles of its keys, sent as X-Roles. At most 100, of 100 characters each.",
    )
    permissions = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_header_items],
        help_text="Permissions of its keys, sent as X-Permissions. At most 100.",
    )
    created_at = models.DateTimeField(auto_now_add=True, help_text="When it was added.")
    updated_at = models.DateTimeField(auto_now=True, help_text="When it was last changed.")

    objects = KeyQuerySet.as_manager()

    class Meta:
        db_table = "consumers"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ApiKeyQuerySet(KeyQuerySet["ApiKey"]):
    """Many keys' behaviour; new keys are made here."""

    def issue(self, consumer: Consumer, **fields: Any) -> tuple[ApiKey, GeneratedKey]:
        """Save a new key of *consumer*. The key's text is in the answer and nowhere else."""
        generated = generate_api_key()
        key = self.create(
            consumer=consumer, prefix=generated.prefix, digest=generated.digest, **fields
        )
        return key, generated

    def revoke(self) -> int:
        """Refuse these keys for good from now on; returns how many were not revoked before."""
        return self.filter(revoked_at__isnull=True).update(revoked_at=timezone.now())

    def called(self, name: str) -> ApiKey:
        """The key whose prefix or number *name* is. Raises ``DoesNotExist``."""
        found = self.filter(prefix=name)
        if name.isdecimal() and len(name) < _LONGEST_NUMBER:
            found |= self.filter(pk=int(name))
        return found.get()


class ApiKey(TrackedModel):
    """One credential of a consumer."""

    consumer = models.ForeignKey(
        Consumer, on_delete=models.CASCADE, related_name="api_keys", help_text="Whose key it is."
    )
    name = models.CharField(
        max_length=190, blank=True, help_text="What the key is for, to tell it from others."
    )
    prefix = models.CharField(
        max_length=32, db_index=True, editable=False, help_text="First characters of the key."
    )
    digest = models.CharField(
        max_length=64, unique=True, editable=False, help_text="SHA-256 of the key."
    )
    roles = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_header_items],
        help_text="Roles of this key. Empty: the consumer's.",
    )
    permissions = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_header_items],
        help_text="Permissions of this key. Empty: the consumer's.",
    )
    enabled = models.BooleanField(default=True, help_text="Off: the key is refused until on again.")
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="Refused from then on. Empty: never expires."
    )
    revoked_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Refused for good since then."
    )
    allowed_routes = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_names],
        help_text="Names of the routes the key is good for. Empty: all.",
    )
    allowed_networks = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text="Networks in CIDR form the key may come from (192.0.2.0/24). Empty: all.",
    )
    created_by = models.CharField(
        max_length=190, blank=True, editable=False, help_text="Who made the key."
    )
    created_at = models.DateTimeField(auto_now_add=True, help_text="When it was made.")
    last_used_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Last use, written now and then."
    )
    rotated_from = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="rotated_to",
        help_text="The key this one replaces.",
    )
    grace_until = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="A replaced key still works until then."
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["consumer", "created_at"], name="api_keys_consumer_created"),
            models.Index(fields=["expires_at"], name="api_keys_expires_at"),
        ]
        constraints = [models.CheckConstraint(condition=~Q(digest=""), name="api_keys_digest")]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})" if self.name else f"{self.prefix}…"

    def clean(self) -> None:
        """A new key that is already expired is a mistake."""
        if self._state.adding and self.expires_at and self.expires_at <= timezone.now():
            raise ValidationError({"expires_at": "This is in the past."})

    def is_usable(self, now: datetime) -> bool:
        """Whether the key would be accepted at *now*, networks and routes aside."""
        ends = [end for end in (self.expires_at, self.grace_until) if end is not None]
        return (
            self.enabled
            and self.consumer.enabled
            and self.revoked_at is None
            and all(now < end for end in ends)
        )

    @repeated
    def rotate(self, grace: timedelta, created_by: str = "") -> tuple[ApiKey, GeneratedKey]:
        """Issue a key that replaces this one, which works for *grace* longer.

        Rotated again within its grace, a key ends no later than before. Raises ValidationError
        for a key that is refused already.
        """
        with transaction.atomic():
            stored = ApiKey.objects.select_for_update().get(pk=self.pk)
            now = timezone.now()
            if not stored.is_usable(now):
                raise ValidationError("The key is refused already; issue a new one instead.")
            successor, generated = ApiKey.objects.issue(
                stored.consumer,
                name=stored.name,
                roles=stored.roles,
                permissions=stored.permissions,
                expires_at=stored.expires_at,
                allowed_routes=stored.allowed_routes,
                allowed_networks=stored.allowed_networks,
                created_by=created_by,
                rotated_from=stored,
            )
            self.grace_until = min(now + grace, stored.grace_until or now + grace)
            self.save(update_fields=["grace_until"])
        return successor, generated


class ArchivedApiKey(models.Model):
    """What is kept of a deleted key, so that old logs and records can still be read."""

    prefix = models.CharField(
        max_length=32, db_index=True, help_text="First characters of the key."
    )
    name = models.CharField(max_length=190, blank=True, help_text="What the key was for.")
    consumer_name = models.CharField(max_length=190, help_text="Whose key it was.")
    deleted_at = models.DateTimeField(default=timezone.now, help_text="When it was deleted.")

    class Meta:
        db_table = "api_keys_archive"
        verbose_name = "deleted API key"
        ordering = ["-deleted_at", "-id"]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.consumer_name})"


class KeyEpoch(models.Model):
    """The one row that counts changes of keys and consumers."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    number = models.PositiveBigIntegerField(default=0, help_text="Changes so far.")

    class Meta:
        db_table = "key_epoch"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="key_epoch_single")]

    def __str__(self) -> str:
        return f"key epoch {self.number}"

    @classmethod
    def bump(cls, using: str) -> None:
        """Count one change, in the caller's transaction."""
        row = cls.objects.using(using).filter(pk=1)
        if not row.update(number=F("number") + 1):
            have_row(cls(), using)
            row.update(number=F("number") + 1)
        _announcement.due = True
        transaction.on_commit(_announce, using=using)


class _Announcement(threading.local):
    """Whether this thread has committed changes to announce: a thousand keys are told of once."""

    due = False


_announcement = _Announcement()


def _announce() -> None:
    if _announcement.due:
        _announcement.due = False
        announce(TOPIC)
