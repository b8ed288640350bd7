"""``manage.py sum_records --since 7d``: make the sums of usage anew.

Workers sum the last hours by themselves. This is for records that were written later than that,
after a long outage of the database, or loaded from elsewhere.
"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from keys.durations import parse_duration
from quotas.rollups import sum_since


class Command(BaseCommand):
    """Sums the records of a time."""

    help = "Make the sums that the usage pages show anew from the records."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", metavar="TIME", required=True, help="how far back: 7d")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            age = parse_duration(options["since"])
        except ValueError as error:
            raise CommandError(f"--since {error}") from None
        self.stdout.write(f"{sum_since(timezone.now() - age)} sums made.")
