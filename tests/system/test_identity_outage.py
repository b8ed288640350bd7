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
from tests.support.load import Load
from tests.support.process import GatewayProcess, new_gateway
from tests.support.upstream import Upstream
from tests.system.identity import CONFIGURATION, ask, code, get, wait_until

pytestmark = pytest.mark.timeout(240)

UNKNOWN = "gw_" + "u" * 43


def is_degraded(gateway: GatewayProcess) -> bool:
    return database(gateway) == "degraded"


def is_well(gateway: GatewayProcess) -> bool:
    return database(gateway) == "ok"


def database(gateway: GatewayProcess) -> str:
    ready: dict[str, Any] = gateway.ready() or {"status": "away", "checks": {"database": ""}}
    assert ready["status"] == "ready"
    return str(ready["checks"]["database"])


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
def stopped(server: servers.Server) -> Iterator[None]:
    """A server that neither answers nor closes: the hard case."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def assert_outage_is_survived(gateway: GatewayProcess, outage: Any, away: float) -> None:
    """Known callers see no error before, during or after; unknown ones get 503 meanwhile."""
    key = gateway.key("acme")
    wait_until(lambda: code(ask(gateway, key)) == "ok", 10)
    assert code(ask(gateway, UNKNOWN)) == "invalid_api_key"
    load = Load(gateway.port, get(key))
    with load.running():
        with outage:
            began = time.monotonic()
            wait_until(lambda: is_degraded(gateway), 30)
            assert code(ask(gateway, UNKNOWN)) == "key_store_unavailable"
            assert code(ask(gateway, UNKNOWN[:-1] + "v")) == "key_store_unavailable"
            time.sleep(max(0.0, away - (time.monotonic() - began)))
        wait_until(lambda: is_well(gateway), 30)
    answers = [code(one.reply) if one.reply else "nothing" for one in load.outcomes]
    assert len(answers) > 200
    assert set(answers) == {"ok"}
    assert code(ask(gateway, UNKNOWN)) == "invalid_api_key"
    assert code(ask(gateway, key)) == "ok"


def test_known_callers_do_not_notice_that_sqlite_was_taken_away(
    tmp_path: Path, upstream: Upstream
) -> None:
    # No connection is kept, so that the missing file is noticed.
    gateway = new_gateway(tmp_path, {"DATABASE_MAX_AGE": "0"})
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    gateway.key("acme")
    with gateway.serving():
        assert_outage_is_survived(gateway, sqlite_taken_away(tmp_path), away=6)


def test_known_callers_do_not_notice_that_mariadb_hangs(tmp_path: Path, upstream: Upstream) -> None:
    data = tmp_path / "mariadb"
    data.mkdir()
    with servers.mariadb(data) as server:
        settings = {"DATABASE_URL": server.url, "DATABASE_READ_TIMEOUT": "3"}
        gateway = new_gateway(tmp_path, settings)
        gateway.apply(CONFIGURATION.format(url=upstream.url))
        gateway.key("acme")
        with gateway.serving():
            assert_outage_is_survived(gateway, stopped(server), away=6)


def test_a_key_never_seen_before_the_outage_is_not_let_in_by_it(
    tmp_path: Path, upstream: Upstream
) -> None:
    gateway = new_gateway(tmp_path, {"DATABASE_MAX_AGE": "0"})
    gateway.apply(CONFIGURATION.format(url=upstream.url))
    key = gateway.key("acme")
    with gateway.serving():
        with sqlite_taken_away(tmp_path):
            wait_until(lambda: is_degraded(gateway), 30)
            answer = ask(gateway, key)
            assert (answer.status, code(answer)) == (503, "key_store_unavailable")
            assert int(answer.get("retry-after")) > 0
        wait_until(lambda: code(ask(gateway, key)) == "ok", 30)
