"""Fixtures for every test: real servers, a browser, a clean environment for subprocesses."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, connections
from django.test import TransactionTestCase
from hypothesis import HealthCheck, settings

from tests import servers
from tests.django_settings import ENVIRONMENT
from tests.servers import Server
from tests.support import commands, scheduling, sqlite_files
from tests.support.upstream import Upstream

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client
    from playwright.sync_api import Browser
    from pytest_django import DjangoDbBlocker
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

# Importing and collecting makes objects that stay: looking for cycles among them finds none.
gc.set_threshold(100_000, 50, 50)

# A busy machine is no fault of the code.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("suite")


def pytest_collection_finish() -> None:
    """What was imported and collected stays: the collector need not walk it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


_QUIET_CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """``--dist loadfile`` keeps together the files that share a gateway, too."""
    if config.getoption("dist") != "loadfile":
        return None
    return scheduling.FamilyScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Random order keeps together what shares a gateway."""
    items[:] = scheduling.together(items)


@pytest.fixture(scope="session", autouse=True)
def _commands() -> Iterator[None]:
    yield
    commands.stop_all()


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The test database is there already."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """A copy of the one database that was migrated for the whole run."""
    sqlite_files.copy(sqlite_files.migrated(), Path(connection.settings_dict["TEST"]["NAME"]))


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A test that commits leaves the database as ``migrate`` made it, with the rows it made.

    Django would empty every table and make permissions anew, in ten times the time.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", _restore)
        yield
    with django_db_blocker.unblock():
        connections.close_all()


def _restore(_: TransactionTestCase) -> None:
    sqlite_files.copy(sqlite_files.migrated(), Path(connection.settings_dict["NAME"]))


@pytest.fixture
def admin_client(admin_user: User) -> Client:
    """A superuser's browser."""
    from tests.support.clients import signed_in

    return signed_in(admin_user)


@pytest.fixture
def free_port() -> int:
    """A loopback port nobody listens on."""
    return servers.find_free_port()


@pytest.fixture
def gateway_environment(tmp_path: Path) -> dict[str, str]:
    """Process environment for ``manage.py`` in a subprocess: production defaults, own directory."""
    return {
        **ENVIRONMENT,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "VAR_DIRECTORY": str(tmp_path / "var"),
        "PYTHONWARNINGS": "default",
    }


@pytest.fixture
def announced() -> Iterator[list[Any]]:
    """What announced a change of the configuration, as it comes."""
    from routing.signals import configuration_changed

    seen: list[Any] = []

    def note(sender: Any, **_: Any) -> None:
        seen.append(sender)

    configuration_changed.connect(note)
    yield seen
    configuration_changed.disconnect(note)


@pytest.fixture(scope="session")
def _upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture
def upstream(_upstream: Upstream) -> Upstream:
    """A scripted upstream of the session, fresh for the test."""
    _upstream.reset()
    return _upstream


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real Redis for the session."""
    with servers.redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real MariaDB for the session."""
    with servers.mariadb(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real etcd for the session."""
    with servers.etcd(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, for the tests of one module.

    Playwright's synchronous interface leaves a running loop in the thread. So a module that uses
    it has no async tests, and Django must be told that its ORM calls are meant.
    """
    [chromium] = servers.require("chromium")
    from playwright.sync_api import sync_playwright

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        chrome = playwright.chromium.launch(executable_path=chromium, args=_QUIET_CHROMIUM)
        yield chrome
        chrome.close()
