"""SQLite files of a test run: migrated once, copied for every gateway and every worker."""

from __future__ import annotations

import fcntl
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from tests.django_settings import RUN_DIRECTORY
from tests.support import commands

NAME = "gateway.sqlite3"


@cache
def migrated() -> Path:
    """A database that only ``migrate`` has been at; whoever asks first in a test run makes it."""
    directory = RUN_DIRECTORY / "migrated"
    directory.mkdir(exist_ok=True)
    ready = directory / "ready.sqlite3"
    with (directory / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            done = commands.manage(commands.environment(directory), "migrate", "--verbosity", "0")
            if done.returncode:
                pytest.fail(f"migrate: {done.stdout}{done.stderr}")
            (directory / "var" / NAME).rename(ready)
    return ready


def copy(source: Path, target: Path) -> None:
    """Make the database *target* what *source* is now; either may be in use."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        closing(sqlite3.connect(source)) as original,
        closing(sqlite3.connect(target)) as copied,
    ):
        original.backup(copied)
