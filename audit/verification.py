"""Reading the chains again from the first entry to the last, and taking old entries away.

Leans on :mod:`audit.chain` for what a hash must be. Entries are read in order and in pieces, so
the size of the log does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from django.db import models, router, transaction
from django.utils import timezone

from audit.chain import GENESIS, link_hash
from audit.models import AuditEntry, ChainHead, ChainStub

_PIECE = 2_000


@dataclass(slots=True)
class Report:
    """What was found of one node's chain: how many entries, and what is wrong, in order."""

    node: str
    entries: int = 0
    faults: list[str] = field(default_factory=list)


def verify() -> list[Report]:
    """Read every chain; one report for each node, by name."""
    known: set[str] = set()
    for model in (AuditEntry, ChainHead, ChainStub):
        known.update(model._default_manager.order_by().values_list("node", flat=True).distinct())
    return [verify_node(node) for node in sorted(known)]


def verify_node(node: str) -> Report:
    """Read *node*'s chain. Entries that are added meanwhile do no harm."""
    report = Report(node)
    head = ChainHead.objects.filter(node=node).first()
    stub = ChainStub.objects.filter(node=node).first()
    if stub is not None and not stub.is_genuine:
        report.faults.append("the stub of pruned entries was not made by this gateway")
    reader = _Reader(report, stub)
    for entry in _entries(node):
        reader.read(entry)
    reader.end(head, ChainHead.objects.filter(node=node).first())
    return report


def _entries(node: str) -> Iterator[AuditEntry]:
    """A chain in order, in pieces: drivers of MySQL would hand over all of it at once."""
    entries = AuditEntry.objects.filter(node=node).order_by("sequence")
    piece = list(entries[:_PIECE])
    while piece:
        yield from piece
        piece = list(entries.filter(sequence__gt=piece[-1].sequence)[:_PIECE])


class _Reader:
    """Follows one chain link by link. After a fault it goes on from what it found."""

    def __init__(self, report: Report, stub: ChainStub | None) -> None:
        self._report = report
        self._sequence = stub.sequence if stub else 0
        self._hash = stub.hash if stub else GENESIS

    def read(self, entry: AuditEntry) -> None:
        """Judge the next entry."""
        self._report.entries += 1
        name = f"entry {entry.sequence} (id {entry.pk}, {entry.action})"
        if entry.sequence > self._sequence + 1:
            self._miss(entry.sequence - 1)
        elif entry.sequence <= self._sequence:
            self._fault(f"{name} should have been pruned")
        elif entry.previous_hash != self._hash:
            self._fault(f"{name} does not follow the one before it: one of them was moved")
        if entry.hash != link_hash(entry):
            self._fault(f"{name} was changed")
        self._sequence, self._hash = entry.sequence, entry.hash

    def end(self, before: ChainHead | None, after: ChainHead | None) -> None:
        """Judge where the chain ends by its head, read *before* the entries and *after* them."""
        if before is None or after is None:
            if self._report.entries:
                self._fault("the head of the chain is missing")
        elif before.sequence > self._sequence:
            self._miss(before.sequence)
        elif after.sequence < self._sequence:
            self._fault(f"entries from {after.sequence + 1} on are beyond the head of the chain")
        elif after.sequence == self._sequence and after.hash != self._hash:
            self._fault(f"entry {self._sequence} is not the one the head of the chain names")

    def _miss(self, last: int) -> None:
        first = self._sequence + 1
        what = f"entry {first} is" if first == last else f"entries {first} to {last} are"
        self._fault(f"{what} missing")

    def _fault(self, text: str) -> None:
        self._report.faults.append(text)


def prune(before: datetime) -> dict[str, int]:
    """Take away what is older than *before*; how many entries, by node.

    Only the beginning of a chain goes: an older entry behind a younger one stays. A stub keeps
    the place and hash the rest of the chain follows.
    """
    nodes = AuditEntry.objects.order_by().values_list("node", flat=True).distinct()
    removed = {node: sum(_prune_node(node, before)) for node in sorted(nodes)}
    return {node: number for node, number in removed.items() if number}


def _prune_node(node: str, before: datetime) -> Iterator[int]:
    """Take away piece by piece, each in a transaction of its own."""
    entries = AuditEntry.objects.filter(node=node).order_by("sequence")
    kept = entries.filter(at__gte=before).values_list("sequence", flat=True).first()
    while True:
        old = entries if kept is None else entries.filter(sequence__lt=kept)
        piece = list(old.values_list("sequence", "hash")[:_PIECE])
        if not piece:
            return
        _replace_by_stub(node, *piece[-1])
        yield len(piece)


def _replace_by_stub(node: str, sequence: int, last_hash: str) -> None:
    using = router.db_for_write(AuditEntry)
    stub = ChainStub(node=node, sequence=sequence, hash=last_hash, pruned_at=timezone.now())
    stub.sign()
    with transaction.atomic(using=using):
        stub.save(using=using)
        # The model's own QuerySet refuses to delete; this is the one place that may.
        rows: models.QuerySet[AuditEntry] = models.QuerySet(AuditEntry, using=using)
        rows.filter(node=node, sequence__lte=sequence).delete()
