"""What must happen before Django reads its settings.

``manage.py`` calls :func:`prepare`: options become environment variables, because workers are new
processes and the environment is all they inherit; a missing file is written; the directory of
shared metrics is emptied before prometheus_client is imported anywhere. Leans on nothing of
Django.
"""

from __future__ import annotations

import argparse
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway_project import env_files, metric_files
from gateway_project.declaring import SettingsError
from gateway_project.env import get_settings
from gateway_project.places import make_var_directory, unwritable

_VARIABLES: Final = {
    "env": ("ENVIRONMENT",),
    "host": ("HOST", "SINGLE_INSTANCE_HOST"),
    "port": ("PORT", "SINGLE_INSTANCE_PORT"),
    "workers": ("WORKERS",),
    "deployment_mode": ("DEPLOYMENT_MODE",),
    "log_level": ("LOG_LEVEL",),
}


def add_serve_options(parser: argparse.ArgumentParser) -> None:
    """The options of ``serve`` that change settings; their values are checked as settings are."""
    parser.add_argument("--env", metavar="NAME", help="environment: default, dev or prod")
    parser.add_argument("--host", help="address to listen on (default: HOST)")
    parser.add_argument("--port", help="port to listen on (default: PORT, 8001)")
    parser.add_argument("--workers", metavar="N", help="data-plane processes (default: WORKERS, 1)")
    parser.add_argument("--deployment-mode", choices=("single", "cluster"))
    parser.add_argument(
        "--log-level", metavar="LEVEL", help="debug, info, warning, error, critical"
    )
    parser.add_argument("--create-env", action="store_true", help="write the .env file if missing")


def prepare(arguments: Sequence[str]) -> None:
    """Make the process ready for the command in *arguments*, the words after ``manage.py``.

    Raises :class:`~gateway_project.declaring.SettingsError` for a setting that is not allowed.
    """
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", ())
    asks_for_help = not {"-h", "--help"}.isdisjoint(rest)
    if command == "create_env" or (command == "serve" and asks_for_help):
        _do_without_settings()
    elif command == "serve":
        _prepare_serve(rest)


def _prepare_serve(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_serve_options(parser)
    try:
        options, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError:
        return  # The command's own parser meets the same words and says what is wrong.
    for option, names in _VARIABLES.items():
        value = getattr(options, option)
        if value is not None:
            os.environ.update(dict.fromkeys(names, value))
    if options.create_env:
        _create_missing_file(options.deployment_mode or "single")
    _claim(get_settings().var_directory)


def _create_missing_file(deployment_mode: str) -> None:
    environment = env_files.environment_named(os.environ.get("ENVIRONMENT", ""))
    path = env_files.file_of(environment)
    if not path.exists():
        env_files.create(environment, deployment_mode)


def _claim(var_directory: Path) -> None:
    """Take the directory for this gateway and empty its shared metrics.

    Two gateways in one directory would delete each other's metrics and sockets. The descriptor of
    the lock stays open until the process ends, and no worker inherits it.
    """
    make_var_directory(var_directory)
    try:
        lock = os.open(var_directory / "serve.lock", os.O_RDWR | os.O_CREAT, 0o640)
    except OSError as error:
        raise unwritable("VAR_DIRECTORY", var_directory, error) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise SettingsError(
            f"VAR_DIRECTORY={var_directory}: a directory no other running gateway uses"
        ) from None
    try:
        metric_files.prepare(var_directory)
    except OSError as error:
        raise unwritable("VAR_DIRECTORY", var_directory, error) from None


def _do_without_settings() -> None:
    """Let ``create_env`` and help run where there are no secrets yet."""
    from django.conf import settings

    settings.configure(INSTALLED_APPS=["gateway_project"], LOGGING_CONFIG=None)
