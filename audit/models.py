"""The record of what was done: one row an event, written once (``audit_logs``).

Every new row is the next link of its node's hash chain (:mod:`audit.chain`). The chain's head is
locked until the writing transaction ends, so that several processes make one chain; what that
costs is one row lock, held by those who write to the log of this node and by nobody else.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.core.signing import Signer
from django.db import models, router, transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from audit.chain import GENESIS, link_hash
from audit.logfile import write_line
from runtime.transactions import have_row, repeated

_NODE_LENGTH = 100


def node_name() -> str:
    """The name of this node's chain: what the settings call it, or the host's name."""
    name: str = settings.GATEWAY.node_name or socket.gethostname()
    return name[:_NODE_LENGTH]


class ActorType(models.TextChoices):
    """What kind of actor did it."""

    USER = "user", "user"
    COMMAND = "command", "command"
    SYSTEM = "system", "system"
    CLIENT = "client", "client"


class ChainHead(models.Model):
    """Where a node's chain ends now (``audit_chain_heads``)."""

    node = models.CharField(max_length=_NODE_LENGTH, primary_key=True, help_text="Whose chain.")
    sequence = models.PositiveBigIntegerField(default=0, help_text="Place of the last entry.")
    hash = models.CharField(max_length=64, default=GENESIS, help_text="Hash of the last entry.")

    class Meta:
        db_table = "audit_chain_heads"

    def __str__(self) -> str:
        return f"{self.node}: {self.sequence}"

    @classmethod
    def locked(cls, node: str, using: str) -> ChainHead:
        """The head of *node*'s chain, locked until the caller's transaction ends."""
        heads = cls.objects.using(using)
        head = heads.select_for_update().filter(node=node).first()
        if head is None:
            have_row(cls(node=node), using)
            head = heads.select_for_update().get(node=node)
        return head

    def extend(self, entry: AuditEntry) -> None:
        """Make *entry* the last link; neither is saved."""
        entry.node, entry.sequence = self.node, self.sequence + 1
        entry.previous_hash = self.hash
        entry.hash = link_hash(entry)
        self.sequence, self.hash = entry.sequence, entry.hash


class ChainStub(models.Model):
    """What pruning leaves of the beginning of a node's chain (``audit_chain_stubs``).

    Signed with ``SECRET_KEY``: rows taken away past the command cannot be passed off as pruned.
    """

    node = models.CharField(max_length=_NODE_LENGTH, primary_key=True, help_text="Whose chain.")
    sequence = models.PositiveBigIntegerField(help_text="Place of the last entry taken away.")
    hash = models.CharField(max_length=64, help_text="Hash of that entry.")
    pruned_at = models.DateTimeField(default=timezone.now, help_text="When it was taken away.")
    signature = models.CharField(max_length=64, help_text="HMAC of node, place and hash.")

    class Meta:
        db_table = "audit_chain_stubs"

    def __str__(self) -> str:
        return f"{self.node}: through {self.sequence}"

    def sign(self) -> None:
        """Set the signature; to be called before saving."""
        self.signature = self._signature()

    @property
    def is_genuine(self) -> bool:
        """Whether this gateway made the stub."""
        return constant_time_compare(self.signature, self._signature())

    def _signature(self) -> str:
        signer = Signer(salt="audit.stub", algorithm="sha256")
        return signer.signature(f"{self.node}\n{self.sequence}\n{self.hash}")


_AT_ONCE = 500


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Entries are added and read, nothing else."""

    @repeated
    def append(self, entries: Sequence[AuditEntry]) -> None:
        """Write new *entries* in this order, in the caller's transaction if there is one."""
        if not entries:
            return
        self._for_write = True
        using = self.db
        # Without a savepoint: an entry that cannot be written takes the change along.
        with transaction.atomic(using=using, savepoint=False):
            head = ChainHead.locked(node_name(), using)
            for entry in entries:
                entry.settle()
                head.extend(entry)
                transaction.on_commit(partial(write_line, entry), using=using)
            super().bulk_create(entries, batch_size=_AT_ONCE)
            head.save(using=using, force_update=True)

    def update(self, **kwargs: Any) -> NoReturn:
        """Refused."""
        _refuse()

    def delete(self) -> NoReturn:
        """Refused."""
        _refuse()

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: it would write past the chain."""
        _refuse()

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused."""
        _refuse()


def _refuse() -> NoReturn:
    raise TypeError("an audit entry is written once, and stays")


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
    node = models.CharField(
        max_length=_NODE_LENGTH, editable=False, help_text="The node that wrote it."
    )
    sequence = models.PositiveBigIntegerField(
        editable=False, help_text="Place in that node's chain, from 1."
    )
    previous_hash = models.CharField(
        max_length=64, editable=False, help_text="Hash of the entry before."
    )
    hash = models.CharField(
        max_length=64, editable=False, help_text="SHA-256 of this entry and the hash before."
    )

    objects = AuditQuerySet.as_manager()

    class Meta:
        db_table = "audit_logs"
        verbose_name = "audit entry"
        verbose_name_plural = "audit log"
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["at"], name="audit_at"),
            models.Index(fields=["action", "at"], name="audit_action_at"),
            models.Index(fields=["object_type", "object_id", "at"], name="audit_object_at"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["node", "sequence"], name="audit_logs_chain")
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_name}".rstrip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Write the entry. Raises TypeError for an entry that is already written."""
        if not self._state.adding:
            _refuse()
        using = kwargs.get("using") or router.db_for_write(AuditEntry, instance=self)
        AuditEntry.objects.using(using).append([self])

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused."""
        _refuse()

    def settle(self) -> None:
        """Give ``changes`` the form in which it is read back: that is what is hashed."""
        self.changes = json.loads(json.dumps(self.changes, cls=DjangoJSONEncoder))
