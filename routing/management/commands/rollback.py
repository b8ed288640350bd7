"""``rollback N``: restore the rows of a revision and publish them (CONTRACT §1)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing import revision
from routing.errors import ConfigurationError
from routing.operator_name import operator_name


class Command(BaseCommand):
    """The restored configuration becomes a revision of its own; history is never rewritten."""

    help = "Restore services and routes as they were in a revision, and publish."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("number", type=int, metavar="N")

    def handle(self, *_: Any, **options: Any) -> None:
        number = options["number"]
        try:
            published = revision.rollback(number, operator_name())
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        if published is None:
            self.stdout.write(f"Revision {number} is what is published already.")
        else:
            self.stdout.write(f"Restored revision {number} as revision {published.number}.")
