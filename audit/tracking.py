"""Recording changes of rows by themselves: models register, signals and QuerySets do the rest.

An app calls :func:`track` for its models when it is ready; from then on every ``save``,
``delete`` and bulk write of them leaves one entry per changed row with the old and the new value
of each changed field, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from django.core.exceptions import ObjectDoesNotExist
from django.db import models, router, transaction
from django.db.models.signals import post_delete, post_save, pre_save

from audit.recorder import record
from runtime.transactions import repeated

ModelT = TypeVar("ModelT", bound=models.Model)
MethodT = TypeVar("MethodT", bound=Callable[..., Any])

_BEFORE = "_tracked_before"


@dataclass(frozen=True, slots=True)
class _Tracked:
    label: str
    fields: tuple[str, ...]
    verbs: Mapping[str, str]


_tracked: dict[type[models.Model], _Tracked] = {}


def alters_data(method: MethodT) -> MethodT:
    """Mark *method* as one that writes: a template will not call it."""
    vars(method)["alters_data"] = True
    return method


def queryset_only(method: MethodT) -> MethodT:
    """Mark *method* of a QuerySet as one that managers do not get."""
    vars(method)["queryset_only"] = True
    return method


class TrackedQuerySet(models.QuerySet[ModelT]):
    """Records what ``update``, ``bulk_update`` and ``bulk_create`` write past ``save()``.

    ``bulk_update`` is an ``update`` inside; ``delete`` sends a signal for each row.
    """

    @alters_data
    @repeated
    def update(self, **kwargs: Any) -> int:
        if self.model not in _tracked or not _written(self.model, kwargs):
            return super().update(**kwargs)
        self._for_write = True
        rows: models.QuerySet[ModelT] = self.model._base_manager.using(self.db)
        with transaction.atomic(using=self.db):
            before = rows.in_bulk(list(self.using(self.db).values_list("pk", flat=True)))
            changed = super().update(**kwargs)
            for pk, row in rows.in_bulk(list(before)).items():
                _record_change(row, _snapshot(before[pk]), self.db)
        return changed

    def bulk_create(self, objs: Iterable[ModelT], *args: Any, **kwargs: Any) -> list[ModelT]:
        self._for_write = True
        with transaction.atomic(using=self.db):
            created = super().bulk_create(objs, *args, **kwargs)
            for row in created:
                _record_change(row, None, self.db)
        return created


class TrackedModel(models.Model):
    """Saves a row and what its signals write (audit, counters) in one transaction."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(type(self), instance=self)
        # Without a savepoint: inside a transaction the whole of it fails together.
        with transaction.atomic(using=using, savepoint=False):
            super().save(*args, **kwargs)


def track(
    model: type[models.Model],
    fields: Iterable[str],
    label: str = "",
    verbs: Mapping[str, str] | None = None,
) -> None:
    """Record changes of *fields* of *model* as ``<label>.created|changed|deleted``.

    *verbs* names the change of a field that means more, by the field: ``revoked_at: revoked``.
    """
    _tracked[model] = _Tracked(label or str(model._meta.model_name), tuple(fields), verbs or {})
    for signal, handler in (
        (pre_save, _remember),
        (post_save, _on_save),
        (post_delete, _on_delete),
    ):
        signal.connect(handler, sender=model, dispatch_uid=f"audit.{model._meta.label}")


def label_of(model: type[models.Model]) -> str | None:
    """What *model* is called in the log; ``None`` when its changes are not recorded."""
    tracked = _tracked.get(model)
    return tracked.label if tracked is not None else None


def _remember(sender: type[models.Model], instance: models.Model, using: str, **_: Any) -> None:
    stored = None
    if instance.pk is not None:
        stored = sender._base_manager.using(using).filter(pk=instance.pk).first()
    setattr(instance, _BEFORE, None if stored is None else _snapshot(stored))


def _on_save(
    instance: models.Model, using: str, update_fields: Collection[str] | None = None, **_: Any
) -> None:
    # What else the instance holds, perhaps long read, stands in no row.
    names = None if update_fields is None else _written(type(instance), update_fields)
    _record_change(instance, instance.__dict__.pop(_BEFORE, None), using, names)


def _on_delete(instance: models.Model, using: str, **_: Any) -> None:
    _write("deleted", instance, dict(_changes(_snapshot(instance), {})), using)


def _record_change(
    row: models.Model,
    before: Mapping[str, Any] | None,
    using: str,
    written: Collection[str] | None = None,
) -> None:
    """One entry for *row*, of the fields that were *written* (``None``: all)."""
    if type(row) not in _tracked:
        return
    found = _changes(before or {}, _snapshot(row))
    changes = {name: change for name, change in found if written is None or name in written}
    if before is None:
        _write("created", row, changes, using)
    elif changes:
        verbs = _tracked[type(row)].verbs
        named = (verb for field, verb in verbs.items() if field in changes)
        _write(next(named, "changed"), row, changes, using)


def _write(verb: str, row: models.Model, changes: Mapping[str, Any], using: str) -> None:
    label = _tracked[type(row)].label
    record(f"{label}.{verb}", obj=row, object_type=label, changes=changes, using=using)


def _written(model: type[models.Model], names: Collection[str]) -> set[str]:
    """The tracked fields that a write of *names* writes; a relation may be written by its key."""
    tracked, given = _tracked[model].fields, set(names)
    return {
        field.name
        for field in model._meta.concrete_fields
        if field.name in tracked and {field.name, field.attname} & given
    }


def _snapshot(row: models.Model) -> dict[str, Any]:
    return {name: _plain(row, name) for name in _tracked[type(row)].fields}


def _plain(row: models.Model, name: str) -> Any:
    """A field's value; of a related row its name, or its key when it is gone."""
    try:
        value = getattr(row, name)
    except ObjectDoesNotExist:
        return getattr(row, f"{name}_id")
    return str(value) if isinstance(value, models.Model) else value


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old != new:
            yield name, {"old": old, "new": new}
