"""``revisions``: what was published, newest first (CONTRACT §1)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from routing.models import Revision
from routing.reading import database
from routing.revision import current


class Command(BaseCommand):
    """One line a revision; ``*`` marks the current one."""

    help = "List published revisions, newest first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--limit", type=int, default=20, help="how many (default 20)")

    def handle(self, *_: Any, **options: Any) -> None:
        serving = current()
        stored = Revision.objects.using(database()).defer("document").order_by("-number")
        listed = stored[: max(options["limit"], 0)]
        for one in listed:
            mark = "*" if serving is not None and one.number == serving.number else " "
            at = one.created_at.strftime("%Y-%m-%d %H:%M:%S")
            faults = f"{one.faults} faulty" if one.faults else ""
            parts = (one.sha256[:12], at, one.source, one.created_by or "-", faults, one.comment)
            self.stdout.write(
                f"{mark} {one.number:>5}  {'  '.join(part for part in parts if part)}"
            )
        if (more := stored.count() - len(listed)) > 0:
            self.stderr.write(f"{more} older ones are kept too; --limit N lists more.")
