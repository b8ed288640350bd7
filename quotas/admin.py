"""Limits and plans in the admin: inside their route or consumer, and as lists."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from keys.admin import ConsumerAdmin
from quotas import usage_admin
from quotas.models import Plan, PlanMembership, RateLimit, RateLimitRecord, RateLimitRollup
from routing.admin import RouteAdmin
from runtime.console import ByName, ModelAdmin, TabularInline


class RouteLimitInline(TabularInline):
    model = RateLimit
    fields = ("limit", "per", "burst", "by", "cost", "mode", "on_store_failure")
    extra = 0
    hide_title = True


class ConsumerLimitInline(TabularInline):
    model = RateLimit
    fields = ("limit", "per", "burst", "by", "cost", "mode", "on_store_failure", "override")
    extra = 0
    hide_title = True


class PlanMembershipInline(TabularInline):
    model = PlanMembership
    fields = ("plan",)
    extra = 0
    hide_title = True


class MemberInline(TabularInline):
    model = PlanMembership
    fields = ("consumer",)
    autocomplete_fields = ("consumer",)
    extra = 0
    hide_title = True


# Routes and keys are lower floors and may not know of limits, so they add themselves to the pages.
RouteAdmin.inlines.append(RouteLimitInline)
ConsumerAdmin.inlines.extend([PlanMembershipInline, ConsumerLimitInline])


@admin.register(RateLimit)
class RateLimitAdmin(ModelAdmin):
    list_display = ("owner", "limit", "per", "burst", "by", "mode", "on_store_failure")
    list_editable = ("limit", "burst", "mode")
    list_filter = ("mode", "per", "on_store_failure", ("route", ByName))
    list_filter_submit = True
    list_select_related = ("route", "consumer")
    search_fields = ("route__name", "consumer__name", "by")
    autocomplete_fields = ("route", "consumer")

    @admin.display(description="of", ordering="route")
    def owner(self, obj: RateLimit) -> str:
        """Whose requests it counts."""
        if obj.consumer:
            return f"consumer {obj.consumer}{' (override)' if obj.override else ''}"
        return f"route {obj.route}" if obj.route else "everybody, all routes together"


@admin.register(Plan)
class PlanAdmin(ModelAdmin):
    list_display = ("name", "daily", "monthly", "consumers", "description")
    list_editable = ("daily", "monthly")
    search_fields = ("name", "description")
    inlines = [MemberInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        rows: QuerySet[Plan] = super().get_queryset(request)
        return rows.annotate(members=Count("memberships"))

    @admin.display(ordering="members")
    def consumers(self, obj: Plan) -> int:
        """How many are in it."""
        return int(getattr(obj, "members", 0))


admin.site.register(RateLimitRecord, usage_admin.RecordAdmin)
admin.site.register(RateLimitRollup, usage_admin.UsageAdmin)
