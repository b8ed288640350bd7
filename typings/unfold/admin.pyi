from typing import Any

from django.contrib import admin

class ModelAdmin(admin.ModelAdmin[Any]):
    compressed_fields: bool
    list_filter_submit: bool
    warn_unsaved_form: bool

class TabularInline(admin.TabularInline[Any, Any]):
    hide_title: bool
