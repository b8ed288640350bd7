"""``manage.py serve``: the production entry point."""

from __future__ import annotations

import logging
import ssl
from typing import Any

from django.conf import settings as django_settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor

from gateway_project import serving
from gateway_project.control_plane import ControlPlane
from gateway_project.env import Settings
from gateway_project.launching import add_serve_options

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Serves the gateway. ``launching.prepare`` has already turned the options into settings."""

    help = "Serve the gateway: data plane, admin and API."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """No abbreviated options: what reads them before Django does knows whole ones."""
        return super().create_parser(prog_name, subcommand, allow_abbrev=False, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        """Options of CONTRACT section 1."""
        add_serve_options(parser)
        parser.add_argument("--reload", action="store_true", help="restart when code changes")
        parser.add_argument("--init-db", action="store_true", help="migrate the database first")
        parser.add_argument("--tls-cert", metavar="FILE", help="PEM certificate chain")
        parser.add_argument("--tls-key", metavar="FILE", help="PEM key of the certificate")

    def handle(self, *_: Any, **options: Any) -> None:
        """Refuse what cannot work, then serve until a signal comes."""
        settings: Settings = django_settings.GATEWAY
        if reason := serving.refusal(settings):
            raise CommandError(reason)
        tls = _tls(options["tls_cert"], options["tls_key"])
        if options["init_db"]:
            call_command("migrate", interactive=False, verbosity=options["verbosity"])
        _refuse_pending_migrations()
        serving.try_ports(settings)
        connections.close_all()
        serving.serve_metrics(settings)
        config = serving.server_config(settings, reload=options["reload"], tls=tls)
        serving.serve(config, ControlPlane(settings.admin_port))


def _tls(certificate: str | None, key: str | None) -> serving.Tls | None:
    if certificate and key:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
                certificate, key, password=""
            )
        except OSError as error:
            raise CommandError(
                f"--tls-cert {certificate} --tls-key {key}: PEM files of a certificate chain and "
                f"its unencrypted key ({error.strerror or error})"
            ) from None
        return serving.Tls(certificate, key)
    if certificate or key:
        raise CommandError("--tls-cert and --tls-key belong together")
    return None


def _refuse_pending_migrations() -> None:
    try:
        executor = MigrationExecutor(connections["default"])
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        # A node serves from its last good document while the database is away.
        logger.warning("the database did not answer, starting without it: %s", error)
        return
    if plan:
        raise CommandError(
            f"{len(plan)} migrations are not applied. "
            "Run `python manage.py migrate` or add --init-db."
        )
