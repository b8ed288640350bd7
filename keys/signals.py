"""What a change of a key or consumer sets off: the epoch workers poll, and the archive.

``post_save`` comes for fixtures too, which do not call ``save()``; bulk writes are seen by
:class:`keys.models.KeyQuerySet`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.db.models.signals import post_delete, post_save, pre_delete

from keys.models import ApiKey, ArchivedApiKey, Consumer, KeyEpoch, matters

CONSUMER_FIELDS = ("name", "description", "enabled", "roles", "permissions")
API_KEY_FIELDS = (
    "consumer",
    "name",
    "prefix",
    "roles",
    "permissions",
    "enabled",
    "expires_at",
    "revoked_at",
    "allowed_routes",
    "allowed_networks",
    "created_by",
    "rotated_from",
    "grace_until",
)
API_KEY_VERBS = {"revoked_at": "revoked", "grace_until": "rotated"}
"""Changes that the audit log calls by their own names."""


def connect() -> None:
    """Connect the handlers; once, when the app is ready."""
    for model in (Consumer, ApiKey):
        post_save.connect(_on_save, sender=model, dispatch_uid="keys.epoch")
        post_delete.connect(_on_delete, sender=model, dispatch_uid="keys.epoch")
    pre_delete.connect(_archive, sender=ApiKey, dispatch_uid="keys.archive")


def _on_save(using: str, update_fields: Collection[str] | None, **_: Any) -> None:
    if matters(update_fields):
        KeyEpoch.bump(using)


def _on_delete(using: str, **_: Any) -> None:
    KeyEpoch.bump(using)


def _archive(instance: ApiKey, using: str, **_: Any) -> None:
    ArchivedApiKey.objects.using(using).create(
        prefix=instance.prefix, name=instance.name, consumer_name=instance.consumer.name
    )
