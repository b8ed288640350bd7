"""The composition root as a Django app: its checks and its commands."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.core.checks import register
from django.db.models.signals import pre_migrate


class GatewayProjectConfig(AppConfig):
    """Registers the system checks of the settings, and how databases compare."""

    name = "gateway_project"

    def ready(self) -> None:
        """What needs the settings is imported here: they are complete by now."""
        from gateway_project.checks import check_settings
        from gateway_project.databases import compare_exactly

        register(check_settings, "gateway")
        if apps.is_installed("django.contrib.contenttypes"):
            # Sent once for each app before the first migration; one of them is enough.
            pre_migrate.connect(compare_exactly, sender=apps.get_app_config("contenttypes"))
