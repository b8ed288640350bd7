"""``apply FILE…``: make the configuration that of YAML files (CONTRACT §1)."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing import files, revision
from routing.difference import Action, Diff
from routing.errors import ConfigurationError, Fault
from routing.operator_name import operator_name


class Command(BaseCommand):
    """Exit 0: applied, or nothing to do. 1: refused, nothing changed. 2: a dry run with changes."""

    help = "Make services and routes those of YAML files, in one transaction, and publish."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "files", nargs="+", type=Path, metavar="FILE", help="- is standard input"
        )
        parser.add_argument("--dry-run", action="store_true", help="only show what would change")
        parser.add_argument(
            "--prune", action="store_true", help="remove services and routes not in the files"
        )
        parser.add_argument("--format", choices=("text", "json"), default="text")

    def handle(self, *_: Any, **options: Any) -> None:
        dry_run = options["dry_run"]
        try:
            diff = revision.apply(
                files.read_files(options["files"]),
                prune=options["prune"],
                dry_run=dry_run,
                actor=operator_name(),
                source="command",
                comment="apply " + " ".join(path.name for path in options["files"]),
            )
        except ConfigurationError as error:
            if options["format"] == "json":
                self.stdout.write(_faults_as_json(error))
            raise CommandError(str(error)) from None
        for fault in diff.warnings:
            self.stderr.write(f"Warning: {fault}")
        self.stdout.write(_as_json(diff) if options["format"] == "json" else _as_text(diff))
        if dry_run and diff:
            raise SystemExit(2)


def _as_json(diff: Diff) -> str:
    changes = [change.as_data() for change in diff.changes]
    warnings = _listed(diff.warnings)
    return json.dumps(
        {"revision": diff.revision, "changes": changes, "warnings": warnings}, indent=2
    )


def _faults_as_json(error: ConfigurationError) -> str:
    faults = _listed(error.faults)
    return json.dumps({"revision": None, "changes": [], "errors": faults}, indent=2)


def _listed(faults: Iterable[Fault]) -> list[dict[str, str]]:
    return [{"file": one.file, "path": one.place, "reason": one.reason} for one in faults]


def _as_text(diff: Diff) -> str:
    if not diff:
        ending = f" Published revision {diff.revision}." if diff.revision else ""
        return f"No changes.{ending}"
    counts = ", ".join(
        f"{number} {action.name.lower()}"
        for action in Action
        if (number := sum(change.action is action for change in diff.changes))
    )
    ending = f"published revision {diff.revision}" if diff.revision else "nothing was published"
    return f"{diff.as_text()}{counts}; {ending}."
