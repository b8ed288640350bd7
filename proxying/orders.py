"""What an order to a breaker sets off: every worker is told to look, once it is committed."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save

from proxying.models import BreakerOverride
from runtime.notify import announce

TOPIC = "breakers"


def connect() -> None:
    """Connect the handlers; once, when the app is ready."""
    for signal in (post_save, post_delete):
        signal.connect(_announce, sender=BreakerOverride, dispatch_uid="proxying.orders")


def _announce(using: str, **_: Any) -> None:
    transaction.on_commit(partial(announce, TOPIC), using=using)
