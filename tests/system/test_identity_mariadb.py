"""What differs on MariaDB: names are compared by their characters, the chain by its rows' locks."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.servers import Server
from tests.support.process import GatewayProcess, new_gateway
from tests.system.identity import asked, database_of_its_own

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def on_mariadb(tmp_path_factory: pytest.TempPathFactory, mariadb_server: Server) -> GatewayProcess:
    """A gateway with an empty database that was made with the server's own collation."""
    url = database_of_its_own(mariadb_server, "identity_db")
    return new_gateway(tmp_path_factory.mktemp("mariadb"), {"DATABASE_URL": url})


def test_names_that_differ_in_case_or_accents_are_different_names(
    on_mariadb: GatewayProcess,
) -> None:
    names = ["acme", "Acme", "acmé", "ACME"]
    for name in names:
        on_mariadb.manage("create_api_key", name)
    stored = asked(
        on_mariadb,
        "[C.objects.filter(name=name).count() for name in ('acme', 'Acme', 'acmé', 'ACME')]",
        "from keys.models import Consumer as C",
    )
    assert stored == [1, 1, 1, 1]


def test_no_column_compares_without_regard_to_case(on_mariadb: GatewayProcess) -> None:
    columns = asked(
        on_mariadb,
        "list(rows)",
        """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute(
        "SELECT table_name, column_name FROM information_schema.columns "
        "WHERE table_schema = DATABASE() AND collation_name NOT LIKE '%_bin'"
    )
    rows = cursor.fetchall()
""",
    )
    assert columns == []


def test_processes_that_write_at_once_make_one_chain(on_mariadb: GatewayProcess) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: on_mariadb.manage("create_api_key", name), "abcdefgh"))
    assert "whole" in on_mariadb.manage("audit", "verify").stdout


def test_a_row_changed_in_the_database_is_found_and_pruning_keeps_the_rest(
    on_mariadb: GatewayProcess,
) -> None:
    on_mariadb.manage("create_api_key", "pruned")
    on_mariadb.manage("audit", "prune", "--before", "2020-01-01")
    assert on_mariadb.manage("audit", "verify").returncode == 0
    change = "from django.db import connection as c; c.cursor().execute({!r})"
    statement = "UPDATE audit_logs SET actor = CONCAT(actor, '!') WHERE sequence = 2"
    on_mariadb.manage("shell", "-c", change.format(statement))
    answer = on_mariadb.manage("audit", "verify", check=False)
    mended = "UPDATE audit_logs SET actor = TRIM(TRAILING '!' FROM actor) WHERE sequence = 2"
    on_mariadb.manage("shell", "-c", change.format(mended))
    assert answer.returncode == 1
    assert "entry 2 " in answer.stdout
    assert "was changed" in answer.stdout
