"""Which database the settings mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from gateway_project.databases import choose_drivers, databases
from gateway_project.env import SettingsError
from gateway_project.env_files import PROJECT_DIRECTORY


def chosen(**changes: Any) -> dict[str, dict[str, Any]]:
    return databases(replace(django_settings.GATEWAY, **changes))


def test_nothing_set_is_sqlite_in_the_var_directory() -> None:
    database = chosen()["default"]
    assert database["NAME"] == str(django_settings.GATEWAY.var_directory / "gateway.sqlite3")
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


def test_a_mysql_host_is_enough() -> None:
    database = chosen(mysql_host="db", mysql_password="p")["default"]
    assert database["ENGINE"] == "django.db.backends.mysql"
    assert (database["HOST"], database["NAME"], database["PASSWORD"]) == ("db", "gateway_db", "p")
    assert database["OPTIONS"]["isolation_level"] == "read committed"
    assert database["OPTIONS"]["connect_timeout"] == 3


def test_the_url_wins_over_the_parts() -> None:
    database = chosen(database_url="postgres://u:p%40s@pg:5433/gw", mysql_host="db")["default"]
    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"], database["PASSWORD"]) == ("pg", 5433, "p@s")
    assert "statement_timeout=10000" in database["OPTIONS"]["options"]


def test_options_of_the_url_win_over_ours() -> None:
    database = chosen(database_url="mysql://u:p@db/gw?connect_timeout=1")["default"]
    assert database["OPTIONS"]["connect_timeout"] == 1
    assert database["OPTIONS"]["charset"] == "utf8mb4"


def test_a_relative_file_is_in_the_project_wherever_the_var_directory_is(tmp_path: Path) -> None:
    database = chosen(database_url="sqlite:///own.sqlite3", var_directory=tmp_path)["default"]
    assert database["NAME"] == str(PROJECT_DIRECTORY / "own.sqlite3")


@pytest.mark.parametrize(
    ("engine", "driver"), [("mysql", "requirements/mysql.txt"), ("postgresql", "psycopg")]
)
def test_a_database_whose_driver_is_missing_is_refused(
    monkeypatch: pytest.MonkeyPatch, engine: str, driver: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=rf"^DATABASE_URL=\(not shown\): .*{driver}"):
        choose_drivers({"default": {"ENGINE": f"django.db.backends.{engine}"}})


def test_a_database_in_memory_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_URL=\(not shown\): "):
        chosen(database_url="sqlite:///")


def test_a_mysql_cluster_has_a_writer_and_replicas() -> None:
    found = chosen(
        mysql_cluster_enabled=True,
        mysql_cluster_nodes=("db1:3306", "db2:3306"),
        mysql_cluster_read_replicas=("[::1]:3307",),
    )
    assert (found["default"]["HOST"], found["default"]["PORT"]) == ("db1", 3306)
    assert (found["replica_1"]["HOST"], found["replica_1"]["PORT"]) == ("::1", 3307)
    assert found["replica_1"]["TEST"] == {"MIRROR": "default"}
