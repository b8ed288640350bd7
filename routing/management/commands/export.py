"""``export``: the live configuration in the form ``apply`` takes (CONTRACT §1)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from routing import files
from routing.errors import ConfigurationError
from routing.reading import compile_rows


class Command(BaseCommand):
    """Standard output is the document and nothing else."""

    help = "Write services and routes as YAML or JSON, as `apply` takes them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=("yaml", "json"), default="yaml")

    def handle(self, *_: Any, **options: Any) -> None:
        try:
            document = compile_rows(strict=True).document
        except ConfigurationError as error:
            raise CommandError(str(error)) from None
        dump = files.dump_json if options["format"] == "json" else files.dump_yaml
        self.stdout.write(dump(document), ending="")
