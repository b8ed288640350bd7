"""Routing in the admin: services with their instances, routes, and published revisions.

Saving a row runs its ``clean()``, which compiles it: what a worker would not take is refused in
the form. Publishing is not done here; it follows every commit that changed a row.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.options import InlineModelAdmin
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.forms import BaseInlineFormSet, ModelForm
from django.forms.formsets import DELETION_FIELD_NAME
from django.http import HttpRequest

from routing import revision
from routing.document import ServiceSpec
from routing.errors import ConfigurationError
from routing.models import Revision, RevisionHead, Route, Service, ServiceInstance
from routing.overlaps import unreachable
from routing.table import compile_service
from runtime.console import (
    LISTS_AS_TEXT,
    ByName,
    ModelAdmin,
    OpenedAdmin,
    ReadOnlyAdmin,
    SwitchedAdmin,
    TabularInline,
    as_json,
)

if TYPE_CHECKING:
    _InstanceFormSet = BaseInlineFormSet[ServiceInstance, Service, ModelForm[ServiceInstance]]
else:
    _InstanceFormSet = BaseInlineFormSet

_PLACE = re.compile(r"\[(\d+)\]")
_COLLAPSED = ("collapse",)


class InstanceFormSet(_InstanceFormSet):
    """Compiles the instances together: two spellings of one address are one address."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        kept = [form for form in self.forms if form.cleaned_data and not self._is_deleted(form)]
        specs = tuple(form.instance.to_spec() for form in kept)
        try:
            compile_service("any", ServiceSpec(instances=specs))
        except ConfigurationError as error:
            for fault in error.faults:
                place = int(_PLACE.findall(fault.field)[0])
                kept[place].add_error("url", fault.reason)

    def _is_deleted(self, form: ModelForm[ServiceInstance]) -> bool:
        return bool(form.cleaned_data.get(DELETION_FIELD_NAME))


class ServiceInstanceInline(TabularInline):
    model = ServiceInstance
    formset = InstanceFormSet
    fields = ("url", "weight", "healthy")
    extra = 0
    hide_title = True


