"""Services and routes in the document's own shape (CONTRACT §3).

What a client sends becomes a document of one object and goes through the one way of writing,
:func:`routing.revision.apply`; what it reads is the object as rows hold it, defaults written out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from gateway_project.api.problems import Refusal, errors_of, invalid
from routing.decoding import decode_route, decode_service
from routing.document import Document, RouteSpec, ServiceSpec
from routing.errors import ConfigurationError
from routing.table import default_name

Spec = ServiceSpec | RouteSpec


@dataclass(frozen=True, slots=True)
class Kind:
    """Services or routes: how one is found in a document, and made into one.

    ``nulls`` are the fields in which null is a setting of its own, not the default.
    """

    name: str
    find: Callable[[Document], Mapping[str, Spec]]
    decode: Callable[[Any, str], Document]
    name_of_new: Callable[[Any], str]
    nulls: tuple[str, ...] = ()

    def where(self, name: str) -> str:
        """How faults call the object of this name."""
        return f"{self.name}s.{name}"

    def content(self, name: str, spec: Spec) -> dict[str, Any]:
        """The object as clients read it."""
        return {"name": name, **full(spec)}

    def document(self, raw: Any, name: str) -> Document:
        """A document of the one object *name*, which is what *raw* calls it if it does.

        Raises Refusal with the faults.
        """
        given = raw.get("name", name) if isinstance(raw, dict) else name
        if given != name:
            raise invalid([{"field": "name", "reason": f"must be {name!r}"}])
        try:
            return self.decode(raw, name)
        except ConfigurationError as error:
            raise self.refusal(error, name) from None

    def refusal(self, error: ConfigurationError, name: str) -> Refusal:
        """400 with the faults of *error*, by their path in the object *name*."""
        return invalid(errors_of(error, self.where(name)))


def full(value: Any) -> Any:
    """*value* as dicts and lists, defaults included."""
    if isinstance(value, msgspec.Struct):
        return {name: full(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {name: full(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [full(item) for item in value]
    return value


def _name_of_new_service(raw: Any) -> str:
    """The name a new service asks for. Raises Refusal."""
    return _given_name(raw) or _refuse("name", "required")


def _name_of_new_route(raw: Any) -> str:
    """The name a new route asks for, or the one it gets as in files. Raises Refusal."""
    if given := _given_name(raw):
        return given
    try:
        spec = decode_route(raw, "")
    except ConfigurationError as error:
        raise invalid(errors_of(error)) from None
    return default_name(spec.methods, spec.path)


def taken(name: str) -> Refusal:
    """400: *name* belongs to another object."""
    return invalid([{"field": "name", "reason": f"the name {name!r} is taken"}])


def _given_name(raw: Any) -> str:
    if not isinstance(raw, dict):
        _refuse("", f"expected mapping, got {type(raw).__name__}")
    name = raw.get("name", "")
    return name if isinstance(name, str) else _refuse("name", "expected str")


def _refuse(field: str, reason: str) -> str:
    raise invalid([{"field": field, "reason": reason}])


def _service_document(raw: Any, name: str) -> Document:
    if isinstance(raw, dict):
        raw = {key: value for key, value in raw.items() if key != "name"}
    return Document(services={name: decode_service(raw, SERVICE.where(name))})


def _route_document(raw: Any, name: str) -> Document:
    if isinstance(raw, dict):
        raw = {**raw, "name": name}
    return Document(routes=(decode_route(raw, ROUTE.where(name)),))


SERVICE = Kind(
    "service",
    lambda document: document.services,
    _service_document,
    _name_of_new_service,
    nulls=("breaker",),
)
ROUTE = Kind(
    "route",
    lambda document: {one.name: one for one in document.routes},
    _route_document,
    _name_of_new_route,
)
