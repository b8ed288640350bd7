"""Sessions whose access tokens were taken back, and what a worker remembers of them.

The list is a table, pruned of what has expired, and a counter that is raised with every entry.
Workers look at the counter (:mod:`runtime.notify`), read what is new and ask their memory on every
request. Names are the ``sid`` of a session or the ``jti`` of a single token; an entry is needed
only until the last access token of its session has expired. With the database down a worker goes
on with the list it has.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db import Error, models, router, transaction
from django.db.models import F, Q
from django.utils import timezone

from keys.claims import AccessToken
from runtime.database import DatabaseThread
from runtime.notify import Watcher, announce
from runtime.transactions import have_row, repeated

logger = logging.getLogger(__name__)

TOPIC = "revoked sessions"


class RevokedSession(models.Model):
    """One session, or one token, that is refused until it expires by itself."""

    name = models.CharField(
        max_length=64, unique=True, help_text="sid of the session or jti of the token."
    )
    number = models.PositiveBigIntegerField(
        db_index=True, help_text="The counter of revocations when this one was written."
    )
    revoked_at = models.DateTimeField(default=timezone.now, help_text="When it was revoked.")
    expires_at = models.DateTimeField(
        db_index=True, help_text="When its last access token expires by itself."
    )

    class Meta:
        app_label = "keys"
        db_table = "revoked_sessions"
        ordering = ["-revoked_at", "-id"]

    def __str__(self) -> str:
        return self.name


class RevocationEpoch(models.Model):
    """The one row that counts revocations."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    number = models.PositiveBigIntegerField(default=0, help_text="Revocations so far.")

    class Meta:
        app_label = "keys"
        db_table = "revocation_epoch"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="revocation_epoch_single")]

    def __str__(self) -> str:
        return f"revocation {self.number}"


@dataclass(frozen=True, slots=True)
class Revocations:
    """What the table says: the counter, and epoch seconds of expiry by name."""

    number: int
    ends: dict[str, float]


@repeated
def revoke(name: str, lifetime: timedelta) -> None:
    """Refuse the access tokens called *name* from now on; the longest-lived ends in *lifetime*.

    Twice is once. Prunes what has expired. Announced after commit.
    """
    using = router.db_for_write(RevokedSession)
    now = timezone.now()
    rows = RevokedSession.objects.using(using)
    epochs = RevocationEpoch.objects.using(using)
    with transaction.atomic(using=using):
        # Locks the row first, so entries become visible in the order of their numbers.
        if not epochs.filter(pk=1).update(number=F("number") + 1):
            have_row(RevocationEpoch(), using)
            epochs.filter(pk=1).update(number=F("number") + 1)
        number = epochs.get(pk=1).number
        rows.filter(expires_at__lt=now).delete()
        rows.get_or_create(name=name, defaults={"number": number, "expires_at": now + lifetime})
        transaction.on_commit(partial(announce, TOPIC), using=using)


def read_number() -> int:
    """The counter; one query. The database that is written to is asked: a replica may lag."""
    using = router.db_for_write(RevokedSession)
    rows = RevocationEpoch.objects.using(using).filter(pk=1)
    return rows.values_list("number", flat=True).first() or 0


def load(since: int, most: int) -> Revocations:
    """At most *most* entries written after the counter was *since* that have not expired.

    All of them when the counter is lower than *since*: the database is another one.
    """
    using = router.db_for_write(RevokedSession)
    number = read_number()
    rows = RevokedSession.objects.using(using).filter(
        number__gt=since if number >= since else -1, expires_at__gt=timezone.now()
    )
    newest = rows.order_by("-number").values_list("name", "expires_at")[:most]
    return Revocations(number, {name: end.timestamp() for name, end in reversed(newest)})


class RevocationList:
    """A worker's memory of the table, at most *size* entries. *now* is in epoch seconds."""

    def __init__(
        self,
        database: DatabaseThread,
        *,
        size: int = 200_000,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._size = size
        self._now = now
        self._number = 0
        self._ends: dict[str, float] = {}

    def __call__(self, token: AccessToken) -> bool:
        """Whether *token*, or its session, was revoked."""
        ends = self._ends
        return bool(ends) and (token.session_id in ends or token.token_id in ends)

    def __len__(self) -> int:
        """How many entries are remembered."""
        return len(self._ends)

    async def start(self, watcher: Watcher) -> None:
        """Read the list and watch it. A database that is away does not hold up the start."""
        seen: int | None = None
        try:
            await self._take(0)
            seen = self._number
        except Error:
            logger.exception("the list of revoked sessions cannot be read yet")
        watcher.watch(TOPIC, read_number, self._take, seen=seen)

    async def _take(self, _number: int) -> None:
        found = await self._database.run(load, self._number, self._size)
        merged = found.ends if found.number < self._number else self._ends | found.ends
        now = self._now()
        living = {name: end for name, end in merged.items() if end > now}
        if len(living) > self._size:
            logger.error("more than %d sessions are revoked: the oldest are good again", self._size)
            living = dict(list(living.items())[-self._size :])
        self._ends = living
        self._number = found.number


def until(lifetime_seconds: int, leeway: int) -> timedelta:
    """How long a revocation is needed: an access token's life, and a minute for clocks."""
    return timedelta(seconds=lifetime_seconds + leeway + 60)
