"""What staff may do: groups and permissions given and taken, which no row of theirs shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.db import models
from django.db.models.signals import m2m_changed

from audit.recorder import record
from audit.tracking import label_of


def connect() -> None:
    """Record what is given and taken; once, when the app is ready."""
    user: Any = get_user_model()
    for owner, field in ((user, "groups"), (user, "user_permissions"), (Group, "permissions")):
        relation = getattr(owner, field)
        grants = _Grants(field, relation.rel.get_accessor_name())
        m2m_changed.connect(
            grants, sender=relation.through, weak=False, dispatch_uid=f"audit.grants.{field}"
        )


@dataclass(frozen=True, slots=True)
class _Grants:
    """Hears of changes of *field* of users or groups, from that side or from the *other*."""

    field: str
    other: str

    def __call__(
        self,
        instance: models.Model,
        action: str,
        reverse: bool,
        model: type[models.Model],
        pk_set: set[Any] | None,
        using: str,
        **_: Any,
    ) -> None:
        if action not in ("post_add", "post_remove", "pre_clear"):
            return
        changed = model._base_manager.using(using).filter(pk__in=pk_set or ())
        if action == "pre_clear":
            changed = getattr(instance, self.other if reverse else self.field).using(using)
        if reverse:
            for owner in changed:
                self._record(owner, [instance], action, using)
        else:
            self._record(instance, changed, action, using)

    def _record(
        self, owner: models.Model, changed: Iterable[models.Model], action: str, using: str
    ) -> None:
        names = set(_names(changed))
        if not names:
            return
        held = set(_names(getattr(owner, self.field).using(using)))
        before, after = {
            "post_add": (held - names, held),
            "post_remove": (held | names, held),
            "pre_clear": (held, held - names),
        }[action]
        label = label_of(type(owner)) or ""
        changes = {self.field: {"old": sorted(before), "new": sorted(after)}}
        record(f"{label}.changed", obj=owner, object_type=label, changes=changes, using=using)


def _names(rows: Iterable[models.Model]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, Permission):
            yield f"{row.content_type.app_label}.{row.codename}"
        else:
            yield str(row)
