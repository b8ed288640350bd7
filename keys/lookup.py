"""API keys by digest: remembered in memory, fetched in rounds by one background task.

A request never reads the database. What it finds remembered and confirmed it uses at once;
otherwise it leaves its digest for the next *round* and waits. A round is one trip to the database
thread that reads the key epoch (a number raised by every change of keys) and fetches every digest
left since the round before. Rounds run when digests wait, at most fifty a second, and once a
second in any case. So a flood of random keys costs a bounded number of queries, each of bounded
size, and nobody else's keys.

When an answer counts as confirmed:

- A key is *confirmed* by the round that fetched it and by every later one that saw the same epoch.
- Confirmed within the last 4 s: used at once. With the poll above every key in memory is.
- Older, fetched a minute ago, or another epoch was seen: used only after a round fetched it anew.
  So a revocation works within 4 s (1 s as a rule) without a notification, whatever the poll does.
- While rounds fail: used unconfirmed, at once, until ``stale_seconds`` after it was last confirmed.
  Digests not in memory are ``KeyStoreUnavailable`` at once: neither yes nor no.
- "No such key" is remembered too, but believed only when a round begun after the request saw the
  epoch unchanged. A key that was made a moment ago works at once.

Leans on ``runtime.database`` and ``runtime.tasks``; the functions that read and write are handed
in (``keys.store`` has those of the ORM).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from keys.bounded import Bounded
from keys.caller import KeyRecord
from keys.errors import KeyStoreUnavailable
from keys.last_used import LastUsed, Write
from runtime.database import DatabaseThread
from runtime.tasks import TaskOwner

logger = logging.getLogger(__name__)

Fetch = Callable[[Sequence[str]], Mapping[str, KeyRecord]]
ReadEpoch = Callable[[], int]

_AT_ONCE = 4
"""Requests that are woken in one turn of the loop."""


@dataclass(frozen=True, slots=True)
class LookupLimits:
    """Sizes in entries, times in seconds."""

    size: int = 10_000
    """Keys remembered."""
    absent_size: int = 10_000
    """Digests remembered as belonging to no key."""
    waiting: int = 2_000
    """Unknown digests that may wait for a round; further ones are refused."""
    batch: int = 500
    """Digests fetched in one round."""
    timeout: float = 2.0
    """What a request waits and what a round may take."""
    poll: float = 1.0
    """Between rounds when nothing waits."""
    pace: float = 0.02
    """Between rounds when digests wait."""
    confirmed_for: float = 4.0
    """How long a confirmation is good."""
    refetch: float = 60.0
    """How long the epoch alone confirms a key: then rows edited past the models are seen too."""
    stale_seconds: float = 3600.0
    """How long an unconfirmed key works while the database cannot be asked."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a round found for one digest."""

    record: KeyRecord | None


_Future = asyncio.Future[_Answer | None]
"""``None`` when the round failed."""
_Waiting = dict[str, _Future]


class _Entry:
    """A remembered key. ``confirmed_at``: when it was fetched, or, once its generation has
    passed, when it was last confirmed."""

    __slots__ = ("confirmed_at", "generation", "record")

    def __init__(self, record: KeyRecord, generation: int, confirmed_at: float) -> None:
        self.record = record
        self.generation = generation
        self.confirmed_at = confirmed_at


