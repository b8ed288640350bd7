"""The composition root as a Django app: its checks and its commands."""

from __future__ import annotations

from django.apps import AppConfig


class GatewayProjectConfig(AppConfig):
    """Registers the system checks of the settings."""

    name = "gateway_project"

    def ready(self) -> None:
        """Importing the module registers its checks."""
        from gateway_project import checks  # noqa: F401 imported for its effect
