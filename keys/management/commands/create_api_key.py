"""``manage.py create_api_key``: a new key for a consumer, which is created if it is missing.

The key goes to standard output, alone on its line (or in JSON), once; remarks go to standard
error. Leans on the models for saving and on ``audit`` for the record of who did it.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from audit.recorder import acting_as
from keys.digest import GeneratedKey
from keys.durations import parse_duration
from keys.models import ApiKey, Consumer
from runtime.transactions import repeated

_ACTOR = "create_api_key"


class Command(BaseCommand):
    """Makes one API key and prints it."""

    help = "Create an API key for a consumer (created if missing) and print it once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("consumer", help="name of the consumer")
        parser.add_argument("--name", default="", help="what the key is for")
        parser.add_argument("--roles", default="", help="roles, separated by commas")
        parser.add_argument("--permissions", default="", help="permissions, separated by commas")
        parser.add_argument(
            "--allowed-routes", default="", help="names of the routes it is good for; all if none"
        )
        parser.add_argument(
            "--allowed-networks", default="", help="networks it may come from (CIDR); all if none"
        )
        parser.add_argument(
            "--expires-in", metavar="TIME", help="a number and s, m, h, d or w: 90s, 12h, 30d, 4w"
        )
        parser.add_argument("--json", action="store_true", help="print everything as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        expires_at = _moment(options["expires_in"])
        try:
            key, generated = _create(options, expires_at)
        except ValidationError as error:
            raise CommandError("\n".join(_sentences(error))) from error
        if not key.consumer.enabled:
            self.stderr.write("The consumer is disabled: the key is refused until it is enabled.")
        if options["json"]:
            self.stdout.write(json.dumps(_facts(key, generated), ensure_ascii=False))
        else:
            self.stderr.write(f"API key for {key.consumer.name}; it is not shown again:")
            self.stdout.write(generated.text)


@repeated
def _create(options: dict[str, Any], expires_at: datetime | None) -> tuple[ApiKey, GeneratedKey]:
    with acting_as(_ACTOR, "command"), transaction.atomic():
        return _created(options, expires_at)


def _created(options: dict[str, Any], expires_at: datetime | None) -> tuple[ApiKey, GeneratedKey]:
    name = options["consumer"]
    consumer = Consumer.objects.filter(name=name).first()
    if consumer is None:
        consumer = Consumer(name=name)
        try:
            consumer.full_clean()
        except ValidationError as error:
            # "name" is what the key is called.
            raise ValidationError({"consumer": error.messages}) from error
        consumer.save()
    fields = {
        "name": options["name"],
        "roles": _items(options["roles"]),
        "permissions": _items(options["permissions"]),
        "allowed_routes": _items(options["allowed_routes"]),
        "allowed_networks": _items(options["allowed_networks"]),
        "expires_at": expires_at,
        "created_by": _ACTOR,
    }
    ApiKey(consumer=consumer, **fields).full_clean(exclude=["prefix", "digest"])
    return ApiKey.objects.issue(consumer, **fields)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        duration = parse_duration(text)
        moment = timezone.now() + duration
    except (ValueError, OverflowError) as error:
        raise CommandError(f"--expires-in {error}") from error
    if not duration:
        raise CommandError(f"--expires-in {text}: more than nothing is needed")
    return moment


def _sentences(error: ValidationError) -> list[str]:
    return [
        f"{field}: {message}"
        for field, messages in error.message_dict.items()
        for message in messages
    ]


def _facts(key: ApiKey, generated: GeneratedKey) -> dict[str, Any]:
    return {
        "key": generated.text,
        "prefix": generated.prefix,
        "consumer": key.consumer.name,
        "name": key.name,
        "roles": key.roles,
        "permissions": key.permissions,
        "allowed_routes": key.allowed_routes,
        "allowed_networks": key.allowed_networks,
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
