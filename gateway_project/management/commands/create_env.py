"""``manage.py create_env``: write a commented settings file with random secrets."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from gateway_project import env_files
from gateway_project.declaring import SettingsError


class Command(BaseCommand):
    """Runs without settings; ``launching`` sees to it."""

    help = "Write a .env file made from the declarations. Never overwrites one."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Which file, for which way of deployment."""
        parser.add_argument("--env", default="default", metavar="NAME", help="default, dev or prod")
        parser.add_argument("--deployment-mode", choices=("single", "cluster"), default="single")
        parser.add_argument(
            "--markdown", action="store_true", help="print docs/settings.md instead"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Write the file, readable by its owner alone."""
        if options["markdown"]:
            self.stdout.write(env_files.markdown(), ending="")
            return
        try:
            environment = env_files.environment_named(options["env"])
            path = env_files.create(environment, options["deployment_mode"])
        except SettingsError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"wrote {path}")
