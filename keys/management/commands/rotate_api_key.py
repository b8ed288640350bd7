"""``manage.py rotate_api_key``: a new key in place of an old one, which works a while longer.

The new key goes to standard output, alone on its line (or in JSON), once; remarks go to standard
error.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from audit.recorder import acting_as
from keys.durations import parse_duration
from keys.management.choosing import add_key_argument, chosen

_ACTOR = "rotate_api_key"


class Command(BaseCommand):
    """Replaces one API key and prints the new one."""

    help = "Issue a key in place of another, which works until its grace ends; print it once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_key_argument(parser)
        parser.add_argument(
            "--grace",
            default="24h",
            metavar="TIME",
            help="how long the old key still works: a number and s, m, h, d or w (default 24h)",
        )
        parser.add_argument("--json", action="store_true", help="print everything as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        grace = _grace(options["grace"])
        old = chosen(options["key"])
        try:
            with acting_as(_ACTOR, "command"):
                new, generated = old.rotate(grace, _ACTOR)
        except ValidationError as error:
            raise CommandError(f"{old}: {error.message}") from error
        ends = old.grace_until.isoformat() if old.grace_until else None
        if options["json"]:
            facts = {
                "key": generated.text,
                "prefix": new.prefix,
                "consumer": new.consumer.name,
                "name": new.name,
                "replaces": old.prefix,
                "grace_until": ends,
            }
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
        else:
            self.stderr.write(f"New key for {new.consumer.name}; {old} works until {ends}:")
            self.stdout.write(generated.text)


def _grace(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise CommandError(f"--grace {error}") from error
