"""Health in the admin: what workers and nodes report, how old it is, and orders to breakers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.timesince import timesince

from proxying.models import BreakerOverride, BreakerState, InstanceHealth
from runtime.console import ModelAdmin, ReadOnlyAdmin, labelled

_FORCED_MINUTES = 10
_UNKNOWN_AFTER = timedelta(minutes=2)
"""An older check is of a node that is gone, or that cannot write."""


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
    actions = ["force_open", "force_closed", "reset"]

    @labelled(
        {"closed": "success", "open": "danger", "half open": "warning"},
        description="state",
        ordering="state",
    )
    def shown_state(self, breaker: BreakerState) -> str:
        return breaker.get_state_display()

    @admin.display(description="reported", ordering="reported_at")
    def report_age(self, breaker: BreakerState) -> str:
        return _age(breaker.reported_at)

    def has_order_permission(self, request: HttpRequest) -> bool:
        """Whoever may add an order may give one from here."""
        return request.user.has_perm("proxying.add_breakeroverride")

    @admin.action(description=f"Force open for {_FORCED_MINUTES} minutes", permissions=["order"])
    def force_open(self, request: HttpRequest, queryset: QuerySet[BreakerState]) -> None:
        self._order(request, queryset, BreakerOverride.Action.OPEN)

    @admin.action(description=f"Force closed for {_FORCED_MINUTES} minutes", permissions=["order"])
    def force_closed(self, request: HttpRequest, queryset: QuerySet[BreakerState]) -> None:
        self._order(request, queryset, BreakerOverride.Action.CLOSED)

    @admin.action(description="Reset", permissions=["order"])
    def reset(self, request: HttpRequest, queryset: QuerySet[BreakerState]) -> None:
        self._order(request, queryset, BreakerOverride.Action.RESET)

    def _order(
        self,
        request: HttpRequest,
        queryset: QuerySet[BreakerState],
        action: BreakerOverride.Action,
    ) -> None:
        until = None
        if action != BreakerOverride.Action.RESET:
            until = timezone.now() + timedelta(minutes=_FORCED_MINUTES)
        keys = set(queryset.values_list("service", "instance"))
        for service, instance in sorted(keys):
            row = BreakerOverride.objects.filter(service=service, instance=instance).first()
            row = row or BreakerOverride(service=service, instance=instance)
            row.order(action, until)
        told = f"{action.label.capitalize()}: {len(keys)}. Workers follow within a second."
        self.message_user(request, told, messages.SUCCESS)


@admin.register(BreakerOverride)
class BreakerOverrideAdmin(ModelAdmin):
    """Orders to breakers; deleting one gives the breaker back to what it sees."""

    list_display = ("service", "shown_instance", "action", "until", "ordered_at")
    list_filter = ("action", "service")
    search_fields = ("service", "instance")
    fields = (("service", "instance"), "action", "until")

    @admin.display(description="instance", ordering="instance")
    def shown_instance(self, row: BreakerOverride) -> str:
        return row.instance or "the whole service"

    def save_model(
        self, request: HttpRequest, obj: BreakerOverride, form: Any, change: Any
    ) -> None:
        obj.order(obj.action, obj.until)


@admin.register(InstanceHealth)
class InstanceHealthAdmin(ReadOnlyAdmin):
    list_display = (
        "service",
        "instance",
        "node",
        "shown_health",
        "reason",
        "changed_at",
        "check_age",
    )
    list_filter = ("healthy", "service", "node")
    search_fields = ("service", "instance", "node", "reason")

    @labelled(
        {"well": "success", "not well": "danger", "unknown": "warning"},
        description="health",
        ordering="healthy",
    )
    def shown_health(self, row: InstanceHealth) -> str:
        if timezone.now() - row.checked_at > _UNKNOWN_AFTER:
            return "unknown"
        return "well" if row.healthy else "not well"

    @admin.display(description="checked", ordering="checked_at")
    def check_age(self, row: InstanceHealth) -> str:
        return _age(row.checked_at)


def _age(moment: datetime) -> str:
    now = timezone.now()
    seconds = (now - moment).total_seconds()
    return f"{max(0, int(seconds))} s ago" if seconds < 60 else f"{timesince(moment, now)} ago"
