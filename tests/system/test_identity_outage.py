"""The database goes away under load: who is known stays served, who is not is told to come back."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.keys import forge
from tests.support.load import Load
from tests.support.process import GatewayProcess, new_gateway
from tests.support.upstream import Upstream
from tests.support.waiting import wait_until
from tests.system.identity import CONFIGURATION, ask, code, codes, get

pytestmark = pytest.mark.timeout(240)

UNKNOWN = "gw_" + "u" * 43


def state(gateway: GatewayProcess, name: str) -> str:
    """What ``/ready`` says of a server; the node itself is ready all the time."""
    ready: dict[str, Any] = gateway.ready() or {"status": "away"}
    assert ready["status"] == "ready"
    return str(ready["checks"][name])


def becomes(gateway: GatewayProcess, name: str, expected: str) -> None:
    """Wait until ``/ready`` says *expected* of a server."""
    wait_until(lambda: state(gateway, name) == expected, 30)


@contextmanager
def sqlite_taken_away(directory: Path) -> Iterator[None]:
    """A directory in place of the file: nothing can be opened, nothing is created anew."""
    path = directory / "var" / "gateway.sqlite3"
    aside = directory / "aside"
    aside.mkdir()
    moved = [each for each in path.parent.glob("gateway.sqlite3*") if each.is_file()]
    for file in moved:
        file.rename(aside / file.name)
    path.mkdir()
    try:
        yield
    finally:
        path.rmdir()
        for file in moved:
            (aside / file.name).rename(file)


@contextmanager
def hanging(server: servers.Server) -> Iterator[None]:
    """A server that neither answers nor closes: the hard case."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


@contextmanager
def known_callers(gateway: GatewayProcess, key: str, token: str) -> Iterator[None]:
    """200 requests a second, by key and by token, while the block runs: none may see an error."""
    loads = [
        Load(gateway.port, get(key, "/limited"), rate=100, connections=4),
        Load(gateway.port, bearing(token), rate=100, connections=4),
    ]
    with loads[0].running(), loads[1].running():
        yield
    outcomes = [one for load in loads for one in load.outcomes]
    assert len(outcomes) > 200
    assert {code(one.reply) if one.reply else "nothing" for one in outcomes} == {"ok"}


def bearing(token: str) -> bytes:
    head = f"GET /keyed HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer {token}\r\n\r\n"
    return head.encode()


def signed(gateway: GatewayProcess) -> str:
    """A token of somebody."""
    secret = gateway.environment["JWT_SECRET_KEY"].encode()
    return forge.signed(forge.HEADER, {"sub": "42", "exp": int(time.time()) + 3600}, secret)


def survive(gateway: GatewayProcess, outage: Any, away: float) -> None:
    """Known callers see no error before, during or after; unknown ones get 503 meanwhile."""
    key, late = gateway.key("acme"), gateway.key("late")
    wait_until(lambda: code(ask(gateway, key, "/limited")) == "ok", 10)
    assert code(ask(gateway, UNKNOWN)) == "invalid_api_key"
    with known_callers(gateway, key, signed(gateway)):
        with outage:
            began = time.monotonic()
            becomes(gateway, "database", "degraded")
            assert code(ask(gateway, UNKNOWN)) == "key_store_unavailable"
            answer = ask(gateway, late)  # good, but never seen here
            assert (answer.status, code(answer)) == (503, "key_store_unavailable")
            assert int(answer.get("retry-after")) > 0
            time.sleep(max(0.0, away - (time.monotonic() - began)))
        becomes(gateway, "database", "ok")
    assert code(ask(gateway, UNKNOWN)) == "invalid_api_key"
    assert codes(gateway, late, 3) == {"ok"}


def test_known_callers_do_not_notice_that_sqlite_was_taken_away(
    tmp_path: Path, upstream: Upstream
) -> None:
    # No connection is kept, so that the missing file is noticed.
    gateway = new_gateway(tmp_path, {"DATABASE_MAX_AGE": "0"})
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    gateway.key("acme")
    gateway.key("late")
    with gateway.serving():
        survive(gateway, sqlite_taken_away(tmp_path), away=5)


@contextmanager
def on_servers(directory: Path, upstream: Upstream) -> Iterator[tuple[GatewayProcess, Any, Any]]:
    """A running gateway, its MariaDB and its Redis, which may be treated badly."""
    data, memory = directory / "mariadb", directory / "redis"
    data.mkdir()
    memory.mkdir()
    with servers.mariadb(data) as mariadb, servers.redis(memory) as redis:
        settings = {
            "DATABASE_URL": mariadb.url,
            "DATABASE_READ_TIMEOUT": "2",
            "REDIS_URL": redis.url,
        }
        gateway = new_gateway(directory, settings)
        gateway.apply(CONFIGURATION.format(url=upstream.url))
        gateway.key("acme")
        gateway.key("late")
        with gateway.serving():
            yield gateway, mariadb, redis


def test_known_callers_do_not_notice_that_mariadb_hangs_and_redis_dies(
    tmp_path: Path, upstream: Upstream
) -> None:
    with on_servers(tmp_path, upstream) as (gateway, mariadb, redis):
        survive(gateway, hanging(mariadb), away=5)
        with known_callers(gateway, gateway.key("acme"), signed(gateway)):
            redis.process.kill()
            becomes(gateway, "redis", "degraded")
            time.sleep(1)


@pytest.mark.slow
def test_known_callers_do_not_notice_redis_and_the_database_going_in_turn(
    tmp_path: Path, upstream: Upstream
) -> None:
    """Each hangs, comes back, and dies for good: 200 requests a second for a minute and a half."""
    with on_servers(tmp_path, upstream) as (gateway, mariadb, redis):
        key = gateway.key("acme")
        wait_until(lambda: code(ask(gateway, key, "/limited")) == "ok", 10)
        with known_callers(gateway, key, signed(gateway)):
            for server, name in ((redis, "redis"), (mariadb, "database")):
                with hanging(server):
                    becomes(gateway, name, "degraded")
                    time.sleep(10)
                becomes(gateway, name, "ok")
            for server, name in ((redis, "redis"), (mariadb, "database")):
                server.process.kill()
                becomes(gateway, name, "degraded")
                time.sleep(15)
