"""``manage.py audit verify`` and ``manage.py audit prune --before DATE``."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from audit import verification
from audit.recorder import acting_as, record


class Command(BaseCommand):
    """Exit 0: the log is whole. 1: it is not, or the request was refused."""

    help = "Check that the audit log is whole, or take old entries away."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="what", required=True, metavar="verify|prune")
        commands.add_parser("verify", help="read every node's chain and name what does not fit")
        prune = commands.add_parser("prune", help="take old entries away; the rest still verifies")
        prune.add_argument(
            "--before", required=True, metavar="DATE", help="2026-01-31 or 2026-01-31T12:00, UTC"
        )
        prune.add_argument("--force", action="store_true", help="also when the log does not verify")

    def handle(self, *_: Any, **options: Any) -> None:
        if options["what"] == "prune":
            self._prune(_moment(options["before"]), force=options["force"])
        else:
            self._verify()

    def _verify(self) -> None:
        faults = 0
        for report in verification.verify():
            end = "whole" if not report.faults else f"{len(report.faults)} faults"
            self.stdout.write(f"{report.node}: {report.entries} entries, {end}")
            for fault in report.faults:
                self.stdout.write(f"{report.node}: {fault}")
            faults += len(report.faults)
        if faults:
            raise CommandError(f"the audit log is not what was written: {faults} faults")

    def _prune(self, before: datetime, *, force: bool) -> None:
        if not force and any(report.faults for report in verification.verify()):
            raise CommandError(
                "the audit log does not verify, and pruning would hide that. "
                "Look at `audit verify`; --force prunes all the same."
            )
        removed = verification.prune(before)
        with acting_as("audit prune", "command"), transaction.atomic():
            changes = {"before": before, "removed": removed, "forced": force}
            record("audit.pruned", object_type="audit", changes=changes)
        for node, number in removed.items():
            self.stdout.write(f"{node}: {number} entries taken away")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--before {text}: a date (2026-01-31) or date and time") from error
    moment = moment if timezone.is_aware(moment) else moment.replace(tzinfo=UTC)
    if moment > timezone.now():
        raise CommandError(f"--before {text}: this is in the future")
    return moment
