"""Plain data to specs, one object at a time, with faults a reader can act on.

The short forms of the file format are widened here (``rate_limit: 100``, status codes written as
numbers), and what msgspec reports becomes a :class:`~routing.errors.Fault`: the path as it was
written, and what is allowed there. Pure; leans on :mod:`routing.document` and msgspec.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from routing.document import FORMAT, Document, LimitSpec, RouteSpec, ServiceSpec
from routing.errors import ConfigurationError, Fault

SpecT = TypeVar("SpecT", bound=msgspec.Struct)

_PLACE = re.compile(r"^(?P<reason>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_NAMED = re.compile(r"field `(.*)`")
_WORDS = {"`": "", "object": "mapping", "array": "list", "Expected": "expected"}
_MATCHED_BY = ("name", "path", "hosts", "methods", "priority", "merge_slashes", "enabled")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A stored document, and the faults of objects in it that do not decode.

    Such a service is left out; such a route is there without a service, so that it matches what
    it was meant to match and answers 503.
    """

    document: Document
    faults: tuple[Fault, ...] = ()


class _Parts(msgspec.Struct):
    """A document before its objects are read, each by a call of its own: one call for ten thousand
    routes would keep a worker's requests waiting until it ends.
    """

    format: int = FORMAT
    services: dict[str, msgspec.Raw] = {}
    routes: list[msgspec.Raw] = []
    limits: list[Any] = []


_SERVICE = msgspec.json.Decoder(ServiceSpec)
_ROUTE = msgspec.json.Decoder(RouteSpec)


def decode_document(encoded: bytes) -> Decoded:
    """A revision's JSON. Raises ConfigurationError when it is no document of this format."""
    try:
        parts = msgspec.json.decode(encoded, type=_Parts)
    except msgspec.ValidationError as error:
        raise ConfigurationError([Fault("", "", str(error))]) from None
    except msgspec.DecodeError as error:
        raise ConfigurationError([Fault("", "", f"not JSON: {error}")]) from None
    if parts.format != FORMAT:
        raise ConfigurationError([Fault("", "format", f"must be {FORMAT}")])
    faults: list[Fault] = []
    services: dict[str, ServiceSpec] = {}
    routes: list[RouteSpec] = []
    seen: dict[Any, Any] = {}
    for name, raw in parts.services.items():
        try:
            services[name] = _service(raw, name)
        except ConfigurationError as error:
            faults += error.faults
    for raw in parts.routes:
        try:
            routes.append(_sharing(_route(raw), seen))
        except ConfigurationError as error:
            content = msgspec.json.decode(raw)
            if not isinstance(content, dict):
                raise  # Nobody knows which requests it was to keep from the others.
            faults += error.faults
            routes += _closed(content)
    limits = decode_limits(parts.limits, "limits")
    document = Document(format=FORMAT, services=services, routes=tuple(routes), limits=limits)
    return Decoded(document, tuple(faults))


def _service(raw: msgspec.Raw, name: str) -> ServiceSpec:
    try:
        return _SERVICE.decode(raw)
    except msgspec.ValidationError:
        return decode_service(msgspec.json.decode(raw), f"services.{name}")


def _route(raw: msgspec.Raw) -> RouteSpec:
    try:
        return _ROUTE.decode(raw)
    except msgspec.ValidationError:
        content = msgspec.json.decode(raw)
        name = content.get("name", "") if isinstance(content, dict) else ""
        return decode_route(content, f"routes.{name}")


def _sharing(spec: RouteSpec, seen: dict[Any, Any]) -> RouteSpec:
    """*spec* with what routes before it had too: most of what thousands of routes say is equal."""

    def one(value: Any) -> Any:
        return seen.setdefault(value, value)

    return msgspec.structs.replace(
        spec, service=one(spec.service), auth=one(spec.auth), rate_limit=one(spec.rate_limit)
    )


def _closed(raw: Mapping[str, Any]) -> list[RouteSpec]:
    """A route without a service, of what still says what it matches; none without a path."""
    kept: dict[str, Any] = {}
    for name in _MATCHED_BY:
        try:
            if name in raw:
                kept[name] = msgspec.convert(raw[name], _TYPES[name])
        except msgspec.ValidationError:
            continue
    return [RouteSpec(service="", **kept)] if "path" in kept else []


_TYPES = {field.name: field.type for field in msgspec.structs.fields(RouteSpec)}


def decode_service(raw: Any, where: str, file: str = "") -> ServiceSpec:
    """*raw* as a service. Raises ConfigurationError with the first fault in it."""
    widened = dict(raw) if isinstance(raw, Mapping) else raw
    for block, name in _TEXT_LISTS:
        if isinstance(raw, Mapping) and isinstance(raw.get(block), Mapping):
            widened[block] = _with_texts(raw[block], name)
    return _convert(widened, ServiceSpec, Fault(where, "", "", file))


