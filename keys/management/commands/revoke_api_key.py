"""``manage.py revoke_api_key``: refuse a key for good, on every worker within seconds."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from audit.recorder import acting_as
from keys.management.choosing import add_key_argument, chosen
from keys.models import ApiKey


class Command(BaseCommand):
    """Revokes one API key. Revoking it again is no error."""

    help = "Refuse an API key for good."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_key_argument(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        key = chosen(options["key"])
        with acting_as("revoke_api_key", "command"):
            revoked = ApiKey.objects.filter(pk=key.pk).revoke()
        self.stdout.write(f"{key} is revoked." if revoked else f"{key} was revoked before.")
