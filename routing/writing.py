"""A document laid onto the rows: only what a diff names is written.

Instances are matched by URL, routes and services by name, limits by their place. Everything that
is written is ``full_clean()``ed first. Leans on the models; runs in its caller's transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError

from routing import rows, sections
from routing.difference import Action, Diff
from routing.document import Document, RouteSpec, ServiceSpec
from routing.errors import ConfigurationError, Fault
from routing.models import Route, Service, ServiceInstance
from routing.reading import Compiled

_WRITTEN = (Action.ADDED, Action.CHANGED)
_DELETED_AT_ONCE = 500


def write(stored: Compiled, wanted: Document, diff: Diff, using: str) -> None:
    """Carry out *diff*, which leads from *stored* to *wanted*.

    Raises ConfigurationError for the first row that cannot be stored; the caller rolls back.
    """
    services = dict(stored.services)
    for name in diff.names("service", *_WRITTEN):
        row = services.setdefault(name, Service(name=name))
        with _faults_of(f"services.{name}", rows.SERVICE.paths):
            _write_service(row, wanted.services[name], using)
    routes = {route.name: route for route in wanted.routes}
    before = {route.name: route for route in stored.document.routes}
    for name in diff.names("route", Action.CHANGED):
        spec, route = routes[name], stored.routes[name]
        with _faults_of(f"routes.{name}", rows.ROUTE.paths):
            _write_route(route, spec, services[spec.service], using)
            _write_sections(route, before[name], spec)
    _add_routes([routes[name] for name in diff.names("route", Action.ADDED)], services, using)
    gone = [stored.routes[name].pk for name in diff.names("route", Action.REMOVED)]
    for start in range(0, len(gone), _DELETED_AT_ONCE):
        Route.objects.using(using).filter(pk__in=gone[start : start + _DELETED_AT_ONCE]).delete()
    for name in diff.names("service", Action.REMOVED):
        stored.services[name].delete(using=using)
    if diff.names("limit", *Action):
        with _faults_of("limits", rows.LIMIT.paths):
            for section in sections.registered_global():
                section.write(getattr(wanted, section.key), using)


def _write_service(row: Service, spec: ServiceSpec, using: str) -> None:
    if row.fill(spec) or row.pk is None:
        sections.store(row, using)
    kept = {one.url: one for one in ServiceInstance.objects.using(using).filter(service=row)}
    wanted = {one.url: one for one in spec.instances}
    for url in kept.keys() - wanted.keys():
        kept.pop(url).delete(using=using)
    for url, one in wanted.items():
        instance = kept.get(url) or ServiceInstance(service=row)
        if instance.fill(one) or instance.pk is None:
            sections.store(instance, using)


def _write_route(row: Route, spec: RouteSpec, service: Service, using: str) -> None:
    if row.fill(spec, service):
        sections.store(row, using)


def _write_sections(row: Route, before: RouteSpec, spec: RouteSpec) -> None:
    for section in sections.registered():
        wanted = getattr(spec, section.key)
        if wanted != getattr(before, section.key):
            section.write(row, wanted)


def _add_routes(specs: list[RouteSpec], services: Mapping[str, Service], using: str) -> None:
    """New routes and what belongs to them: a statement for many rows, not for each."""
    added = []
    for spec in specs:
        row = Route()
        with _faults_of(f"routes.{spec.name}", rows.ROUTE.paths):
            row.fill(spec, services[spec.service])
            sections.check(row)
        added.append(row)
    sections.store_new(added, using)
    for section in sections.registered():
        parts = []
        for row, spec in zip(added, specs, strict=True):
            with _faults_of(f"routes.{spec.name}", rows.ROUTE.paths):
                for part in section.make(row, getattr(spec, section.key)):
                    sections.check(part)
                    parts.append(part)
        sections.store_new(parts, using)


@contextmanager
def _faults_of(where: str, paths: Mapping[str, str]) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        reasons = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        raise ConfigurationError(
            [
                Fault(where, "" if name == NON_FIELD_ERRORS else paths.get(name, name), reason)
                for name, messages in reasons.items()
                for reason in messages
            ]
        ) from error
