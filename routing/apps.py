"""The routing app: where a request goes."""

from __future__ import annotations

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"
    verbose_name = "Routing"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Here, not above: models cannot be imported before the app registry is filled.
        from audit.tracking import track
        from routing import models, publishing, rows

        track(models.Service, rows.SERVICE.fields)
        track(models.ServiceInstance, ["service", *rows.INSTANCE.fields], label="instance")
        track(models.Route, [*rows.ROUTE.fields, "service"])
        publishing.connect()
