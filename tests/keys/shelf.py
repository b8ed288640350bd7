"""A key store in memory with the faults a database has, and a clock that is moved by hand."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from keys.caller import Caller, KeyRecord
from keys.credentials import CredentialKind


class Clock:
    """Seconds that pass only when told to."""

    def __init__(self, start: float = 1_000.0) -> None:
        self.seconds = start

    def __call__(self) -> float:
        return self.seconds


class Shelf:
    """What ``keys.store`` offers, kept in a dict. Counts what is asked of it."""

    def __init__(self, *records: KeyRecord) -> None:
        self.records = {record.digest: record for record in records}
        self.epoch = 1
        self.asked: list[list[str]] = []
        self.polls = 0
        self.written: list[dict[int, float]] = []
        self.broken = False
        self.polled = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()

    def put(self, record: KeyRecord) -> None:
        """Store the record as an admin would: the epoch is raised."""
        self.records[record.digest] = record
        self.epoch += 1

    def fetch(self, digests: Sequence[str]) -> dict[str, KeyRecord]:
        self.asked.append(list(digests))
        return {digest: self.records[digest] for digest in digests if digest in self.records}

    def read_epoch(self) -> int:
        self.polls += 1
        self.polled.release()
        self.open.wait(10)
        if self.broken:
            raise ConnectionError("the database is down")
        return self.epoch

    def write_last_used(self, times: Mapping[int, float]) -> None:
        if self.broken:
            raise ConnectionError("the database is down")
        self.written.append(dict(times))


def record(
    digest: str, *, key_id: int = 1, active: bool = True, expires_at: float | None = None
) -> KeyRecord:
    """A key of the consumer acme."""
    return KeyRecord(digest, acme(), key_id, active, expires_at)


def acme() -> Caller:
    """The consumer acme, known by an API key."""
    return Caller(CredentialKind.API_KEY, "acme", "consumer:acme", consumer="acme")
