"""What the audit log says of one row, for its history page in the admin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from django import template
from django.db import models

from audit.models import AuditEntry
from audit.tracking import label_of

register = template.Library()

_SHOWN = 200


class Told(NamedTuple):
    """An entry, and a line for each field that changed."""

    entry: AuditEntry
    lines: list[str]


@register.simple_tag
def audit_history(row: models.Model) -> list[Told] | None:
    """The latest entries of *row*, newest first; ``None`` where its changes are not recorded."""
    label = label_of(type(row))
    if label is None:
        return None
    entries = AuditEntry.objects.filter(object_type=label, object_id=str(row.pk))[:_SHOWN]
    return [Told(entry, list(_lines(entry.changes))) for entry in entries]


def _lines(changes: dict[str, Any]) -> Iterator[str]:
    for name, change in changes.items():
        if not isinstance(change, dict) or "new" not in change:
            yield f"{name}: {_shown(change)}"
            continue
        old, new = _shown(change.get("old")), _shown(change["new"])
        if old:
            yield f"{name}: {old} → {new or '-'}"
        elif new:
            yield f"{name}: {new}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)
