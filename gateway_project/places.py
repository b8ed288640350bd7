"""The directories and files settings name: made and tried before anything runs.

A place that cannot be written is refused like any other bad value, by the variable's name. Leans
on nothing of Django, so that the command line can refuse too.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway_project.declaring import SettingsError
from gateway_project.env import Settings
from gateway_project.node_variables import LOG_TYPES


def make_var_directory(directory: Path) -> None:
    """Make VAR_DIRECTORY. Raises :class:`SettingsError`."""
    try:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable("VAR_DIRECTORY", directory, error) from None


def unwritable(
    name: str, value: object, error: OSError, *, kind: str = "directory"
) -> SettingsError:
    """The refusal of a place."""
    return SettingsError(f"{name}={value}: a {kind} that can be written ({error.strerror})")


def try_log_files(settings: Settings) -> None:
    """Make the log files and their directories. Raises :class:`SettingsError`."""
    for log_type in LOG_TYPES:
        path = settings.log_file(log_type)
        try:
            if path:
                _make(Path(path))
        except OSError as error:
            if getattr(settings, f"log_{log_type}_file"):
                name = f"LOG_{log_type.upper()}_FILE"
                raise unwritable(name, path, error, kind="file") from None
            raise unwritable("LOG_DIRECTORY", settings.log_directory, error) from None


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    # Not to be held up by a pipe that nobody reads.
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o640))
