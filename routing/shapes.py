"""One table between the fields of a row and the paths of the configuration document.

A row is flat (``retry_attempts``), the document is nested (``retry.attempts``). A :class:`Shape`
says once which is which, and three things are read from it: a row as a spec, a spec laid onto a
row, and the field of a form that a fault's path belongs to. Leans on msgspec and, of a row, on
its attributes only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import NoneType
from typing import Any, Generic, NamedTuple, TypeVar, get_args

import msgspec

from routing.errors import ConfigurationError, Fault

SpecT = TypeVar("SpecT", bound=msgspec.Struct)

_LISTED = re.compile(r"^\w+\[\d+\]\.")
_INDEX = re.compile(r"\[\d+\]")


class Change(NamedTuple):
    """One field of one row: what it held and what it holds now (plain values)."""

    field: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Shape(Generic[SpecT]):
    """How rows of one model and specs of one type correspond.

    ``paths`` maps a row's field to its place in the document. ``blocks`` maps an optional block
    of the document to the field that says whether it is there: a switch (``breaker_enabled``),
    or a list whose emptiness means the block is absent (``auth_methods``). ``key`` is the field
    under whose value the document lists the object, if that is no part of the spec.
    """

    spec: type[SpecT]
    paths: Mapping[str, str]
    blocks: Mapping[str, str] = field(default_factory=dict)
    key: str | None = None

    def read(self, row: object, where: str, **more: Any) -> SpecT:
        """*row* as a spec; *more* are the parts of the spec that other rows hold.

        Raises ConfigurationError, with one fault for each field whose type or range is wrong, in
        a block that is switched off too: the database refuses it all the same.
        """
        document: dict[str, Any] = {}
        for name, blocks, last in self._places:
            inner = document
            for block in blocks:
                inner = inner.setdefault(block, {})
            inner[last] = getattr(row, name)
        try:
            spec = msgspec.convert({**document, **more}, self.spec)
        except msgspec.ValidationError:
            # One of them at least; all of them are wanted, as the fields are called in files.
            self._refuse(row, where)
            raise
        absent = {block: None for block, name in self.blocks.items() if not getattr(row, name)}
        return msgspec.structs.replace(spec, **absent) if absent else spec

    @cached_property
    def _places(self) -> tuple[tuple[str, tuple[str, ...], str], ...]:
        """Each field of the row, the blocks its place in the document is in, its name there."""
        split = ((name, path.split(".")) for name, path in self.paths.items())
        return tuple((name, tuple(parts[:-1]), parts[-1]) for name, parts in split)

    def _refuse(self, row: object, where: str) -> None:
        faults = []
        for name, path in self.paths.items():
            try:
                msgspec.convert(getattr(row, name), _type_at(self.spec, path))
            except msgspec.ValidationError as error:
                faults.append(Fault(where, path, _reason(error)))
        if faults:
            raise ConfigurationError(faults)

    def write(self, row: object, spec: SpecT) -> list[Change]:
        """Lay *spec* onto *row* (not saved) and tell which fields that changed.

        The fields of a block that is absent keep what they hold: switching a breaker off does not
        forget how it was set.
        """
        wanted: dict[str, Any] = {}
        for block, name in self.blocks.items():
            present = getattr(spec, block) is not None
            wanted[name] = present if name not in self.paths else []
        for name, path in self.paths.items():
            value = _value_at(spec, path)
            if value is not _ABSENT:
                wanted[name] = list(value) if isinstance(value, tuple) else value
        return [change for name, value in wanted.items() for change in _assign(row, name, value)]

    def field_of(self, path: str) -> str | None:
        """The row's field that *path* is kept in: ``retry.methods[0]`` in ``retry_methods``.

        A row that is an item of a list leaves its place out: ``instances[0].url`` is ``url``.
        """
        places = {**self.blocks, **{place: name for name, place in self.paths.items()}}
        if self.key:
            places[self.key] = self.key
        return places.get(_INDEX.sub("", _LISTED.sub("", path)))

    @property
    def fields(self) -> tuple[str, ...]:
        """Every field of the row that the document depends on."""
        key = [self.key] if self.key else []
        return tuple(dict.fromkeys([*key, *self.blocks.values(), *self.paths]))


_ABSENT: Any = object()


def _value_at(spec: object, path: str) -> Any:
    for part in path.split("."):
        if spec is None:
            return _ABSENT
        spec = getattr(spec, part)
    return spec


@cache
def _type_at(spec: Any, path: str) -> Any:
    for part in path.split("."):
        spec = next((one for one in get_args(spec) if one is not NoneType), spec)
        spec = {info.name: info.type for info in msgspec.structs.fields(spec)}[part]
    return spec


def _reason(error: msgspec.ValidationError) -> str:
    return str(error).partition(" - at ")[0]


def _assign(row: object, name: str, value: Any) -> Iterator[Change]:
    old = getattr(row, name)
    if old != value:
        setattr(row, name, value)
        yield Change(name, old, value)
