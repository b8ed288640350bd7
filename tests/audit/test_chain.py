"""The hash chain: every change of what was written shows, whoever makes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from audit.chain import GENESIS, link_hash
from audit.models import AuditEntry, ChainHead, ChainStub, node_name
from audit.recorder import gathered, record

pytestmark = pytest.mark.django_db


def write(number: int) -> list[AuditEntry]:
    return [record("route.changed", changes={"n": index}) for index in range(1, number + 1)]


def rows() -> models.QuerySet[AuditEntry]:
    """The rows without the model's protection, as somebody with the database has them."""
    return models.QuerySet(AuditEntry)


def verify() -> str:
    """What ``audit verify`` says; its exit must agree."""
    out = StringIO()
    try:
        call_command("audit", "verify", stdout=out)
    except CommandError:
        assert "faults" in out.getvalue()
        return out.getvalue()
    assert "faults" not in out.getvalue()
    return ""


def swap(first: AuditEntry, second: AuditEntry) -> None:
    """Exchange the places of two rows, hashes and all."""
    places = [first.sequence, second.sequence]
    rows().filter(pk=first.pk).update(sequence=1_000)
    rows().filter(pk=second.pk).update(sequence=places[0])
    rows().filter(pk=first.pk).update(sequence=places[1])


def test_entries_follow_each_other_from_the_first() -> None:
    first, second = write(2)
    assert (first.sequence, first.previous_hash, first.node) == (1, GENESIS, node_name())
    assert (second.sequence, second.previous_hash) == (2, first.hash)
    assert ChainHead.objects.values_list("sequence", "hash").get() == (2, second.hash)


def test_what_is_stored_hashes_to_what_was_written() -> None:
    entry = record(
        "x.y",
        actor="Zoë\u2028",
        changes={"b": [1.0, 2.5, None], "a": {"at": timezone.now(), "text": "ü\n"}},
    )
    stored = AuditEntry.objects.get(pk=entry.pk)
    assert stored.hash == entry.hash == link_hash(stored)


def test_a_log_as_it_was_written_is_whole() -> None:
    write(5)
    assert verify() == ""


@pytest.mark.parametrize(
    "change",
    [
        {"actor": "somebody else"},
        {"at": timezone.now() + timedelta(seconds=1)},
        {"changes": {"n": 4}},
        {"client_ip": "192.0.2.1"},
        {"outcome": "failed"},
        {"request_id": "r-1"},
        {"object_name": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_row_is_named(change: dict[str, Any]) -> None:
    entry = write(5)[2]
    rows().filter(pk=entry.pk).update(**change)
    [fault] = re.findall("entry .*", verify())
    assert fault == f"entry 3 (id {entry.pk}, route.changed) was changed"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda written: rows().filter(pk=written[2].pk).delete(), "entry 3 is missing"),
        (lambda written: rows().filter(sequence__in=(1, 2)).delete(), "entries 1 to 2 are missing"),
        (lambda written: rows().filter(sequence__gte=4).delete(), "entries 4 to 5 are missing"),
        (lambda written: rows().all().delete(), "entries 1 to 5 are missing"),
        (lambda written: ChainHead.objects.all().delete(), "the head of the chain is missing"),
        (lambda written: ChainHead.objects.update(sequence=4), "entries from 5 on are beyond"),
        (lambda written: ChainHead.objects.update(hash="f" * 64), "is not the one the head"),
        (lambda written: swap(written[1], written[3]), "entry 2 (id {4}, route.changed) does not"),
    ],
    ids=["one", "first", "last", "all", "head", "head back", "head changed", "swapped"],
)
def test_what_is_missing_or_moved_is_named(
    damage: Callable[[list[AuditEntry]], object], expected: str
) -> None:
    written = write(5)
    damage(written)
    assert expected.format(0, *(entry.pk for entry in written)) in verify()


def test_a_row_that_was_hashed_again_no_longer_carries_the_next() -> None:
    entry = write(3)[1]
    entry.actor = "somebody else"
    rows().filter(pk=entry.pk).update(actor=entry.actor, hash=link_hash(entry))
    assert "entry 3" in verify()


def test_each_node_has_a_chain_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    write(2)
    monkeypatch.setattr("audit.models.node_name", lambda: "another")
    assert record("x.y").sequence == 1
    rows().filter(node="another").update(action="x.z")
    assert re.findall("(.*): entry", verify()) == ["another"]


def test_a_change_that_is_undone_leaves_no_link() -> None:
    write(1)
    with transaction.atomic():
        record("x.y")
        transaction.set_rollback(True)
    assert record("x.z").sequence == 2
    assert verify() == ""


