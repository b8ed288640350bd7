"""All configuration rows as one document, and what is wrong with it.

A handful of queries, whatever the number of routes. A row that the document's types refuse stays
in the document as it is: the worker closes that one object, and nobody loses sight of it. Leans
on the models, on :mod:`routing.sections` and on :func:`routing.table.check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from django.db import router

from routing import rows, sections
from routing.document import Document, RouteSpec, ServiceSpec, plain
from routing.errors import ConfigurationError, Fault
from routing.models import RevisionHead, Route, Service
from routing.shapes import Shape
from routing.table import check

_INDEXED = re.compile(r"routes\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Compiled:
    """The rows, their document in canonical order, and its faults.

    ``unreadable`` are the names of services and routes that are in the document unchecked.
    """

    document: Document
    faults: tuple[Fault, ...]
    services: Mapping[str, Service]
    routes: Mapping[str, Route]
    unreadable: frozenset[str] = frozenset()

    @property
    def faulty(self) -> int:
        """How many objects have a fault."""
        return len({fault.where for fault in self.faults})


def database() -> str:
    """Alias of the database configuration is written to: replicas may lag."""
    return router.db_for_write(RevisionHead)


def compile_rows(strict: bool = False) -> Compiled:
    """Read and check every row. Raises ConfigurationError when *strict* and there is a fault."""
    using = database()
    # Routes first: a service made in between is then seen by the route that came with it.
    routes = {route.name: route for route in _routes(using)}
    services = {one.name: one for one in _services(using)}
    reading = _Reading()
    limits = {section: section.read(None, using) for section in sections.registered()}
    whole: dict[str, Any] = {
        one.key: reading.whole(one, using) for one in sections.registered_global()
    }
    document = Document(
        **whole,
        services={name: reading.service(row) for name, row in services.items()},
        routes=tuple(
            reading.route(
                row, {one.key: held[row.pk] for one, held in limits.items() if row.pk in held}
            )
            for row in routes.values()
        ),
    ).canonical()
    faults = (*reading.faults, *faults_of(document, reading.unreadable))
    if strict and faults:
        raise ConfigurationError(faults)
    return Compiled(document, faults, services, routes, frozenset(reading.unreadable))


def faults_of(document: Document, unreadable: Iterable[str] = ()) -> Iterator[Fault]:
    """The faults of *document*, by the names of its objects (``routes.projects``).

    Objects named in *unreadable* (``services.billing``) are left out; their faults are known.
    """
    skipped = frozenset(unreadable)
    checked = Document(
        services={
            name: ServiceSpec() if f"services.{name}" in skipped else spec
            for name, spec in document.services.items()
        },
        routes=tuple(one for one in document.routes if f"routes.{one.name}" not in skipped),
        limits=() if "limits" in skipped else document.limits,
    )
    for fault in check(checked):
        found = _INDEXED.match(fault.where)
        name = checked.routes[int(found[1])].name if found else ""
        yield replace(fault, where=f"routes.{name}") if found else fault


def _routes(using: str) -> Iterable[Route]:
    return Route.objects.using(using).prefetch_related("service").order_by("name")


def _services(using: str) -> Iterable[Service]:
    return Service.objects.using(using).prefetch_related("instances").order_by("name")


class _Reading:
    """Rows to specs; what the document's types refuse is noted and read unchecked."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.unreadable: set[str] = set()

    def service(self, row: Service) -> ServiceSpec:
        try:
            return row.to_spec()
        except ConfigurationError as error:
            self._note(f"services.{row.name}", error.faults)
        instances: Any = [_unchecked(rows.INSTANCE, one) for one in row.instances.all()]
        return ServiceSpec(**_unchecked(rows.SERVICE, row), instances=instances)

    def route(self, row: Route, held: Mapping[str, tuple[Any, ...]]) -> RouteSpec:
        where = f"routes.{row.name}"
        parts: dict[str, Any] = {}
        for key, specs in held.items():
            try:
                parts[key] = msgspec.convert(plain(specs), _TYPES[key])
            except msgspec.ValidationError as error:
                parts[key] = specs
                reason, _, place = str(error).partition(" - at `$")
                self._note(where, [Fault(where, key + place.rstrip("`"), reason)])
        try:
            return msgspec.structs.replace(row.to_spec(), **parts)
        except ConfigurationError as error:
            self._note(where, error.faults)
        return RouteSpec(**_unchecked(rows.ROUTE, row), service=row.service.name, **parts)

    def whole(self, section: sections.GlobalSection, using: str) -> tuple[Any, ...]:
        specs = section.read(using)
        try:
            checked: tuple[Any, ...] = msgspec.convert(plain(specs), _WHOLE[section.key])
        except msgspec.ValidationError as error:
            reason, _, place = str(error).partition(" - at `$")
            self._note(section.key, [Fault(section.key, place.rstrip("`"), reason)])
            return specs
        return checked

    def _note(self, where: str, faults: Iterable[Fault]) -> None:
        self.unreadable.add(where)
        self.faults.extend(replace(fault, where=where) for fault in faults)


_TYPES = {field.name: field.type for field in msgspec.structs.fields(RouteSpec)}
_WHOLE = {field.name: field.type for field in msgspec.structs.fields(Document)}


def _unchecked(shape: Shape[Any], row: object) -> dict[str, Any]:
    """*row* in the document's form, whatever its fields hold."""
    content: dict[str, Any] = {
        block: None for block, name in shape.blocks.items() if not getattr(row, name)
    }
    for name, path in shape.paths.items():
        block, _, last = path.rpartition(".")
        if not block:
            content[path] = getattr(row, name)
        elif content.get(block, {}) is not None:
            content.setdefault(block, {})[last] = getattr(row, name)
    return content
