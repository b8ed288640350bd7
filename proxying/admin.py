"""Breakers in the admin: the state each worker reported, and how old the report is."""

from __future__ import annotations

from django.contrib import admin
from django.utils import timezone
from django.utils.timesince import timesince

from proxying.models import BreakerState
from runtime.console import ReadOnlyAdmin, labelled


@admin.register(BreakerState)
class BreakerStateAdmin(ReadOnlyAdmin):
    list_display = (
        "service",
        "instance",
        "node",
        "shown_state",
        "failures",
        "reason",
        "changed_at",
        "report_age",
    )
    list_filter = ("state", "service", "node")
    search_fields = ("service", "instance", "node", "reason")

    @labelled(
        {"closed": "success", "open": "danger", "half open": "warning"},
        description="state",
        ordering="state",
    )
    def shown_state(self, breaker: BreakerState) -> str:
        return breaker.get_state_display()

    @admin.display(description="reported", ordering="reported_at")
    def report_age(self, breaker: BreakerState) -> str:
        return f"{timesince(breaker.reported_at, timezone.now())} ago"
