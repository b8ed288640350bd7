"""The quotas app: how much a caller may use."""

from __future__ import annotations

from django.apps import AppConfig


class QuotasConfig(AppConfig):
    name = "quotas"
    verbose_name = "Limits"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Here, not above: models cannot be imported before the app registry is filled.
        from audit.tracking import track
        from quotas import policies, sections
        from quotas.models import Plan, PlanMembership, RateLimit
        from routing.rows import LIMIT

        track(RateLimit, ["route", "consumer", "override", *LIMIT.fields], label="rate_limit")
        track(Plan, ["name", "description", "daily", "monthly"])
        track(PlanMembership, ["consumer", "plan"], label="plan_membership")
        sections.connect()
        policies.connect()
