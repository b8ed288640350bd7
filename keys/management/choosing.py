"""How commands are told which API key is meant."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError

from keys.digest import PREFIX_LENGTH
from keys.models import ApiKey


def add_key_argument(parser: ArgumentParser) -> None:
    """The argument ``key``."""
    parser.add_argument(
        "key", help=f"prefix (the first {PREFIX_LENGTH} characters) or number of the key"
    )


def chosen(text: str) -> ApiKey:
    """The key that is meant. Raises CommandError, which never repeats a whole key."""
    try:
        return ApiKey.objects.select_related("consumer").called(text)
    except ApiKey.DoesNotExist as error:
        shown = text[:PREFIX_LENGTH]
        raise CommandError(f"no API key has the prefix or number {shown!r}") from error
    except ApiKey.MultipleObjectsReturned as error:
        raise CommandError(f"several API keys are called {text!r}: give the number") from error
