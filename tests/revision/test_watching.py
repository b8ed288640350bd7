"""A worker follows the current revision, and starts from the disk when it must."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from routing import lastgood, revision, watching
from routing.document import Document, digest
from routing.lastgood import Published
from routing.models import Revision, RevisionHead, Route
from routing.table import Table
from routing.watching import RevisionWatcher
from runtime.database import DatabaseThread
from runtime.notify import Watcher

pytestmark = pytest.mark.django_db(transaction=True)


class Node:
    """A worker's watcher and every table it was handed."""

    def __init__(self, directory: Path) -> None:
        self.database = DatabaseThread("test")
        self.directory = directory
        self.swapped: list[tuple[int, Table]] = []
        self.watcher = Watcher(self.database, 600)
        self.revisions = RevisionWatcher(self.database, directory, self._swap)

    def _swap(self, number: int, sha256: str, table: Table) -> None:
        self.swapped.append((number, table))

    @property
    def numbers(self) -> list[int]:
        return [number for number, _ in self.swapped]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path)
    yield node
    await node.database.close()


async def test_a_worker_starts_with_the_current_revision(published: Document, node: Node) -> None:
    await node.revisions.start(node.watcher)
    ((number, table),) = node.swapped
    assert number == 1
    assert set(table.routes) == {"orders", "public"}


async def test_the_database_counts_as_well_once_the_configuration_came_from_it(
    published: Document, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.revisions.start(node.watcher)
    assert node.watcher.healthy
    monkeypatch.setattr(watching, "read_version", _away)
    watcher = Watcher(node.database, 600)
    await node.revisions.start(watcher)
    assert not watcher.healthy


async def test_the_next_revision_is_taken_over_once(published: Document, node: Node) -> None:
    await node.revisions.start(node.watcher)
    await node.watcher.check()
    await sync_to_async(Route.objects.filter(name="public").update)(priority=3)
    await node.watcher.check()
    await node.watcher.check()
    assert node.numbers == [1, 2]
    assert node.swapped[-1][1].routes["public"].priority == 3


async def test_a_revision_already_served_is_not_swapped_in_again(
    published: Document, node: Node
) -> None:
    await node.revisions.start(node.watcher)
    await node.revisions.start(Watcher(node.database, 600))
    assert node.numbers == [1]


async def test_of_many_revisions_only_the_last_is_taken_over(
    published: Document, node: Node
) -> None:
    await node.revisions.start(node.watcher)
    for priority in range(1, 6):
        await sync_to_async(Route.objects.filter(name="public").update)(priority=priority)
    await node.watcher.check()
    assert node.numbers == [1, 6]


async def test_a_database_nothing_was_published_from_gets_its_first_revision(
    transactional_db: None, acme: Document, node: Node
) -> None:
    await node.revisions.start(node.watcher)
    assert node.numbers == [1]
    await sync_to_async(revision.apply)(acme)
    await node.watcher.check()
    assert node.numbers == [1, 2]


async def test_a_worker_starts_from_the_disk_while_the_database_is_away(
    published: Document, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node.revisions.start(node.watcher)
    other = Node(node.directory)
    with monkeypatch.context() as patch:
        patch.setattr(watching, "read_version", _away)
        await other.revisions.start(other.watcher)
        assert other.numbers == [1]
    await other.watcher.check()
    assert other.numbers == [1]
    await other.database.close()


def _away() -> None:
    raise OperationalError("the database is away")


async def test_a_damaged_revision_is_not_served(published: Document, node: Node) -> None:
    await node.revisions.start(node.watcher)
    await sync_to_async(Revision.objects.update)(document='{"format":1}')
    await sync_to_async(RevisionHead.objects.update)(sha256="0" * 64)
    await node.watcher.check()
    assert node.numbers == [1]
    assert node.watcher.failures == 1


async def test_a_worker_starts_from_the_disk_when_the_current_revision_is_not_there(
    published: Document, node: Node
) -> None:
    await node.revisions.start(node.watcher)
    await sync_to_async(RevisionHead.objects.update)(number=9)
    other = Node(node.directory)
    await other.revisions.start(other.watcher)
    assert other.numbers == [1]
    assert await sync_to_async(Revision.objects.count)() == 1
    await other.database.close()


async def test_a_document_of_another_format_on_disk_is_not_served(
    transactional_db: None, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = b'{"format":9,"services":{},"routes":[]}'
    lastgood.save(node.directory, Published(3, digest(document), document))
    monkeypatch.setattr(watching, "read_version", _away)
    await node.revisions.start(node.watcher)
    assert node.numbers == []


async def test_what_is_served_is_kept_on_disk(published: Document, node: Node) -> None:
    await node.revisions.start(node.watcher)
    kept = lastgood.load(node.directory)
    assert kept is not None
    assert kept.number == 1


async def test_a_disk_that_cannot_be_written_does_not_stop_the_worker(
    published: Document, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    node = Node(tmp_path / "file")
    await node.revisions.start(node.watcher)
    assert node.numbers == [1]
    await node.database.close()