def decode_route(raw: Any, where: str, file: str = "") -> RouteSpec:
    """*raw* as a route. Raises ConfigurationError with the first fault in it."""
    try:
        return _convert(_with_limit_list(raw), RouteSpec, Fault(where, "", "", file))
    except ConfigurationError as error:
        raise ConfigurationError([_as_written(fault, raw) for fault in error.faults]) from None


def decode_limits(raw: Any, where: str, file: str = "") -> tuple[LimitSpec, ...]:
    """*raw* as limits, in each of the forms of ``rate_limit``. Raises ConfigurationError."""
    try:
        held = _convert(_with_limit_list({"rate_limit": raw}), _Limits, Fault(where, "", "", file))
    except ConfigurationError as error:
        faults = [_as_written(fault, {"rate_limit": raw}) for fault in error.faults]
        raise ConfigurationError(
            [replace(one, field=one.field.removeprefix("rate_limit").lstrip(".")) for one in faults]
        ) from None
    return held.rate_limit


class _Limits(msgspec.Struct):
    rate_limit: tuple[LimitSpec, ...]


_LIMIT_FORMS = "expected int, mapping or list of them"

_TEXT_LISTS = (("retry", "on"), ("breaker", "failures"), ("health_check", "expect"))
"""Lists of texts that people fill with bare status codes."""


def _with_texts(block: Mapping[str, Any], name: str) -> dict[str, Any]:
    values = block.get(name)
    if not isinstance(values, list):
        return dict(block)
    return {**block, name: [str(one) if _is_number(one) else one for one in values]}


def _with_limit_list(raw: Any) -> Any:
    if not isinstance(raw, Mapping) or "rate_limit" not in raw:
        return raw
    limits = [] if raw["rate_limit"] is None else raw["rate_limit"]
    if isinstance(limits, Mapping) or _is_number(limits):
        limits = [limits]
    if isinstance(limits, list):
        limits = [{"limit": one} if _is_number(one) else one for one in limits]
    return {**raw, "rate_limit": limits}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_written(fault: Fault, raw: Any) -> Fault:
    """*fault* with its path in the form the file has it, short or long."""
    limits = raw.get("rate_limit") if isinstance(raw, Mapping) else None
    if fault.field == "rate_limit":
        return replace(fault, reason=fault.reason.replace("expected list", _LIMIT_FORMS))
    step = re.match(r"rate_limit\[(\d+)\]", fault.field)
    if step is None:
        return fault
    one = limits[int(step[1])] if isinstance(limits, list) else limits
    head = step[0] if isinstance(limits, list) else "rate_limit"
    rest = "" if _is_number(one) else fault.field[step.end() :]
    return Fault(fault.where, head + rest, fault.reason, fault.file)


def _convert(raw: Any, kind: type[SpecT], blank: Fault) -> SpecT:
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        field, reason = _explain(str(error), kind)
        raise ConfigurationError([Fault(blank.where, field, reason, blank.file)]) from None


def _explain(message: str, kind: type[msgspec.Struct]) -> tuple[str, str]:
    found = _PLACE.match(message)
    reason, path = (found["reason"], found["path"] or "$") if found else (message, "$")
    field = path.removeprefix("$").removeprefix(".")
    expected = _type_at(inspect.type_info(kind), path)
    named = _NAMED.search(reason)
    if named and "missing" in reason:
        return _join(field, named[1]), "required"
    if named and isinstance(expected, inspect.StructType):
        known = ", ".join(one.name for one in expected.fields)
        return _join(field, named[1]), f"unknown key; known are {known}"
    if isinstance(expected, inspect.LiteralType):
        allowed = ", ".join(map(str, expected.values))
        value = reason.removeprefix("Invalid enum value ")
        if value.startswith("Expected"):
            value = value.rpartition(", got ")[2].strip("`")
        return field, f"{value} is not one of {allowed}"
    for word, plain in _WORDS.items():
        reason = reason.replace(word, plain)
    return field, reason


def _join(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _type_at(info: Any, path: str) -> Any:
    for name, _ in _STEP.findall(path):
        info = _one_of(info)
        if name and isinstance(info, inspect.StructType):
            info = next(field.type for field in info.fields if field.name == name)
        elif isinstance(info, inspect.VarTupleType):
            info = info.item_type
    return _one_of(info)


def _one_of(info: Any) -> Any:
    """The type itself, of a type that may also be null."""
    if isinstance(info, inspect.UnionType):
        return next(one for one in info.types if not isinstance(one, inspect.NoneType))
    return info
