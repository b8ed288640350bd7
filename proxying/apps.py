"""The proxying app: the journey there and back."""

from __future__ import annotations

from django.apps import AppConfig


class ProxyingConfig(AppConfig):
    name = "proxying"
    verbose_name = "Health"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Here, not above: models cannot be imported before the app registry is filled.
        from audit.tracking import track
        from proxying import orders
        from proxying.models import BreakerOverride

        track(BreakerOverride, ("service", "instance", "action", "until"), label="breaker")
        orders.connect()
