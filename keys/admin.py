"""Callers in the admin: consumers, their keys, and the staff who sign in here.

A new key is shown on the page that answers its making and nowhere else: not in a message, which
would wait in a cookie or session, and not in the database.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import ValidationError
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from keys.digest import GeneratedKey, generate_api_key
from keys.models import ApiKey, ApiKeyQuerySet, ArchivedApiKey, Consumer
from runtime.console import (
    LISTS_AS_TEXT,
    ByName,
    ModelAdmin,
    ReadOnlyAdmin,
    SwitchedAdmin,
    TabularInline,
    labelled,
)

if TYPE_CHECKING:
    _UserAdmin = DjangoUserAdmin[User]
else:
    _UserAdmin = DjangoUserAdmin

ROTATION_GRACE = timedelta(hours=24)
_ISSUED = "issued_key"


class ApiKeyInline(TabularInline):
    """A consumer's keys, to see; each is made and changed on a page of its own."""

    model = ApiKey
    fields = ("prefix", "name", "enabled", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Consumer)
class ConsumerAdmin(SwitchedAdmin):
    list_display = ("name", "description", "enabled", "created_at")
    list_editable = ("enabled",)
    list_filter = ("enabled",)
    search_fields = ("name", "description")
    inlines = [ApiKeyInline]
    formfield_overrides = LISTS_AS_TEXT
    fields = (
        "name",
        "description",
        "enabled",
        ("roles", "permissions"),
        ("created_at", "updated_at"),
    )
    readonly_fields = ("created_at", "updated_at")


@admin.register(ApiKey)
class ApiKeyAdmin(SwitchedAdmin):
    list_display = (
        "prefix",
        "name",
        "consumer",
        "status",
        "enabled",
        "expires_at",
        "last_used_at",
        "created_at",
    )
    list_filter = ("enabled", ("consumer", ByName))
    list_filter_submit = True
    list_select_related = ("consumer",)
    search_fields = ("prefix", "name", "consumer__name")
    autocomplete_fields = ("consumer",)
    actions = ["enable", "disable", "revoke", "rotate"]
    formfield_overrides = LISTS_AS_TEXT
    compressed_fields = True
    fieldsets = (
        (None, {"fields": ("consumer", "name", "enabled", "expires_at")}),
        (
            "What it may",
            {
                "fields": (("roles", "permissions"), ("allowed_routes", "allowed_networks")),
                "description": "Lists are written with commas or one item a line.",
            },
        ),
    )
    _facts = (
        "History",
        {
            "fields": (
                "prefix",
                ("created_at", "created_by"),
                ("last_used_at", "revoked_at"),
                ("rotated_from", "grace_until"),
            )
        },
    )
    readonly_fields = (
        "prefix",
        "created_at",
        "created_by",
        "last_used_at",
        "revoked_at",
        "rotated_from",
        "grace_until",
    )

    @labelled({"usable": "success", "refused": "danger"}, description="status")
    def status(self, key: ApiKey) -> str:
        return "usable" if key.is_usable(timezone.now()) else "refused"

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fieldsets, self._facts) if obj else self.fieldsets

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: ModelForm[ApiKey], change: bool
    ) -> None:
        """Give a new key its text, which stays with the request until the answer is rendered."""
        if not change:
            generated = generate_api_key()
            obj.prefix, obj.digest = generated.prefix, generated.digest
            obj.created_by = request.user.get_username()
            setattr(request, _ISSUED, generated)
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The page that shows the new key, in place of the usual redirect."""
        return self._show_once(request, obj, getattr(request, _ISSUED))

    @admin.action(description="Revoke selected for good", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> None:
        self.message_user(request, f"{queryset.revoke()} revoked.", messages.SUCCESS)

    @admin.action(
        description="Replace by a new key (the old one works 24 h longer)", permissions=["rotate"]
    )
    def rotate(self, request: HttpRequest, queryset: ApiKeyQuerySet) -> HttpResponse | None:
        if queryset.count() != 1:
            self.message_user(request, "Select exactly one key.", messages.ERROR)
            return None
        try:
            key, generated = queryset.get().rotate(ROTATION_GRACE, request.user.get_username())
        except ValidationError as error:
            self.message_user(request, error.message, messages.ERROR)
            return None
        return self._show_once(request, key, generated)

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return self.has_add_permission(request) and self.has_change_permission(request)

    def _show_once(
        self, request: HttpRequest, key: ApiKey, generated: GeneratedKey
    ) -> HttpResponse:
        """No cache keeps the page: every admin view answers ``no-store``."""
        return TemplateResponse(
            request,
            "admin/keys/apikey/issued.html",
            {
                **self.admin_site.each_context(request),
                "title": "New API key",
                "opts": self.opts,
                "key": key,
                "text": generated.text,
            },
        )


@admin.register(ArchivedApiKey)
class ArchivedApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("prefix", "name", "consumer_name", "deleted_at")
    search_fields = ("prefix", "name", "consumer_name")
    date_hierarchy = "deleted_at"


admin.site.unregister([User, Group])


@admin.register(User)
class UserAdmin(_UserAdmin, ModelAdmin):
    """Staff, in the dress of the other pages."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Groups of staff, in the dress of the other pages."""
