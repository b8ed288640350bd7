"""What the admin pages of several apps share: lists as text, switches, pages to read only.

Imported by ``admin.py`` modules alone, once the app registry is filled. Leans on Unfold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten
from django.db import models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter as ByName
from unfold.decorators import display as unfold_display
from unfold.widgets import UnfoldAdminTextareaWidget

__all__ = [
    "LISTS_AS_TEXT",
    "ByName",
    "ListField",
    "ModelAdmin",
    "OpenedAdmin",
    "ReadOnlyAdmin",
    "SwitchedAdmin",
    "TabularInline",
    "as_json",
    "labelled",
]

_FOLDED = "collapse"

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class ListField(forms.Field):
    """A list of texts, written with commas or one a line.

    Takes the arguments a JSON field hands to its form field and needs none of them.
    """

    def __init__(self, *, encoder: object = None, decoder: object = None, **kwargs: Any) -> None:
        kwargs["widget"] = UnfoldAdminTextareaWidget(attrs={"rows": 2})
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> list[str]:
        """The items without surrounding space; empty ones are dropped."""
        if isinstance(value, list):
            return value
        items = (item.strip() for item in (value or "").replace("\n", ",").split(","))
        return [item for item in items if item]

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(str(item) for item in value) if isinstance(value, list) else value


#: For ``formfield_overrides`` of an admin whose JSON fields are lists of texts.
LISTS_AS_TEXT: dict[type[models.Field[Any, Any]], dict[str, Any]] = {
    models.JSONField: {"form_class": ListField}
}


class OpenedAdmin(ModelAdmin):
    """Sections that are folded open where they hold an error.

    Django does so for fields that have a row to themselves, not for several in a row.
    """

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        shown = context["adminform"]
        for _, options in shown.fieldsets:
            if not shown.form.errors.keys().isdisjoint(flatten(options["fields"])):
                options["classes"] = [one for one in options.get("classes", ()) if one != _FOLDED]
        return super().render_change_form(request, context, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [(name, dict(options)) for name, options in super().get_fieldsets(request, obj)]


class SwitchedAdmin(OpenedAdmin):
    """Rows with an ``enabled`` field, switched many at once in one write."""

    actions = ["enable", "disable"]

    @admin.action(description="Enable selected", permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description="Disable selected", permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Any], *, enabled: bool) -> None:
        changed = queryset.exclude(enabled=enabled).update(enabled=enabled)
        word = "enabled" if enabled else "disabled"
        self.message_user(request, f"{changed} {word}.", messages.SUCCESS)


class ReadOnlyAdmin(ModelAdmin):
    """Rows the gateway writes and people only read; their changes are not recorded."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), "show_history": False}
        return super().changeform_view(request, object_id, form_url, context)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def labelled(
    colours: dict[str, str], *, description: str, ordering: str | None = None
) -> Callable[[FunctionT], FunctionT]:
    """A column of the list whose texts are shown as labels in Unfold's *colours*."""
    return unfold_display(description=description, ordering=ordering, label=colours)


def as_json(value: Any) -> SafeString:
    """*value* as indented JSON in a block that keeps its lines."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    return format_html('<pre class="overflow-x-auto text-xs">{}</pre>', text)