class KeyLookup:
    """The node's memory of API keys. Lives on one event loop; :meth:`start` begins its tasks.

    *clock* is monotonic and *now* the epoch, both in seconds. ``failures`` counts failed rounds,
    ``overflows`` digests refused because too many waited.
    """

    def __init__(
        self,
        fetch: Fetch,
        read_epoch: ReadEpoch,
        write_last_used: Write,
        *,
        reader: DatabaseThread,
        writer: DatabaseThread,
        limits: LookupLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._fetch = fetch
        self._read_epoch = read_epoch
        self._reader = reader
        self._limits = limits or LookupLimits()
        self._clock = clock
        self._now = now
        self.last_used = LastUsed(write_last_used, writer, size=self._limits.size)
        self._entries: Bounded[str, _Entry] = Bounded(self._limits.size)
        self._absent: Bounded[str, bool] = Bounded(self._limits.absent_size)
        self._epoch: int | None = None
        self._generation = 0
        self._confirmed_at = float("-inf")
        self._stale: _Waiting = {}
        self._unknown: _Waiting = {}
        self._wake = asyncio.Event()
        self._failing = False
        self.failures = 0
        self.overflows = 0
        self.changed: Callable[[], None] | None = None
        """Told when keys have changed."""

    @property
    def healthy(self) -> bool:
        """Whether the last round succeeded (true before the first)."""
        return not self._failing

    def start(self, owner: TaskOwner) -> None:
        """Begin the rounds and the writing of last uses; stopping *owner* ends and flushes both."""
        owner.start("keys.lookup", self._keep_reading)
        owner.start("keys.last_used", self.last_used.keep_writing)

    def remembered(self, digest: str) -> KeyRecord | None:
        """The key, if it is remembered and confirmed; plain look-ups, no wait.

        A dict look-up by digest leaks nothing by its timing: what it compares is the SHA-256 of
        the offered key, which nobody can steer towards a stored digest bit by bit.
        """
        entry = self._entries.get(digest)
        if entry is None or entry.generation != self._generation:
            return None
        now = self._clock()
        if now - entry.confirmed_at > self._limits.refetch:
            return None
        if now - self._last_confirmed(entry) > self._limits.confirmed_for:
            return None
        return entry.record

    @property
    def confirmed_for(self) -> float:
        """Seconds for which every key that needs no fetching is confirmed."""
        return self._confirmed_at + self._limits.confirmed_for - self._clock()

    async def find(self, digest: str) -> KeyRecord | None:
        """The key, ``None`` when there is none; waits for a round if it must.

        Raises ``KeyStoreUnavailable`` when that cannot be found out in time.
        """
        record = self.remembered(digest)
        if record is not None:
            return record
        waiting = self._unknown if self._entries.get(digest) is None else self._stale
        answer = None if self._failing else await self._ask(digest, waiting)
        return self._unconfirmed(digest) if answer is None else answer.record

    def note_use(self, key_id: int) -> None:
        """The key was used now; written to the database within a minute."""
        self.last_used.note(key_id, self._now())

    def invalidate(self) -> None:
        """Keys have changed: fetch each again before its next use."""
        for entry in self._entries.values():
            entry.confirmed_at = self._last_confirmed(entry)
        self._generation += 1
        self._absent.clear()
        if self.changed is not None:
            self.changed()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._entries)

    def _last_confirmed(self, entry: _Entry) -> float:
        if entry.generation != self._generation:
            return entry.confirmed_at
        return max(entry.confirmed_at, self._confirmed_at)

    def _unconfirmed(self, digest: str) -> KeyRecord:
        entry = self._entries.get(digest)
        if entry is None:
            raise KeyStoreUnavailable("the key is not in memory and cannot be fetched")
        if self._clock() - self._last_confirmed(entry) > self._limits.stale_seconds:
            raise KeyStoreUnavailable("the key was not confirmed for too long")
        return entry.record

    async def _ask(self, digest: str, waiting: _Waiting) -> _Answer | None:
        """Wait for the next round; ``None`` if it gave no answer in time.

        Only unknown digests are limited in number: those being confirmed anew are as few as the
        memory holds, and refusing them would let a flood keep a revoked key alive.
        """
        future = waiting.get(digest)
        if future is None:
            if waiting is self._unknown and len(waiting) >= self._limits.waiting:
                self.overflows += 1
                return None
            future = waiting[digest] = asyncio.get_running_loop().create_future()
            self._wake.set()
        await asyncio.wait([future], timeout=self._limits.timeout)
        return future.result() if future.done() else None

    async def _keep_reading(self) -> None:
        try:
            while True:
                await self._round()
                await asyncio.sleep(self._limits.pace)
                await self._wait_for_work()
        finally:
            self._give_up({})

    async def _wait_for_work(self) -> None:
        if self._stale or self._unknown:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(self._limits.poll):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _round(self) -> None:
        """Read the epoch, fetch what waits, and let those who wait know."""
        asked = _take(self._stale, self._limits.batch)
        asked |= _take(self._unknown, self._limits.batch - len(asked))
        try:
            records = await self._read(list(asked))
            self._note_success()
            await _deliver(asked, records)
        except Exception:
            self.failures += 1
            if not self._failing:
                logger.exception("API keys cannot be read; those in memory stay in use")
            self._failing = True
            self._give_up(asked)
        except asyncio.CancelledError:
            self._give_up(asked)
            raise

    def _note_success(self) -> None:
        if self._failing:
            logger.info("API keys can be read again")
        self._failing = False

    def _give_up(self, asked: _Waiting) -> None:
        """No answer for *asked*, nor for whoever else waits."""
        for future in (*asked.values(), *self._stale.values(), *self._unknown.values()):
            if not future.done():
                future.set_result(None)
        self._stale.clear()
        self._unknown.clear()

    async def _read(self, asked: list[str]) -> Mapping[str, KeyRecord]:
        began = self._clock()
        generation = self._generation
        doubtful = [digest for digest in asked if self._absent.get(digest)]
        certain = [digest for digest in asked if not self._absent.get(digest)]
        async with asyncio.timeout(self._limits.timeout):
            epoch, records = await self._reader.run(
                self._read_in_thread, certain, doubtful, self._epoch
            )
        if epoch != self._epoch:
            self.invalidate()
            generation += 1
        self._epoch = epoch
        self._confirmed_at = began
        for digest in asked:
            self._remember(digest, records.get(digest), generation, began)
        return records

    def _read_in_thread(
        self, certain: list[str], doubtful: list[str], known_epoch: int | None
    ) -> tuple[int, Mapping[str, KeyRecord]]:
        """The epoch first: a change between the two queries then shows as a new one next time."""
        epoch = self._read_epoch()
        wanted = certain if epoch == known_epoch else certain + doubtful
        return epoch, self._fetch(wanted) if wanted else {}

    def _remember(
        self, digest: str, record: KeyRecord | None, generation: int, began: float
    ) -> None:
        if record is None:
            self._entries.discard(digest)
            if generation == self._generation:
                self._absent.put(digest, value=True)
        else:
            self._entries.put(record.digest, _Entry(record, generation, began))


async def _deliver(asked: _Waiting, records: Mapping[str, KeyRecord]) -> None:
    """Wake those who asked a few at a time: a request that asked nothing gets in between."""
    answers = iter(asked.items())
    while several := list(islice(answers, _AT_ONCE)):
        for digest, future in several:
            future.set_result(_Answer(records.get(digest)))
        await asyncio.sleep(0)


def _take(waiting: _Waiting, most: int) -> _Waiting:
    """Move the *most* oldest out: who asks from now on is answered by the next round."""
    return {digest: waiting.pop(digest) for digest in list(islice(waiting, most))}
