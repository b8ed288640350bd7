"""The composition root as a Django app: its checks and its commands."""

from __future__ import annotations

from django.apps import AppConfig, apps
from django.db.models.signals import pre_migrate


class GatewayProjectConfig(AppConfig):
    """Registers the system checks of the settings, and how databases compare."""

    name = "gateway_project"

    def ready(self) -> None:
        """Importing the module registers its checks."""
        from gateway_project import checks  # noqa: F401 imported for its effect
        from gateway_project.databases import compare_exactly

        if apps.is_installed("django.contrib.contenttypes"):
            # Sent once for each app before the first migration; one of them is enough.
            pre_migrate.connect(compare_exactly, sender=apps.get_app_config("contenttypes"))
