"""``publish``: publish the rows as they are, for PUBLISH=manual and after raw SQL."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from routing import revision
from routing.operator_name import operator_name


class Command(BaseCommand):
    """Does nothing when the rows are what is published already."""

    help = "Publish services and routes as they are now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--comment", default="", help="why, in a few words")

    def handle(self, *_: Any, **options: Any) -> None:
        published = revision.publish("command", operator_name(), options["comment"])
        if published is None:
            self.stdout.write("Nothing to publish.")
            return
        self.stdout.write(f"Published revision {published.number}.")
        if published.faults:
            self.stderr.write(f"{published.faults} objects do not compile and are closed.")
