"""What is remembered of API keys, for how long, and what happens when the database does not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from keys.errors import KeyStoreUnavailable
from keys.lookup import KeyLookup, LookupLimits
from runtime.database import DatabaseThread
from runtime.tasks import TaskOwner
from tests.keys.shelf import Clock, Shelf, record

WHEN_ASKED = LookupLimits(pace=0, poll=3600, batch=50, size=100, absent_size=60, waiting=80)
POLLING = replace(WHEN_ASKED, poll=0.001)


class World:
    """A lookup over a shelf, with the clock and the tasks it runs on."""

    def __init__(self) -> None:
        self.shelf = Shelf(record("good"))
        self.clock = Clock()
        self.owner = TaskOwner()
        self.threads = DatabaseThread("reads"), DatabaseThread("writes")

    async def lookup(self, limits: LookupLimits = WHEN_ASKED) -> KeyLookup:
        """A started lookup whose first round is over."""
        reader, writer = self.threads
        made = KeyLookup(
            self.shelf.fetch,
            self.shelf.read_epoch,
            self.shelf.write_last_used,
            reader=reader,
            writer=writer,
            limits=limits,
            clock=self.clock,
        )
        made.start(self.owner)
        await made.find("nobody's")
        return made

    async def polls(self, more: int = 2) -> None:
        """Wait until that many further rounds have begun."""
        while self.shelf.polled.acquire(blocking=False):
            pass
        for _ in range(more):
            assert await asyncio.to_thread(self.shelf.polled.acquire, timeout=10)

    async def close(self) -> None:
        self.shelf.open.set()
        await self.owner.stop()
        for thread in self.threads:
            await thread.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.close()


async def test_a_fetched_key_is_found_without_waiting(world: World) -> None:
    lookup = await world.lookup()
    assert lookup.remembered("good") is None
    found = await lookup.find("good")
    assert found is not None
    assert lookup.remembered("good") is found


async def test_a_digest_of_no_key_is_nobody(world: World) -> None:
    lookup = await world.lookup()
    assert await lookup.find("bad") is None
    assert lookup.remembered("bad") is None


async def test_requests_for_one_key_share_one_fetch(world: World) -> None:
    lookup = await world.lookup()
    world.shelf.asked.clear()
    found = await asyncio.gather(*(lookup.find("good") for _ in range(100)))
    assert {known.digest for known in found if known} == {"good"}
    assert world.shelf.asked == [["good"]]


async def test_different_keys_that_wait_together_are_fetched_together(world: World) -> None:
    world.shelf = Shelf(*(record(f"key-{number}") for number in range(40)))
    lookup = await world.lookup()
    world.shelf.asked.clear()
    found = await asyncio.gather(*(lookup.find(f"key-{number}") for number in range(40)))
    assert None not in found
    assert [len(asked) for asked in world.shelf.asked] == [40]


async def test_memory_is_bounded_and_what_does_not_fit_is_still_answered(world: World) -> None:
    world.shelf = Shelf(*(record(f"key-{number}") for number in range(40)))
    lookup = await world.lookup(replace(WHEN_ASKED, size=3))
    found = await asyncio.gather(*(lookup.find(f"key-{number}") for number in range(40)))
    assert None not in found
    assert len(lookup) == 3


async def test_a_flood_of_random_keys_costs_bounded_queries_and_the_rest_is_refused(
    world: World,
) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    world.shelf.asked.clear()
    answers = await asyncio.gather(
        *(lookup.find(f"random-{number}") for number in range(1_000)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, KeyStoreUnavailable)]
    assert len(refused) == lookup.overflows == 920
    assert [len(asked) for asked in world.shelf.asked] == [50, 30]
    assert lookup.remembered("good") is not None


async def test_a_flood_does_not_hold_up_the_confirmation_of_known_keys(world: World) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    lookup.invalidate()
    world.shelf.records["good"] = record("good", active=False)
    flood = [asyncio.ensure_future(lookup.find(f"random-{number}")) for number in range(200)]
    await asyncio.sleep(0)
    found = await lookup.find("good")
    assert found is not None
    assert not found.active
    await asyncio.gather(*flood, return_exceptions=True)


async def test_known_keys_are_confirmed_however_many_wait(world: World) -> None:
    world.shelf = Shelf(*(record(f"key-{number}") for number in range(40)))
    lookup = await world.lookup(replace(WHEN_ASKED, waiting=1))
    for number in range(40):
        await lookup.find(f"key-{number}")
        world.shelf.records[f"key-{number}"] = record(f"key-{number}", active=False)
    lookup.invalidate()
    found = await asyncio.gather(*(lookup.find(f"key-{number}") for number in range(40)))
    assert not any(known is None or known.active for known in found)


async def test_a_key_made_a_moment_after_it_was_refused_works_at_once(world: World) -> None:
    lookup = await world.lookup()
    assert await lookup.find("late") is None
    world.shelf.put(record("late"))
    assert await lookup.find("late") is not None


async def test_a_digest_known_to_be_nobodys_is_not_fetched_again(world: World) -> None:
    lookup = await world.lookup()
    await lookup.find("bad")
    world.shelf.asked.clear()
    assert await lookup.find("bad") is None
    assert world.shelf.asked == []


async def test_a_key_is_fetched_anew_after_an_invalidation(world: World) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    world.shelf.put(record("good", active=False))
    lookup.invalidate()
    assert lookup.remembered("good") is None
    found = await lookup.find("good")
    assert found is not None
    assert not found.active


async def test_the_poll_notices_a_change_without_a_notification(world: World) -> None:
    lookup = await world.lookup(POLLING)
    await lookup.find("good")
    world.shelf.put(record("good", active=False))
    await world.polls()
    assert lookup.remembered("good") is None


async def test_the_poll_keeps_known_keys_confirmed(world: World) -> None:
    lookup = await world.lookup(POLLING)
    await lookup.find("good")
    world.clock.seconds += 30
    await world.polls()
    assert lookup.remembered("good") is not None


async def test_without_a_poll_a_revocation_works_within_five_seconds(world: World) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    world.shelf.put(record("good", active=False))
    world.clock.seconds += 4.9
    assert lookup.remembered("good") is None
    found = await lookup.find("good")
    assert found is not None
    assert not found.active


async def test_rows_changed_without_the_epoch_are_seen_after_a_minute(world: World) -> None:
    lookup = await world.lookup(POLLING)
    await lookup.find("good")
    del world.shelf.records["good"]
    world.clock.seconds += 61
    await world.polls()
    assert lookup.remembered("good") is None
    assert await lookup.find("good") is None


async def test_a_deleted_key_is_nobody_after_the_change_is_seen(world: World) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    del world.shelf.records["good"]
    lookup.invalidate()
    assert await lookup.find("good") is None
    assert len(lookup) == 0


async def test_while_the_database_is_down_known_keys_work_and_unknown_ones_are_unavailable(
    world: World,
) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    world.shelf.broken = True
    world.clock.seconds += 10
    assert await lookup.find("good") is not None
    assert not lookup.healthy
    with pytest.raises(KeyStoreUnavailable):
        await lookup.find("unknown")


async def test_during_an_outage_nobody_waits(world: World) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    world.shelf.broken = True
    with pytest.raises(KeyStoreUnavailable):
        await lookup.find("unknown")
    polls, world.clock.seconds = world.shelf.polls, world.clock.seconds + 100
    assert await lookup.find("good") is not None
    with pytest.raises(KeyStoreUnavailable):
        await lookup.find("unknown")
    assert world.shelf.polls == polls


async def test_an_invalidated_key_still_works_while_the_database_is_down(world: World) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    world.shelf.broken = True
    lookup.invalidate()
    assert await lookup.find("good") is not None


async def test_an_unconfirmed_key_stops_working_after_the_stale_time(world: World) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    world.shelf.broken = True
    world.clock.seconds += 3_599
    assert await lookup.find("good") is not None
    world.clock.seconds += 2
    with pytest.raises(KeyStoreUnavailable):
        await lookup.find("good")


async def test_invalidating_again_and_again_does_not_lengthen_the_stale_time(
    world: World,
) -> None:
    lookup = await world.lookup()
    await lookup.find("good")
    world.shelf.broken = True
    for _ in range(4):
        world.clock.seconds += 1_000
        lookup.invalidate()
    with pytest.raises(KeyStoreUnavailable):
        await lookup.find("good")


async def test_an_outage_is_logged_once_and_ends_by_itself(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    lookup = await world.lookup(POLLING)
    with caplog.at_level(logging.INFO, logger="keys.lookup"):
        world.shelf.broken = True
        await world.polls(5)
        world.shelf.broken = False
        await world.polls(2)
    assert lookup.failures >= 3
    assert lookup.healthy
    assert [entry.levelname for entry in caplog.records] == ["ERROR", "INFO"]
    assert await lookup.find("good") is not None


async def test_a_database_that_hangs_makes_a_key_unavailable_in_bounded_time(
    world: World,
) -> None:
    lookup = await world.lookup(replace(WHEN_ASKED, timeout=0.02))
    world.shelf.open.clear()
    with pytest.raises(KeyStoreUnavailable):
        async with asyncio.timeout(5):
            await lookup.find("good")


async def test_a_request_that_leaves_does_not_spoil_the_fetch_of_the_others(
    world: World,
) -> None:
    lookup = await world.lookup()
    world.shelf.open.clear()
    leaving = asyncio.ensure_future(lookup.find("good"))
    staying = asyncio.ensure_future(lookup.find("good"))
    await asyncio.sleep(0)
    leaving.cancel()
    world.shelf.open.set()
    assert await staying is not None
    assert leaving.cancelled()


async def test_stopping_lets_go_of_those_who_wait(world: World) -> None:
    lookup = await world.lookup(replace(WHEN_ASKED, timeout=60))
    world.shelf.open.clear()
    waiting = asyncio.ensure_future(lookup.find("good"))
    await world.polls(1)
    await world.owner.stop()
    with pytest.raises(KeyStoreUnavailable):
        await waiting


async def test_stopping_between_two_rounds_lets_go_of_those_who_wait(world: World) -> None:
    lookup = await world.lookup(replace(WHEN_ASKED, timeout=60, pace=60))
    waiting = asyncio.ensure_future(lookup.find("good"))
    await asyncio.sleep(0)
    await world.owner.stop()
    with pytest.raises(KeyStoreUnavailable):
        await waiting


async def test_last_uses_are_written_on_stop(world: World) -> None:
    lookup = await world.lookup()
    lookup.note_use(7)
    await asyncio.sleep(0)
    await world.owner.stop()
    assert [list(times) for times in world.shelf.written] == [[7]]
