#!/usr/bin/env python
"""The command line: Django's, with ``--env`` understood before settings are read."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command named on the command line.

    A bad setting is one line and exit code 1, and so is a database that is away or not migrated.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")
    from gateway_project.scheduling import collect_seldom

    collect_seldom()
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    from gateway_project import launching
    from gateway_project.declaring import SettingsError

    try:
        launching.prepare(sys.argv[1:])
        execute_from_command_line(sys.argv)
    except SettingsError as error:
        sys.exit(str(error))
    except BrokenPipeError:  # whoever read has read enough: `export | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except DatabaseError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"the database: {error} (is it there, and migrated? `python manage.py migrate`)")


if __name__ == "__main__":
    main()
