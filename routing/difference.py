"""What differs between two documents, object by object and field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import msgspec

from routing.document import Document, InstanceSpec, LimitSpec, plain
from routing.errors import Fault

GLOBAL = "global"
"""The name under which a diff lists the limits over all routes."""


class Action(Enum):
    """What happens to an object; the value is how a diff marks it."""

    ADDED = "+"
    CHANGED = "~"
    REMOVED = "-"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, by its path in the document; ``None`` where there is no value."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One service or route."""

    action: Action
    kind: str
    name: str
    fields: tuple[FieldChange, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "action": self.action.name.lower(),
            "kind": self.kind,
            "name": self.name,
            "fields": {one.field: [one.before, one.after] for one in self.fields},
        }


@dataclass(frozen=True, slots=True)
class Diff:
    """Every change, services first, each kind by name; false when there is none."""

    changes: tuple[ObjectChange, ...] = ()
    revision: int | None = None
    """The revision that was published for it."""
    warnings: tuple[Fault, ...] = ()
    """What is allowed and yet hardly meant."""
    document: Document = field(default=Document(), compare=False, repr=False)
    """What the rows say once it is carried out; empty before."""

    def __bool__(self) -> bool:
        return bool(self.changes)

    def names(self, kind: str, *actions: Action) -> list[str]:
        """Names of the objects of *kind* to which one of *actions* happens."""
        return [one.name for one in self.changes if one.kind == kind and one.action in actions]

    def as_text(self) -> str:
        """Lines for people, each ended; empty when there is no change."""
        return "".join(f"{line}\n" for change in self.changes for line in _lines(change))


def compare(before: Document, after: Document) -> Diff:
    """The changes that lead from *before* to *after*."""
    routes = ({route.name: route for route in document.routes} for document in (before, after))
    return Diff(
        (
            *_objects("service", before.services, after.services),
            *_objects("route", *routes),
            *_limits(before.limits, after.limits),
        )
    )


def _objects(
    kind: str, before: Mapping[str, msgspec.Struct], after: Mapping[str, msgspec.Struct]
) -> Iterator[ObjectChange]:
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if new is None:
            yield ObjectChange(Action.REMOVED, kind, name)
        elif old is None:
            fields = (FieldChange(key, None, value) for key, value in plain(new).items())
            yield ObjectChange(
                Action.ADDED, kind, name, tuple(one for one in fields if one.field != "name")
            )
        elif old != new:
            yield ObjectChange(Action.CHANGED, kind, name, tuple(_fields("", old, new)))


def _limits(old: tuple[LimitSpec, ...], new: tuple[LimitSpec, ...]) -> Iterator[ObjectChange]:
    """The limits over all routes are one object: their order says which is which."""
    if old != new:
        action = Action.CHANGED if old and new else Action.ADDED if new else Action.REMOVED
        change = FieldChange("limits", plain(old), plain(new))
        yield ObjectChange(action, "limit", GLOBAL, (change,))


def _fields(path: str, old: Any, new: Any) -> Iterator[FieldChange]:
    if old == new:
        return
    if isinstance(old, msgspec.Struct) and type(old) is type(new):
        for name in old.__struct_fields__:
            inner = f"{path}.{name}" if path else name
            yield from _fields(inner, getattr(old, name), getattr(new, name))
    elif path == "instances":
        yield from _instances(old, new)
    else:
        yield FieldChange(path, plain(old), plain(new))


def _instances(
    old: tuple[InstanceSpec, ...], new: tuple[InstanceSpec, ...]
) -> Iterator[FieldChange]:
    before, after = ({one.url: one for one in specs} for specs in (old, new))
    for url in sorted({*before, *after}):
        yield from _fields(f"instances[{url}]", before.get(url), after.get(url))


def _lines(change: ObjectChange) -> Iterator[str]:
    yield f"{change.action.value} {change.kind} {change.name}"
    for one in change.fields:
        if change.action is Action.ADDED:
            yield f"    {one.field}: {_shown(one.after)}"
        else:
            yield f"    {one.field}: {_shown(one.before)} -> {_shown(one.after)}"


def _shown(value: Any) -> str:
    return "none" if value is None else msgspec.json.encode(value).decode()
