"""What a caller's key costs with ten keys in the database and with a million.

Run ``python -m benchmarks.bench_keys [ROWS]``. The numbers of ``docs/keys.md`` come from here.
Starts a MariaDB and two gateways of its own, one on a database of ten keys and one on a database of
ROWS. Both are asked in turn, so that whatever else the machine does is in both. They remember one
key only: of two keys in turn each is *cold*, the same key again is *warm*.
"""

from __future__ import annotations

import json
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pymysql

from tests import servers
from tests.support.process import GatewayProcess, new_gateway
from tests.support.raw import RawClient
from tests.support.upstream import Upstream

FEW, MANY = 10, 1_000_000
REQUESTS = 100
ROUNDS = 5
CONFIGURATION = """
services:
  backend: {{instances: [{{url: "{url}"}}], breaker: null}}
routes:
  - {{name: keyed, path: /keyed, service: backend, auth: {{methods: [api_key]}}}}
"""
FILL = """
INSERT INTO api_keys (consumer_id, name, prefix, digest, roles, permissions, enabled,
  allowed_routes, allowed_networks, created_by, created_at)
SELECT (SELECT id FROM consumers), '', left(concat('gw_bench-', seq), 12),
  sha2(concat('gw_bench-', seq), 256), '[]', '[]', 1, '[]', '[]', 'bench', utc_timestamp()
FROM seq_1_to_{rows}
"""
LOOK_UPS = """
import json, random, secrets, statistics, time
from keys.digest import hash_api_key
from keys.store import fetch_records, read_epoch

def timed(texts):
    digests = [hash_api_key(text) for text in texts]
    began = time.perf_counter()
    read_epoch()
    found = len(fetch_records(digests))
    return 1e6 * (time.perf_counter() - began), found

def known():
    return "gw_bench-%d" % random.randint(1, ROWS)

one = [timed([known()]) for _ in range(300)]
none = [timed([secrets.token_urlsafe()]) for _ in range(300)]
batch = [timed([secrets.token_urlsafe() for _ in range(500)]) for _ in range(60)]
assert {found for _, found in one} == {1} and {found for _, found in none + batch} == {0}
median = lambda results: statistics.median(micros for micros, _ in results[10:])
print(json.dumps({
    "look-up of a key": median(one),
    "look-up of an unknown key": median(none),
    "look-up of 500 unknown keys": median(batch),
}))
"""


@dataclass
class Place:
    """A gateway on a database of *rows* keys, and the microseconds of each kind of request."""

    rows: int
    gateway: GatewayProcess
    micros: dict[str, list[float]] = field(default_factory=dict)

    def key(self) -> str:
        """One of the keys that are stored."""
        return f"gw_bench-{random.randint(1, self.rows)}"

    def note(self, name: str, micros: float) -> None:
        self.micros.setdefault(name, []).append(micros)


def main(rows: int) -> None:
    """Measure both places in turn and print a table."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(servers.mariadb(directory))
        upstream = Upstream()
        stack.callback(upstream.stop)
        places = [_place(directory, server, upstream.url, number) for number in (FEW, rows)]
        for _ in range(ROUNDS):
            for place in places:
                _look_up(place)
        for place in places:
            stack.enter_context(place.gateway.serving())
        for _ in range(ROUNDS):
            for place in places:
                _ask(place)
    _show(places)


def _place(directory: Path, server: servers.Server, url: str, rows: int) -> Place:
    name = f"bench_{rows}"
    with _connected(server) as connection, connection.cursor() as cursor:
        cursor.execute("SET GLOBAL innodb_buffer_pool_size = 1073741824")
        cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    settings = {"DATABASE_URL": server.url.replace("gateway_db", name), "KEY_CACHE_SIZE": "1"}
    (directory / name).mkdir()
    gateway = new_gateway(directory / name, settings)
    gateway.apply(CONFIGURATION.format(url=url))
    gateway.manage("create_api_key", "bench")
    began = time.perf_counter()
    with _connected(server) as connection, connection.cursor() as cursor:
        cursor.execute(f"USE {name}")
        cursor.execute(FILL.format(rows=rows))
        connection.commit()
        cursor.execute("ANALYZE TABLE api_keys")
    print(f"{rows:,} keys stored in {time.perf_counter() - began:.0f} s")
    return Place(rows, gateway)


def _connected(server: servers.Server) -> Any:
    place = urlsplit(server.url)
    return pymysql.connect(
        host=server.host, port=server.port, user=place.username, password=place.password or ""
    )


def _look_up(place: Place) -> None:
    """The queries of a round, without a gateway around them."""
    program = LOOK_UPS.replace("ROWS", str(place.rows))
    output = place.gateway.manage("shell", "-v", "0", "-c", program).stdout
    for name, micros in json.loads(output).items():
        place.note(name, micros)


def _ask(place: Place) -> None:
    warm = place.key()
    kinds: dict[str, Callable[[], str]] = {
        "first request with a key": place.key,
        "request with an unknown key": lambda: secrets.token_urlsafe(32),
        "request with a key the worker remembers": lambda: warm,
    }
    with RawClient(place.gateway.port) as client:
        for name, choose in kinds.items():
            expected = 401 if "unknown" in name else 200
            times = [_seconds(client, choose(), expected) for _ in range(REQUESTS)]
            place.note(name, 1e6 * statistics.median(times[20:]))


def _seconds(client: RawClient, key: str, expected: int) -> float:
    began = time.perf_counter()
    client.send(f"GET /keyed HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\n\r\n".encode())
    status = client.read_reply().status
    if status != expected:
        sys.exit(f"answered {status} in place of {expected}")
    return time.perf_counter() - began


def _show(places: list[Place]) -> None:
    few, many = places
    print(f"\n| median of {ROUNDS} rounds | {few.rows} keys | {many.rows:,} keys | ratio |")
    print("|---|---|---|---|")
    for name in few.micros:
        a, b = (statistics.median(place.micros[name]) for place in places)
        print(f"| {name} | {a:,.0f} µs | {b:,.0f} µs | {b / a:.2f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else MANY)
