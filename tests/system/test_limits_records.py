"""Records of limits on a real MariaDB: exact over workers, one of which is killed under load.

``RECORDS_PROOF_REQUESTS=200000`` makes it the long proof whose result is in docs/limits.md.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.servers import Server
from tests.support.flood import Flood, Hit, get, owners
from tests.support.process import GatewayProcess, new_gateway
from tests.support.upstream import Upstream

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.services, pytest.mark.timeout(900)]

REQUESTS = int(os.environ.get("RECORDS_PROOF_REQUESTS", "20000"))
WORKERS = 4
CONNECTIONS = 32
INTERVAL = 1.0
DATABASE = "limits_proof"
CONFIGURATION = """
services:
  echo: {{instances: [{{url: "{url}"}}], breaker: null, retry: {{attempts: 1}}}}
routes:
  - name: counted
    path: /counted
    service: echo
    auth_required: false
    rate_limit: {{limit: {limit}, per: day, by: route, on_store_failure: closed}}
"""

RECORDER = """
import asyncio
from quotas.records import Recorder
from runtime.database import DatabaseThread

async def record():
    database = DatabaseThread("writer")
    recorder = Recorder("n", database, clock=lambda: 1795428000.25)
    for times in (1, 2):
        for number in range(1200):
            recorder.note(f"user:{number}%s'", "r", None, times)
        await recorder.write()
    await database.close()

asyncio.run(record())
"""
"""In a process of the product: 1200 callers, who come again after they were written."""


@contextmanager
def connection(server: Server, database: str | None = None) -> Iterator[Any]:
    options = {"user": "gateway", "password": "gateway", "autocommit": True}
    with (
        pymysql.connect(host=server.host, port=server.port, database=database, **options) as found,
        found.cursor() as cursor,
    ):
        yield cursor


@pytest.fixture
def counted(
    tmp_path: Path, mariadb_server: Server, redis_server: Server, upstream: Upstream
) -> Iterator[GatewayProcess]:
    with connection(mariadb_server) as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute(f"CREATE OR REPLACE DATABASE {DATABASE} CHARACTER SET utf8mb4")
    extra = {
        "DATABASE_URL": mariadb_server.url.replace("gateway_db", DATABASE),
        "REDIS_URL": redis_server.url,
        "REDIS_PREFIX": f"{tmp_path.name}:",
        "REDIS_TIMEOUT": "1",
        "RATE_LIMIT_RECORD_SECONDS": str(INTERVAL),
        "LOG_LEVEL": "WARNING",
    }
    gateway = new_gateway(tmp_path, extra)
    gateway.apply(CONFIGURATION.format(url=upstream.url, limit=REQUESTS // 4))
    yield gateway
    gateway.stop()


@contextmanager
def floods_of_all_workers(port: int) -> Iterator[tuple[list[Hit], dict[int, int]]]:
    """What they are answered, and the worker of each client port; they end with the block.

    Each finds the workers of those before stopped, so that it gets others: a worker that is quick
    may otherwise take every connection.
    """
    tickets = iter(range(REQUESTS))
    each = CONNECTIONS // WORKERS
    hits: list[Hit] = []
    workers: dict[int, int] = {}
    with ThreadPoolExecutor(WORKERS) as pool:
        for _ in range(WORKERS):
            flood = Flood(port, get("/counted"), tickets, each, hits)
            found_so_far = set(workers.values())
            stopped = found_so_far if len(found_so_far) < WORKERS else set()
            signal_all(stopped, signal.SIGSTOP)
            pool.submit(asyncio.run, flood.run())
            while len(found := owners(port, flood.ports)) < each:
                time.sleep(0.01)
            signal_all(stopped, signal.SIGCONT)
            workers |= found
        yield hits, workers


def signal_all(processes: set[int], number: int) -> None:
    for process in processes:
        os.kill(process, number)


def by_worker(hits: list[Hit], workers: dict[int, int]) -> dict[int, Counter[int]]:
    found: dict[int, Counter[int]] = {}
    for hit in hits:
        found.setdefault(workers[hit.port], Counter())[hit.status] += 1
    return found


def recorded(server: Server) -> dict[int, tuple[int, int]]:
    """Allowed and refused by the number of the worker's process."""
    with connection(server, DATABASE) as cursor:
        cursor.execute(
            "SELECT node, sum(allowed), sum(refused) FROM rate_limit_records GROUP BY node"
        )
        return {
            int(node.rpartition("/")[2].partition(".")[0]): (int(allowed), int(refused))
            for node, allowed, refused in cursor.fetchall()
        }


