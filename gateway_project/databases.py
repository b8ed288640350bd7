"""``DATABASES`` from the settings: SQLite, MySQL or MariaDB, PostgreSQL.

Timeouts are short: a database that hangs may cost a background task its turn, never more. Names
that differ in case or accents are different names in every one of them. Leans on django-environ
for the URL.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import environ
from django.db import connections

from gateway_project.env import Settings, SettingsError
from gateway_project.env_files import PROJECT_DIRECTORY

MYSQL: Final = "django.db.backends.mysql"
_SQLITE: Final = "django.db.backends.sqlite3"
_POSTGRESQL: Final = "django.db.backends.postgresql"
_LOCK_SECONDS: Final = 5


def databases(settings: Settings) -> dict[str, dict[str, Any]]:
    """``default``, and with a MySQL cluster ``replica_1`` and on."""
    default = _with_options(_address(settings), settings)
    found = {"default": default}
    if settings.mysql_cluster_enabled:
        nodes = (settings.mysql_cluster_write_node, *settings.mysql_cluster_nodes)
        writer = next((node for node in nodes if node), "")
        found["default"] = _at(writer, default) if writer else default
        for number, replica in enumerate(settings.mysql_cluster_read_replicas, 1):
            found[f"replica_{number}"] = {**_at(replica, default), "TEST": {"MIRROR": "default"}}
    return found


def _address(settings: Settings) -> dict[str, Any]:
    if settings.database_url:
        return _from_url(settings)
    if settings.mysql_host or settings.mysql_cluster_enabled:
        return {
            "ENGINE": MYSQL,
            "NAME": settings.mysql_database,
            "USER": settings.mysql_user,
            "PASSWORD": settings.mysql_password,
            "HOST": settings.mysql_host,
            "PORT": settings.mysql_port,
        }
    return {"ENGINE": _SQLITE, "NAME": str(settings.var_directory / "gateway.sqlite3")}


def _from_url(settings: Settings) -> dict[str, Any]:
    parsed: dict[str, Any] = environ.Env.db_url_config(settings.database_url)
    if not parsed.get("NAME") or parsed["NAME"] == ":memory:":
        # Every thread and worker would have an empty database of its own.
        raise SettingsError("DATABASE_URL=(not shown): a URL that names a database or a file")
    if parsed["ENGINE"] == _SQLITE:
        parsed["NAME"] = str(PROJECT_DIRECTORY / Path(parsed["NAME"]))
    return parsed


def _with_options(address: dict[str, Any], settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        _SQLITE: _sqlite_options,
        MYSQL: _mysql_options,
        _POSTGRESQL: _postgresql_options,
    }[address["ENGINE"]](settings)
    return {
        **address,
        "OPTIONS": {**options, **address.get("OPTIONS", {})},
        "CONN_MAX_AGE": settings.database_max_age,
        "CONN_HEALTH_CHECKS": True,
    }


def _sqlite_options(_: Settings) -> dict[str, Any]:
    return {
        # A transaction that begins as a reader cannot wait for the lock when it turns writer.
        "transaction_mode": "IMMEDIATE",
        "timeout": _LOCK_SECONDS,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }


def _mysql_options(settings: Settings) -> dict[str, Any]:
    cluster = settings.mysql_cluster_enabled
    return {
        "charset": "utf8mb4",
        "isolation_level": "read committed",
        "connect_timeout": settings.mysql_cluster_connection_timeout
        if cluster
        else settings.database_connect_timeout,
        "read_timeout": settings.database_read_timeout,
        "write_timeout": settings.database_read_timeout,
    }


def _postgresql_options(settings: Settings) -> dict[str, Any]:
    milliseconds = settings.database_read_timeout * 1000
    return {
        "connect_timeout": settings.database_connect_timeout,
        "options": f"-c statement_timeout={milliseconds}",
    }


def _at(node: str, database: dict[str, Any]) -> dict[str, Any]:
    host, _, port = node.rpartition(":")
    return {**database, "HOST": host.strip("[]"), "PORT": int(port)}


def compare_exactly(using: str, **_: Any) -> None:
    """Before tables are made: let MySQL compare texts by their characters.

    Its own default takes ``acme`` and ``Acmé`` for one name. Tables take the collation of their
    database when they are made, so this is the one place to set it.
    """
    connection = connections[using]
    if connection.vendor != "mysql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@collation_database")
        [collation] = cursor.fetchone()
        if not collation.endswith("_bin"):
            cursor.execute("ALTER DATABASE CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")


def choose_drivers(chosen: Mapping[str, Mapping[str, Any]]) -> None:
    """Find what speaks to the databases *chosen*. Raises SettingsError where nothing does.

    PyMySQL stands in where mysqlclient, which needs a compiler, is not installed.
    """
    engines = {database["ENGINE"] for database in chosen.values()}
    if MYSQL in engines and not _installed("MySQLdb"):
        if not _installed("pymysql"):
            raise SettingsError(
                "DATABASE_URL=(not shown): MySQL, also by MYSQL_HOST, needs a driver: "
                "pip install -r requirements/mysql.txt"
            )
        import pymysql

        pymysql.install_as_MySQLdb()
    if _POSTGRESQL in engines and not _installed("psycopg", "psycopg2"):
        raise SettingsError(
            "DATABASE_URL=(not shown): postgres:// needs a driver: pip install 'psycopg[binary]'"
        )


def _installed(*modules: str) -> bool:
    return any(importlib.util.find_spec(name) is not None for name in modules)