@pytest.mark.parametrize(
    "door",
    [
        lambda entry: entry.save(),
        lambda entry: entry.delete(),
        lambda entry: AuditEntry.objects.update(actor="x"),
        lambda entry: AuditEntry.objects.filter(pk=entry.pk).delete(),
        lambda entry: AuditEntry.objects.bulk_create([AuditEntry(action="x.y")]),
        lambda entry: AuditEntry.objects.bulk_update([entry], ["actor"]),
    ],
    ids=["save", "delete", "update", "delete many", "bulk_create", "bulk_update"],
)
def test_an_entry_is_neither_changed_nor_taken_away(door: Callable[[AuditEntry], object]) -> None:
    [entry] = write(1)
    with pytest.raises(TypeError):
        door(entry)
    assert AuditEntry.objects.count() == 1
    assert verify() == ""


def prune(*options: str) -> str:
    out = StringIO()
    call_command("audit", "prune", *options, stdout=out)
    return out.getvalue()


def age(number: int, days: int = 10) -> None:
    """Write *number* entries as if *days* ago."""
    for _ in range(number):
        AuditEntry(action="x.old", at=timezone.now() - timedelta(days=days)).save()


YESTERDAY = f"{timezone.now() - timedelta(days=1):%Y-%m-%d}"


def test_a_pruned_log_still_verifies_and_says_that_it_was_pruned() -> None:
    age(3)
    write(2)
    assert "3 entries" in prune("--before", YESTERDAY)
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {
        "route.changed",
        "audit.pruned",
    }
    assert verify() == ""
    record("x.y")
    assert verify() == ""


def test_a_log_pruned_to_nothing_goes_on_where_it_was() -> None:
    age(3)
    prune("--before", YESTERDAY)
    assert AuditEntry.objects.get().sequence == 4
    assert verify() == ""


def test_a_log_can_be_pruned_again() -> None:
    age(2, days=20)
    prune("--before", f"{timezone.now() - timedelta(days=15):%Y-%m-%d}")
    age(2)
    prune("--before", YESTERDAY)
    assert ChainStub.objects.count() == 1
    assert verify() == ""


def test_an_old_entry_behind_a_younger_one_stays() -> None:
    write(1)
    age(1)
    prune("--before", YESTERDAY)
    assert AuditEntry.objects.filter(action="x.old").exists()


def test_rows_taken_away_by_hand_cannot_be_passed_off_as_pruned() -> None:
    written = write(4)
    rows().filter(sequence__lte=2).delete()
    ChainStub.objects.create(node=node_name(), sequence=2, hash=written[1].hash, signature="x")
    assert "was not made by this gateway" in verify()


def test_a_stub_moved_forward_is_not_genuine() -> None:
    age(2)
    written = write(2)
    prune("--before", YESTERDAY)
    rows().filter(pk=written[0].pk).delete()
    ChainStub.objects.update(sequence=written[0].sequence, hash=written[0].hash)
    assert "was not made by this gateway" in verify()


def test_a_log_with_a_fault_is_pruned_only_by_force() -> None:
    age(3)
    rows().filter(sequence=2).update(actor="somebody else")
    with pytest.raises(CommandError, match="does not verify"):
        prune("--before", YESTERDAY)
    assert AuditEntry.objects.count() == 3
    prune("--before", YESTERDAY, "--force")
    assert AuditEntry.objects.get().changes["forced"] is True


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "2999-01-01"])
def test_a_date_that_is_none_or_ahead_prunes_nothing(text: str) -> None:
    age(1)
    with pytest.raises(CommandError, match="--before"):
        prune("--before", text)
    assert AuditEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_entries_written_before_there_was_a_chain_become_its_beginning() -> None:
    before, after = ("audit", "0001_initial"), ("audit", "0002_chain")
    MigrationExecutor(connection).migrate([before])
    try:
        old = MigrationExecutor(connection).loader.project_state([before]).apps
        for name in ("x.first", "x.second"):
            old.get_model("audit", "AuditEntry").objects.create(action=name)
    finally:
        MigrationExecutor(connection).migrate([after])
    assert [
        (entry.action, entry.sequence) for entry in AuditEntry.objects.order_by("sequence")
    ] == [
        ("x.first", 1),
        ("x.second", 2),
    ]
    assert verify() == ""


def test_what_is_gathered_is_written_in_order_at_the_end(db: None) -> None:
    with gathered("default"):
        record("one.first")
        record("one.second")
        assert not AuditEntry.objects.filter(action__startswith="one.").exists()
    actions = AuditEntry.objects.filter(action__startswith="one.").order_by("sequence")
    assert [entry.action for entry in actions] == ["one.first", "one.second"]
    assert not verify()


def test_what_is_gathered_in_a_block_that_fails_is_not_written(db: None) -> None:
    def fail() -> None:
        with gathered("default"):
            record("one.first")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert not AuditEntry.objects.filter(action="one.first").exists()
