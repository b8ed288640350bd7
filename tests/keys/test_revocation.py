"""Revoked sessions: the table, and a worker's memory of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from django.db import OperationalError

from keys import revocation
from keys.claims import AccessToken
from keys.revocation import RevocationList, RevokedSession, load, read_number, revoke, until
from runtime.database import DatabaseThread
from runtime.notify import Watcher
from runtime.tasks import TaskOwner

HOUR = timedelta(hours=1)


def token(session: str = "", token_id: str = "") -> AccessToken:
    return AccessToken("7", (), (), 2_000_000_000, None, "", token_id, session)


@pytest.fixture
async def database() -> AsyncIterator[DatabaseThread]:
    database = DatabaseThread("test")
    yield database
    await database.close()


@pytest.mark.django_db(transaction=True)
def test_an_entry_is_written_once_and_raises_the_counter() -> None:
    revoke("session", HOUR)
    revoke("session", HOUR)
    assert RevokedSession.objects.count() == 1
    assert read_number() == 2


@pytest.mark.django_db(transaction=True)
def test_writing_prunes_what_has_expired() -> None:
    revoke("old", timedelta(seconds=-1))
    revoke("new", HOUR)
    assert [row.name for row in RevokedSession.objects.all()] == ["new"]


@pytest.mark.django_db(transaction=True)
def test_only_what_is_new_and_unexpired_is_read() -> None:
    revoke("one", HOUR)
    seen = read_number()
    revoke("two", HOUR)
    RevokedSession.objects.create(name="over", number=9, expires_at="2020-01-01T00:00:00Z")
    assert set(load(0, 10).ends) == {"one", "two"}
    assert set(load(seen, 10).ends) == {"two"}
    assert set(load(seen + 100, 10).ends) == {"one", "two"}
    assert set(load(0, 1).ends) == {"two"}


def test_an_entry_is_needed_as_long_as_a_token_lives() -> None:
    assert until(1800, 30) == timedelta(seconds=1890)


@pytest.mark.django_db(transaction=True)
async def test_a_worker_learns_of_a_revocation_without_waiting_for_its_poll(
    database: DatabaseThread,
) -> None:
    known, owner, watcher = RevocationList(database), TaskOwner(), Watcher(database, 30.0)
    await known.start(watcher)
    watcher.start(owner)
    assert not known(token("session"))
    await database.run(revoke, "session", HOUR)
    deadline = time.monotonic() + 10
    while not known(token("session")) and time.monotonic() < deadline:
        await database.run(time.sleep, 0.01)
    assert known(token("session"))
    assert known(token(token_id="session"))
    assert not known(token("another"))
    assert not known(token())
    await owner.stop()


@pytest.mark.django_db(transaction=True)
async def test_what_has_expired_is_forgotten(database: DatabaseThread) -> None:
    now = [time.time()]
    known = RevocationList(database, now=lambda: now[0])
    await database.run(revoke, "one", HOUR)
    await known.start(Watcher(database, 30.0))
    now[0] += 7200
    await database.run(revoke, "two", timedelta(hours=9))
    await known.start(Watcher(database, 30.0))
    assert (len(known), known(token("two"))) == (1, True)


@pytest.mark.django_db(transaction=True)
async def test_the_list_is_bounded_and_says_so(
    database: DatabaseThread, caplog: pytest.LogCaptureFixture
) -> None:
    known = RevocationList(database, size=2)
    for name in ("one", "two", "three"):
        await database.run(revoke, name, HOUR)
        await known.start(Watcher(database, 30.0))
    assert (len(known), known(token("one")), known(token("three"))) == (2, False, True)
    assert "oldest" in caplog.text


@pytest.mark.django_db(transaction=True)
async def test_with_the_database_down_the_known_list_stays_in_use(
    database: DatabaseThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = RevocationList(database)
    await database.run(revoke, "session", HOUR)
    watcher = Watcher(database, 30.0)
    await known.start(watcher)

    def down() -> int:
        raise OperationalError("gone")

    monkeypatch.setattr(revocation, "read_number", down)
    await RevocationList(database).start(Watcher(database, 30.0))
    await watcher.check()
    assert known(token("session"))
