"""Who runs a management command, for the audit log."""

from __future__ import annotations

import getpass


def operator_name() -> str:
    """The operating system's user name; empty where a container has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""