@pytest.mark.slow
def test_records_equal_what_was_served_but_for_the_last_moments_of_a_killed_worker(
    counted: GatewayProcess, mariadb_server: Server
) -> None:
    with (
        counted.serving("--workers", str(WORKERS)),
        floods_of_all_workers(counted.port) as (hits, workers),
    ):
        while len(hits) < REQUESTS // 2:
            time.sleep(0.01)
        victim = min(workers.values())
        os.kill(victim, signal.SIGKILL)
        killed_at = time.monotonic()
    served, written = by_worker(hits, workers), recorded(mariadb_server)
    assert len(served) == WORKERS
    for worker, statuses in served.items():
        if worker != victim:
            assert written[worker] == (statuses[200], statuses[429])
    of_victim = [hit for hit in hits if workers[hit.port] == victim]
    certain = sum(hit.answered < killed_at - INTERVAL for hit in of_victim)
    assert certain <= sum(written[victim]) <= len(of_victim) + CONNECTIONS
    logger.info(
        "%d answers of %d workers in %.1f s; the killed one gave %d of them, %d up to an interval "
        "before its end, %d are recorded",
        len(hits),
        len(served),
        max(hit.answered for hit in hits) - min(hit.sent for hit in hits),
        len(of_victim),
        certain,
        sum(written[victim]),
    )


def test_names_are_compared_byte_for_byte(counted: GatewayProcess, mariadb_server: Server) -> None:
    row = (
        "INSERT INTO rate_limit_records (identifier, window_type, window_start, route, node, "
        "allowed, refused, would_refuse, first_at, last_at) "
        "VALUES (%s, 'hour', '2026-11-23 12:00', 'r', 'n', 1, 0, 0, now(), now())"
    )
    with connection(mariadb_server, DATABASE) as cursor:
        for name in ("user:Bob", "user:bob", "user:b\N{LATIN SMALL LETTER O WITH DIAERESIS}b"):
            cursor.execute(row, [name])
        cursor.execute("SELECT count(*) FROM rate_limit_records WHERE identifier = 'user:bob'")
        assert cursor.fetchall() == ((1,),)
    assert "sums made" in counted.manage("sum_records", "--since", "9000d").stdout
    with connection(mariadb_server, DATABASE) as cursor:
        cursor.execute("SELECT allowed FROM rate_limit_rollups WHERE identifier = 'user:bob'")
        assert cursor.fetchall() == ((1,), (1,))


def test_many_callers_are_written_and_written_again(
    counted: GatewayProcess, mariadb_server: Server
) -> None:
    counted.manage("shell", "--command", RECORDER)
    with connection(mariadb_server, DATABASE) as cursor:
        cursor.execute(
            "SELECT CAST(window_start AS char), CAST(first_at AS char), CAST(last_at AS char), "
            "allowed, count(DISTINCT identifier) FROM rate_limit_records GROUP BY 1, 2, 3, 4"
        )
        began, moment = "2026-11-23 10:00:00.000000", "2026-11-23 10:00:00.250000"
        assert cursor.fetchall() == ((began, moment, moment, 3, 1200),)
        cursor.execute("SELECT count(*) FROM rate_limit_records WHERE identifier = 'user:7%s\\''")
        assert cursor.fetchall() == ((1,),)
