"""The proxying app: the journey there and back."""

from __future__ import annotations

from django.apps import AppConfig


class ProxyingConfig(AppConfig):
    name = "proxying"
    verbose_name = "Health"
    default_auto_field = "django.db.models.BigAutoField"
