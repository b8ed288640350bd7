"""The keys app: who is calling."""

from __future__ import annotations

from django.apps import AppConfig


class KeysConfig(AppConfig):
    name = "keys"
    verbose_name = "Callers"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Here, not above: models cannot be imported before the app registry is filled.
        from audit.tracking import track
        from keys import signals
        from keys.models import ApiKey, Consumer

        track(Consumer, signals.CONSUMER_FIELDS)
        track(ApiKey, signals.API_KEY_FIELDS, label="key", verbs=signals.API_KEY_VERBS)
        signals.connect()
