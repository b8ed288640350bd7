"""The audit app: what happened. Imports no other app."""

from __future__ import annotations

from django.apps import AppConfig, apps


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "History"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Here, not above: models cannot be imported before the app registry is filled.
        from django.contrib.auth import get_user_model
        from django.contrib.auth.models import Group

        from audit import grants
        from audit.tracking import track

        if apps.is_installed("axes"):  # else nobody can sign in to this process
            from audit import signins

            signins.connect()
        track(
            get_user_model(),
            ("username", "is_active", "is_staff", "is_superuser", "password"),
            verbs={"password": "password_changed"},
        )
        track(Group, ("name",))
        grants.connect()
