"""``manage.py runserver``: Daphne's development server, on the gateway's port."""

from __future__ import annotations

from daphne.management.commands.runserver import Command as DaphneCommand


class Command(DaphneCommand):
    """Serves data plane, admin and API in one process, for development."""

    default_port = "8001"
