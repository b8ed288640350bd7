"""What an operator orders of a breaker is obeyed by every worker within a second."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.conftest import Lab
from tests.faults.waiting import eventually

ORDER = """INSERT INTO circuit_breaker_overrides (service, instance, action, until, ordered_at)
           VALUES ('trio', ?, 'open', NULL, ?)"""


def _write(lab: Lab, statement: str, *rows: tuple[str, ...]) -> None:
    path = Path(lab.gateway.environment["VAR_DIRECTORY"]) / "gateway.sqlite3"
    with closing(sqlite3.connect(path, timeout=5)) as connection, connection:
        connection.executemany(statement, rows)


def test_a_forced_breaker_is_open_everywhere_until_the_order_is_withdrawn(lab: Lab) -> None:
    now = datetime.now(UTC).isoformat(sep=" ")
    _write(lab, ORDER, *((proxy.url, now) for proxy in lab.proxies))
    try:
        obeyed = eventually(lambda: {lab.get("/trio") for _ in range(20)} == {503}, seconds=2)
    finally:
        _write(lab, "DELETE FROM circuit_breaker_overrides WHERE service = ?", ("trio",))
    withdrawn = eventually(lambda: {lab.get("/trio") for _ in range(20)} == {200}, seconds=2)
    print(f"\nobeyed by all after {obeyed:.2f} s, withdrawn after {withdrawn:.2f} s")
    assert max(obeyed, withdrawn) < 1.5
