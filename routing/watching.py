"""A worker's view of revisions: load the current one, notice the next, fall back to the disk.

The document is decoded and compiled in a thread; the loop only swaps the finished table. What was
served last is kept on disk (:mod:`routing.lastgood`), so a node starts while the database is
down. Leans on ``runtime.notify`` for noticing and on :mod:`routing.revision` for what is current.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from django.db import Error

from routing import lastgood, publishing
from routing.decoding import decode_document
from routing.errors import ConfigurationError
from routing.lastgood import Published
from routing.models import Revision, RevisionHead
from routing.reading import database
from routing.revision import TOPIC, publish
from routing.table import Table, build_table
from runtime.database import DatabaseThread
from runtime.notify import Watcher

logger = logging.getLogger(__name__)

Swap = Callable[[int, str, Table], None]
Prepare = Callable[[Table], None]


class Version(NamedTuple):
    """What the head row names; number 0 before the first publish."""

    number: int
    sha256: str


class DamagedRevisionError(Exception):
    """A stored document is not there, or not the one that was hashed."""


def read_version() -> Version:
    """The current version, in one small query. Publishes first what this process still owes."""
    publishing.heal()
    head = RevisionHead.objects.using(database()).values_list("number", "sha256").first()
    return Version(*head) if head else Version(0, "")


def load_current() -> Published | None:
    """The current revision; ``None`` before the first publish. Raises DamagedRevisionError."""
    using = database()
    version = read_version()
    if not version.number:
        return None
    stored = Revision.objects.using(using).filter(number=version.number).first()
    if stored is None:
        raise DamagedRevisionError(f"revision {version.number} is current and not there")
    published = Published(stored.number, stored.sha256, stored.document.encode())
    if not published.intact:
        raise DamagedRevisionError(f"revision {stored.number} does not match its checksum")
    return published


def build(document: bytes, last: Table | None = None) -> Table:
    """Decode and compile; what does not is closed alone; what is as in *last* is taken from it.

    Raises ConfigurationError.
    """
    decoded = decode_document(document)
    for fault in decoded.faults:
        logger.error("closed: %s", fault)
    return build_table(decoded.document, last)


class RevisionWatcher:
    """Keeps a worker on the current revision.

    ``swap(number, sha256, table)`` is called on the loop, once for each revision taken over,
    ``prepare(table)`` before it in the thread that has built the table.
    """

    def __init__(
        self,
        database: DatabaseThread,
        directory: Path,
        swap: Swap,
        prepare: Prepare = lambda _: None,
    ) -> None:
        self._database = database
        self._directory = directory
        self._swap = swap
        self._prepare = prepare
        self._version: Version | None = None
        self._table: Table | None = None

    async def start(self, watcher: Watcher) -> None:
        """Serve the current revision, or the last good one, and watch for the next.

        A database nothing was published from yet gets its first revision here: a node that is
        never ready could not be reached to be configured.
        """
        loaded = False
        try:
            await self.reload_routes()
            if self._version is None:
                await self._database.run(publish, "outside", "first start")
                await self.reload_routes()
            loaded = True
        except (Error, DamagedRevisionError, ConfigurationError):
            logger.exception("the current revision cannot be served; looking for the last good one")
            await self._take_last_good()
        watcher.watch(TOPIC, read_version, self._changed, seen=self._version, read_already=loaded)

    async def reload_routes(self) -> None:
        """Serve what is published now; keeps the table when it is that already.

        Raises DamagedRevisionError, ConfigurationError and the database's errors, and then goes
        on serving what was served.
        """
        published = await self._database.run(load_current)
        if published is not None:
            await self._take(published)

    async def _changed(self, _: Version) -> None:
        await self.reload_routes()

    async def _take_last_good(self) -> None:
        published = await asyncio.to_thread(lastgood.load, self._directory)
        try:
            if published is not None:
                await self._take(published)
        except ConfigurationError:
            logger.exception("the last good document cannot be served either")

    async def _take(self, published: Published) -> None:
        version = Version(published.number, published.sha256)
        if version == self._version:
            return
        table = await asyncio.to_thread(self._built, published.document)
        self._swap(version.number, version.sha256, table)
        self._version, self._table = version, table
        try:
            await asyncio.to_thread(lastgood.save, self._directory, published)
        except OSError:
            logger.exception("the last good document could not be written")

    def _built(self, document: bytes) -> Table:
        table = build(document, self._table)
        self._prepare(table)
        return table
