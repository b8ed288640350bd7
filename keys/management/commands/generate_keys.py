"""``manage.py generate_keys``: a new key pair to sign tokens with, and an end for old ones.

Leans on :mod:`keys.key_ring`, which says what the files mean.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import Error

from audit.recorder import acting_as, record
from keys.durations import parse_duration
from keys.issuers import ASYMMETRIC
from keys.key_pairs import StoredKey, store_key, stored_keys, superseded
from keys.key_ring import CACHED_SECONDS, directory_of
from keys.signing_keys import PrivateKey, generate_rsa_key_pair, load_private_key

_ACTOR: Final = "generate_keys"


class Command(BaseCommand):
    """Makes one key pair, or retires old ones."""

    help = "Generate a key pair that signs tokens; older ones go on verifying until retired."
    requires_system_checks = []  # one of them says that this command must be run

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--algorithm",
            choices=sorted(ASYMMETRIC),
            help="what the key is for (default: JWT_ALGORITHM, or ES256 if that is a secret's)",
        )
        parser.add_argument(
            "--now",
            action="store_true",
            help="sign with it at once: caches of the key set may not know it for "
            f"{CACHED_SECONDS} seconds (default: it signs after that time)",
        )
        parser.add_argument(
            "--retire-after",
            metavar="TIME",
            help="make no key; remove those that a newer one replaced this long ago: 12h, 30d",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        directory = directory_of(settings.GATEWAY)
        with acting_as(_ACTOR, "command"):
            if options["retire_after"] is not None:
                self._retire(directory, options["retire_after"])
            else:
                self._generate(directory, options["algorithm"], at_once=options["now"])
        if settings.GATEWAY.jwt_private_key or settings.GATEWAY.jwt_public_key:
            self.stderr.write("JWT_PRIVATE_KEY or JWT_PUBLIC_KEY is set: these files are not used.")

    def _generate(self, directory: Path, asked: str | None, *, at_once: bool) -> None:
        configured = settings.GATEWAY.jwt_algorithm
        algorithm = asked or (configured if configured in ASYMMETRIC else "ES256")
        others = [key for key in stored_keys(directory) if key.signing.algorithm == algorithm]
        signs_from = time.time() if at_once or not others else time.time() + CACHED_SECONDS
        stored = store_key(directory, _generated(algorithm), signs_from)
        self._record("signing_key.created", stored)
        moment = datetime.fromtimestamp(stored.signs_from, UTC).isoformat()
        self.stderr.write(f"{algorithm} key in {stored.path}; it signs from {moment}")
        if algorithm != configured:
            self.stderr.write(f"JWT_ALGORITHM is {configured}: set it to {algorithm} to use it.")
        self.stdout.write(stored.signing.kid)

    def _retire(self, directory: Path, text: str) -> None:
        try:
            age = parse_duration(text)
        except ValueError as error:
            raise CommandError(f"--retire-after {error}") from error
        needed = timedelta(minutes=settings.GATEWAY.jwt_expiration_minutes)
        if age < needed:
            raise CommandError(f"--retire-after {text}: tokens live {needed}; not sooner than that")
        keys = stored_keys(directory)
        before = time.time() - age.total_seconds()
        for key in superseded(keys, settings.GATEWAY.jwt_algorithm, before):
            key.path.unlink()
            self._record("signing_key.retired", key)
            self.stdout.write(key.signing.kid)

    def _record(self, action: str, key: StoredKey) -> None:
        """A key must be made, or taken away, before there are tables and while there are none."""
        try:
            record(
                action,
                object_type="signing_key",
                object_name=key.signing.kid,
                changes={"algorithm": key.signing.algorithm, "signs_from": key.signs_from},
            )
        except Error as error:
            self.stderr.write(f"This could not be written to the audit log: {error}")


def _generated(algorithm: str) -> PrivateKey:
    if algorithm == "RS256":
        return load_private_key(generate_rsa_key_pair()[0])
    return generate_ec(SECP256R1()) if algorithm == "ES256" else Ed25519PrivateKey.generate()
