"""The audit log in the admin: to read, filter and search."""

from __future__ import annotations

from django.contrib import admin

from audit.models import AuditEntry
from runtime.console import ReadOnlyAdmin, as_json


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "action", "object_name", "actor", "actor_type", "client_ip", "outcome")
    list_filter = ("action", "actor_type", "outcome", "object_type")
    search_fields = ("actor", "object_name", "request_id")
    date_hierarchy = "at"
    fields = (
        ("action", "outcome"),
        ("at", "client_ip"),
        ("actor", "actor_type"),
        ("object_type", "object_id"),
        "object_name",
        "request_id",
        "what_changed",
        ("node", "sequence"),
        "previous_hash",
        "hash",
    )
    readonly_fields = ("what_changed",)

    @admin.display(description="changes")
    def what_changed(self, entry: AuditEntry) -> str:
        return as_json(entry.changes)