@admin.register(Service)
class ServiceAdmin(OpenedAdmin):
    # Said here too: the model's own order does not reach rows that are counted over.
    ordering = ("name",)
    list_display = (
        "name",
        "balancer",
        "instance_count",
        "route_count",
        "breaker_enabled",
        "health_check_enabled",
    )
    list_filter = ("balancer", "breaker_enabled", "health_check_enabled")
    search_fields = ("name", "instances__url")
    inlines = [ServiceInstanceInline]
    formfield_overrides = LISTS_AS_TEXT
    warn_unsaved_form = True
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    ("balancer", "hash_by"),
                    ("sticky_cookie", "slow_start"),
                    "signed_identity",
                )
            },
        ),
        (
            "Timeouts",
            {
                "fields": (
                    ("connect_timeout", "first_byte_timeout"),
                    ("read_timeout", "total_timeout"),
                ),
                "description": "All in seconds.",
            },
        ),
        (
            "Connection",
            {
                "classes": _COLLAPSED,
                "fields": (
                    "transport",
                    ("tls_server_name", "tls_verify"),
                    "tls_ca_file",
                    ("tls_client_cert", "tls_client_key"),
                ),
                "description": "How instances are spoken to. TLS is for https URLs; files are PEM, "
                "on every node, by absolute path.",
            },
        ),
        (
            "Retries",
            {
                "classes": _COLLAPSED,
                "fields": (
                    ("retry_attempts", "retry_budget"),
                    ("retry_backoff", "retry_max_backoff"),
                    ("retry_on", "retry_methods"),
                    ("retry_idempotency_key", "retry_hedge_after"),
                ),
                "description": "When a request is sent again, each time to another instance. "
                "Lists are written with commas or one item a line.",
            },
        ),
        (
            "Circuit breaker",
            {
                "classes": _COLLAPSED,
                "fields": (
                    "breaker_enabled",
                    ("breaker_scope", "breaker_failures"),
                    ("breaker_failure_threshold", "breaker_failure_ratio"),
                    ("breaker_min_requests", "breaker_window"),
                    ("breaker_slow_seconds", "breaker_slow_ratio"),
                    ("breaker_recovery", "breaker_half_open_requests"),
                    ("ejection_max_share", "ejection_when_all"),
                ),
                "description": "When a failing instance is left alone, and for how long. "
                "Workers tell each other what they see.",
            },
        ),
        (
            "Health check",
            {
                "classes": _COLLAPSED,
                "fields": (
                    "health_check_enabled",
                    ("health_check_type", "health_check_path"),
                    "health_check_expect",
                    ("health_check_interval", "health_check_timeout"),
                    ("health_check_unhealthy_after", "health_check_healthy_after"),
                ),
                "description": "Regular questions to each instance. Times in seconds.",
            },
        ),
        (
            "Overload",
            {
                "classes": _COLLAPSED,
                "fields": (
                    ("overload_max_requests", "overload_max_requests_per_instance"),
                    ("overload_max_queued", "overload_queue_timeout"),
                    ("overload_adaptive", "overload_tolerance"),
                ),
                "description": "What is more waits its turn, then gets 503 overloaded.",
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Service]:
        counted = {
            "instances_n": Count("instances", distinct=True),
            "routes_n": Count("routes", distinct=True),
        }
        queryset: QuerySet[Service] = super().get_queryset(request).annotate(**counted)
        return queryset

    def save_model(
        self, request: HttpRequest, obj: Service, form: ModelForm[Service], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        if not obj.tls_verify:
            self.message_user(
                request,
                f"The certificates of {obj} are not verified: whoever is on the way can read and "
                "change everything.",
                messages.WARNING,
            )

    @admin.display(description="instances", ordering="instances_n")
    def instance_count(self, service: Any) -> int:
        return int(service.instances_n)

    @admin.display(description="routes", ordering="routes_n")
    def route_count(self, service: Any) -> int:
        return int(service.routes_n)


@admin.register(ServiceInstance)
class ServiceInstanceAdmin(ModelAdmin):
    """All instances in one list, to drain or take out several at once."""

    list_display = ("url", "service", "weight", "healthy")
    list_editable = ("weight", "healthy")
    list_filter = ("healthy", ("service", ByName))
    list_filter_submit = True
    list_select_related = ("service",)
    search_fields = ("url", "service__name")
    autocomplete_fields = ("service",)


@admin.register(Route)
class RouteAdmin(SwitchedAdmin):
    list_display = (
        "name",
        "shown_methods",
        "shown_hosts",
        "path",
        "service",
        "shown_auth",
        "priority",
        "enabled",
    )
    list_editable = ("priority", "enabled")
    list_filter = ("enabled", "auth_required", ("service", ByName))
    list_filter_submit = True
    list_select_related = ("service",)
    search_fields = ("name", "path", "service__name")
    autocomplete_fields = ("service",)
    inlines: ClassVar[list[type[InlineModelAdmin[Any, Any]]]] = []
    formfield_overrides = LISTS_AS_TEXT
    warn_unsaved_form = True
    compressed_fields = True
    fieldsets = (
        (
            "Which requests",
            {
                "fields": ("name", ("path", "methods"), ("hosts", "priority"), "enabled"),
                "description": "Lists are written with commas or one item a line.",
            },
        ),
        ("Where to", {"fields": ("service", ("strip_prefix", "rewrite"))}),
        ("Who may", {"fields": ("auth_required", "auth_methods", "forward_authorization")}),
        (
            "Details",
            {
                "classes": _COLLAPSED,
                "fields": (("timeout", "max_body_bytes"), ("merge_slashes", "preserve_host")),
                "description": "Timeout in seconds, body in bytes.",
            },
        ),
    )

    def save_model(
        self, request: HttpRequest, obj: Route, form: ModelForm[Route], change: bool
    ) -> None:
        super().save_model(request, obj, form, change)
        for overlap in unreachable(Route.objects.what_is_matched()):
            if obj.name in (overlap.route, overlap.winner):
                self.message_user(request, f"{overlap.route} {overlap}.", messages.WARNING)

    @admin.display(description="methods")
    def shown_methods(self, route: Route) -> str:
        return ", ".join(route.methods) or "any"

    @admin.display(description="hosts", ordering="hosts")
    def shown_hosts(self, route: Route) -> str:
        return ", ".join(route.hosts) or "any"

    @admin.display(description="authentication", ordering="auth_required")
    def shown_auth(self, route: Route) -> str:
        if not route.auth_required:
            return "public"
        return ", ".join(route.auth_methods) or "any"


@admin.register(Revision)
class RevisionAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        "is_current",
        "created_at",
        "created_by",
        "source",
        "comment",
        "faults",
        "short_sha256",
    )
    list_filter = ("source",)
    search_fields = ("=number", "created_by", "comment", "sha256")
    date_hierarchy = "created_at"
    actions = ["roll_back"]
    fields = (
        ("number", "is_current"),
        ("created_at", "created_by"),
        ("source", "faults"),
        "comment",
        "sha256",
        "shown_document",
    )
    readonly_fields = ("is_current", "shown_document")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Revision]:
        head = RevisionHead.objects.filter(number=OuterRef("number"))
        queryset: QuerySet[Revision] = super().get_queryset(request)
        # A document may be megabytes, and a list shows none.
        return queryset.defer("document").annotate(current=Exists(head))

    @admin.display(description="current", boolean=True)
    def is_current(self, row: Any) -> bool:
        return bool(row.current)

    @admin.display(description="SHA-256")
    def short_sha256(self, row: Revision) -> str:
        return row.sha256[:12]

    @admin.display(description="document")
    def shown_document(self, row: Revision) -> str:
        return as_json(json.loads(row.document))

    def has_rollback_permission(self, request: HttpRequest) -> bool:
        """Rolling back writes every kind of configuration row; one permission stands for it."""
        return request.user.has_perm("routing.change_revision")

    @admin.action(description="Roll back to this revision", permissions=["rollback"])
    def roll_back(self, request: HttpRequest, queryset: QuerySet[Revision]) -> None:
        numbers = list(queryset.values_list("number", flat=True))
        if len(numbers) != 1:
            self.message_user(request, "Select exactly one revision.", messages.ERROR)
            return
        try:
            revision.rollback(numbers[0], request.user.get_username())
        except ConfigurationError as error:
            self.message_user(request, f"Nothing was changed. {error}", messages.ERROR)
        else:
            self.message_user(request, f"Rolled back to revision {numbers[0]}.", messages.SUCCESS)
