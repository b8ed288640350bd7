"""Limits in the admin: inside their route, as one list, and what they allowed and refused."""

from __future__ import annotations

from django.contrib import admin

from quotas.models import RateLimit, RateLimitRecord
from routing.admin import RouteAdmin
from runtime.console import ModelAdmin, ReadOnlyAdmin, TabularInline


class RateLimitInline(TabularInline):
    model = RateLimit
    fields = ("limit", "per", "burst", "by", "mode", "on_store_failure")
    extra = 0


# Routing is the lower floor and may not know of limits, so they add themselves to its page.
RouteAdmin.inlines.append(RateLimitInline)


@admin.register(RateLimit)
class RateLimitAdmin(ModelAdmin):
    list_display = ("route", "limit", "per", "burst", "by", "mode", "on_store_failure")
    list_editable = ("limit", "burst", "mode")
    list_filter = ("mode", "per", "on_store_failure", "route")
    list_select_related = ("route",)
    search_fields = ("route__name", "by")
    autocomplete_fields = ("route",)


@admin.register(RateLimitRecord)
class RateLimitRecordAdmin(ReadOnlyAdmin):
    list_display = (
        "window_start",
        "window_type",
        "identifier",
        "route",
        "node",
        "allowed",
        "refused",
        "would_refuse",
        "last_at",
    )
    list_filter = ("window_type", "route")
    search_fields = ("identifier", "route")
    date_hierarchy = "window_start"
