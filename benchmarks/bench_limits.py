"""What limits cost: round trips to Redis, memory of buckets, pages of usage over millions of rows.

Run one of ``python -m benchmarks.bench_limits calls | memory | pages [ROWS]``. The numbers of
``docs/limits.md`` come from here. Starts servers of its own and stops them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from quotas.bucket import SECOND, Decision, Rule
from quotas.rules import consumer_prefix
from quotas.stores.redis import RedisStore
from runtime.redis import connect
from runtime.tasks import TaskOwner
from tests import servers

RULE = Rule("quota:{r}:m:", 1_000_000, 60 * SECOND, 1_000_000)
CONCURRENCIES = (1, 16, 64, 256)
REQUESTS = 20_000
BUCKETS = 1_000_000


def main(arguments: list[str]) -> None:
    """Run the benchmark that *arguments* name."""
    match arguments:
        case ["calls"]:
            asyncio.run(_with_redis(calls))
        case ["memory"]:
            asyncio.run(_with_redis(memory))
        case ["pages", *rows]:
            pages(int(rows[0]) if rows else 10_000_000)
        case _:
            sys.exit(__doc__)


async def _with_redis(measure: Callable[[str], Awaitable[None]]) -> None:
    with tempfile.TemporaryDirectory() as directory, servers.redis(Path(directory)) as server:
        await measure(server.url)


async def calls(url: str) -> None:
    """Round trips and checks a second, batched and with one call for each request."""
    print("| concurrency | calls per 1,000 | checks/s | checks/s, one call each |")
    print("|---|---|---|---|")
    for concurrency in CONCURRENCIES:
        batched, one_by_one = [], []
        for _ in range(3):
            batched.append(await _measure(url, concurrency, max_batch=100))
            one_by_one.append(await _measure_unbatched(url, concurrency))
        round_trips, rate = sorted(batched, key=lambda pair: pair[1])[1]
        print(f"| {concurrency} | {round_trips:.0f} | {rate:,.0f} | {sorted(one_by_one)[1]:,.0f} |")


async def _measure(url: str, concurrency: int, max_batch: int) -> tuple[float, float]:
    client, owner = connect(url, timeout=5), TaskOwner()
    store = RedisStore(client, timeout=5, max_batch=max_batch)
    store.start(owner)
    seconds = await _spend([store] * concurrency)
    await owner.stop()
    await client.aclose()
    return store.calls * 1000 / REQUESTS, REQUESTS / seconds


async def _measure_unbatched(url: str, concurrency: int) -> float:
    """Each caller has a store, so a connection and a round trip, of its own."""
    client = connect(url, timeout=5, max_connections=concurrency)
    stores = [RedisStore(client, timeout=5, max_batch=1) for _ in range(concurrency)]
    owners = [TaskOwner() for _ in stores]
    for store, owner in zip(stores, owners, strict=True):
        store.start(owner)
    seconds = await _spend(stores)
    for owner in owners:
        await owner.stop()
    await client.aclose()
    return REQUESTS / seconds


async def _spend(stores: list[RedisStore]) -> float:
    left = REQUESTS

    async def caller(store: RedisStore, key: str) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            decision: Decision = await store.spend([RULE], [key], 1)
            if not decision.allowed:
                raise RuntimeError("refusals cost less than what is measured here")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, store in enumerate(stores):
            group.create_task(caller(store, f"{RULE.key_prefix}{number:032x}"))
    return time.perf_counter() - began


async def memory(url: str) -> None:
    """Bytes of a bucket, and that buckets are gone once they are full."""
    client, owner = connect(url, timeout=30), TaskOwner()
    store = RedisStore(client, prefix="gateway:", timeout=30, max_queue=BUCKETS)
    store.start(owner)
    before = (await client.info("memory"))["used_memory"]
    began = time.perf_counter()
    # Full again after a second, and kept for the clock's tolerance of a minute after that.
    rule = Rule(consumer_prefix("r"), 1, SECOND, 1)
    for first in range(0, BUCKETS, 5_000):
        await asyncio.gather(
            *(
                store.spend([rule], [f"{rule.key_prefix}{number:032x}"], 1)
                for number in range(first, first + 5_000)
            )
        )
    seconds = time.perf_counter() - began
    held = await client.dbsize()
    used = (await client.info("memory"))["used_memory"] - before
    print(f"{BUCKETS:,} identifiers in {seconds:.1f} s; {held:,} buckets held at the end")
    print(f"{used / 2**20:.1f} MiB, {used / held:.0f} bytes a bucket")
    await asyncio.sleep(75)
    print(f"{await client.dbsize():,} buckets 75 s later")
    await owner.stop()
    await client.aclose()


@contextmanager
def _mariadb() -> Any:
    with tempfile.TemporaryDirectory() as directory, servers.mariadb(Path(directory)) as server:
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "gateway_project.settings",
            "ENV_FILE": os.devnull,
            "SECRET_KEY": "a-secret-of-the-benchmark-0123456789-abcdefgh",
            "JWT_SECRET_KEY": "another-secret-of-the-benchmark-0123456789-abc",
            "VAR_DIRECTORY": directory,
            "DATABASE_URL": server.url,
            "LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        yield server


def pages(rows: int) -> None:
    """Seconds of each page of usage over *rows* records."""
    with _mariadb():
        began = time.perf_counter()
        _fill(rows)
        print(f"{rows:,} records made in {time.perf_counter() - began:.0f} s")
        from quotas.rollups import sum_since

        began = time.perf_counter()
        made = sum_since(datetime.now(UTC) - timedelta(days=91))
        print(f"{made:,} sums made in {time.perf_counter() - began:.0f} s")
        began = time.perf_counter()
        sum_since(datetime.now(UTC) - timedelta(hours=2))
        print(f"the last hours summed anew in {time.perf_counter() - began:.1f} s")
        _show_pages()


def _fill(rows: int) -> None:
    """2,000 callers on 5 routes by 2 workers, back from now hour by hour until there are *rows*."""
    from django.db import connection

    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    each = 2_000 * 5 * 2
    with connection.cursor() as cursor:
        cursor.execute("SET unique_checks = 0, foreign_key_checks = 0")
        cursor.execute("SET GLOBAL innodb_buffer_pool_size = 1073741824")
        for number in range(-(-rows // each)):
            start = hour - timedelta(hours=number)
            cursor.execute(
                "INSERT INTO rate_limit_records (identifier, window_type, window_start, route, "
                "node, allowed, refused, would_refuse, first_at, last_at) "
                "SELECT concat('consumer:c', c.seq), 'hour', %s, concat('route-', r.seq), "
                "concat('node-', n.seq), 100 + c.seq, if(c.seq %% 10 = 0, 3, 0), 0, %s, %s "
                "FROM seq_1_to_2000 c, seq_1_to_5 r, seq_1_to_2 n",
                [start, start, start],
            )


def _show_pages() -> None:
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client()
    client.force_login(User.objects.create_superuser("bench"))
    client.defaults["SERVER_NAME"] = "localhost"
    usage, records = "/admin/quotas/ratelimitrollup/", "/admin/quotas/ratelimitrecord/"
    addresses = [f"{usage}?period={period}" for period in ("today", "7d", "30d", "90d")]
    addresses += [f"{usage}?period={period}&caller=consumer:c7" for period in ("7d", "90d")]
    addresses += [f"{usage}?period=30d&route=route-3", f"{usage}?period=30d&csv=caller"]
    addresses += [records, f"{records}?p=100", f"{records}?q=consumer:c7", f"{records}?q=route-3"]
    for address in addresses:
        times = []
        for _ in range(3):
            began = time.perf_counter()
            answer = client.get(address)
            for _ in answer:
                pass
            times.append(time.perf_counter() - began)
        print(f"| {address} | {answer.status_code} | {sorted(times)[1]:.2f} s |")


if __name__ == "__main__":
    main(sys.argv[1:])
