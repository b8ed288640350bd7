"""Configuration files: YAML to a document with exact faults, and a document back to YAML or JSON.

A configuration is one file or several, in any order, each with ``services``, ``routes``, ``limits``
or all of them (CONTRACT §3). Every faulty object is reported, not only the first. Leans on
:mod:`routing.yaml_text` for the syntax and :mod:`routing.decoding` for the objects; whether routes
and services make sense together is :func:`routing.table.check`'s to say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from routing.decoding import decode_limits, decode_route, decode_service
from routing.document import Document, LimitSpec, RouteSpec, ServiceSpec, plain
from routing.errors import ConfigurationError, Fault
from routing.table import default_name
from routing.yaml_text import YamlTextError, dump_yaml_text, load_yaml

MAX_BYTES = 16 * 1024 * 1024
"""The largest file that is read."""

STANDARD_INPUT = Path("-")

_TOP_LEVEL = ("services", "routes", "limits")
_ROUTE_KEYS = (
    "name",
    "path",
    "hosts",
    "methods",
    "service",
    "strip_prefix",
    "rewrite",
    "auth_required",
    "auth",
    "rate_limit",
    "timeout",
    "priority",
    "enabled",
    "max_body_bytes",
    "merge_slashes",
    "preserve_host",
    "forward_authorization",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object was written: ``routes[2] (projects)`` of ``routes.yaml``."""

    file: str
    where: str

    def __str__(self) -> str:
        return f"{self.where} of {self.file}"


@dataclass(frozen=True, slots=True)
class Files:
    """What the files say together, and where each object of it stands."""

    document: Document
    services: Mapping[str, Place] = field(default_factory=dict)
    routes: Mapping[str, Place] = field(default_factory=dict)

    def locate(self, fault: Fault) -> Fault:
        """*fault* of an object (``routes.projects``) as a fault of the place it was written."""
        kind, _, name = fault.where.partition(".")
        place = {"services": self.services, "routes": self.routes}.get(kind, {}).get(name)
        if place is None or fault.file:
            return fault
        return replace(fault, where=place.where, file=place.file)


def read_files(paths: Iterable[Path]) -> Files:
    """All *paths* as one configuration. Raises ConfigurationError with every fault found."""
    reading = _Reading()
    for path in paths:
        text = reading.text_of(path)
        if text is not None:
            reading.take(str(path), text)
    return reading.result()


def parse(texts: Iterable[tuple[str, str]]) -> Files:
    """Pairs of (file name, text) as one configuration. Raises ConfigurationError."""
    reading = _Reading()
    for file, text in texts:
        reading.take(file, text)
    return reading.result()


def dump_yaml(document: Document) -> str:
    """*document* as a file that :func:`parse` reads back: stable order, defaults left out."""
    return dump_yaml_text(_readable(document))


def dump_json(document: Document) -> str:
    """The same content as indented JSON (which is YAML too)."""
    return msgspec.json.format(msgspec.json.encode(_readable(document)), indent=2).decode() + "\n"


class _Reading:
    """One reading of several files: what was found so far, and what was wrong with it."""

    def __init__(self) -> None:
        self._services: dict[str, tuple[ServiceSpec, Place]] = {}
        self._routes: dict[str, tuple[RouteSpec, Place]] = {}
        self._limits: tuple[tuple[LimitSpec, ...], str] = ((), "")
        self._faults: list[Fault] = []

    def result(self) -> Files:
        """Everything taken, in canonical order. Raises ConfigurationError."""
        if self._faults:
            raise ConfigurationError(self._faults)
        document = Document(
            services={name: spec for name, (spec, _) in self._services.items()},
            routes=tuple(spec for spec, _ in self._routes.values()),
            limits=self._limits[0],
        )
        return Files(
            document.canonical(),
            {name: place for name, (_, place) in self._services.items()},
            {name: place for name, (_, place) in self._routes.items()},
        )

    def text_of(self, path: Path) -> str | None:
        """The file's text; what cannot be read is a fault of the file."""
        try:
            with _opened(path) as stream:
                content = stream.read(MAX_BYTES + 1)
            if len(content) > MAX_BYTES:
                self._refuse(str(path), f"larger than {MAX_BYTES} bytes")
                return None
            return content.decode("utf-8-sig")
        except OSError as error:
            self._refuse(str(path), error.strerror or "cannot be read")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._refuse(str(path), f"line {line}: not UTF-8")
        return None

    def take(self, file: str, text: str) -> None:
        """Add what *text* holds."""
        try:
            content = load_yaml(text)
        except YamlTextError as error:
            self._refuse(file, str(error))
            return
        if not isinstance(content, dict):
            found = "nothing" if content is None else type(content).__name__
            self._refuse(file, f"expected a mapping with services and routes, got {found}")
            return
        for key in (key for key in content if key not in _TOP_LEVEL):
            known = " and ".join([", ".join(_TOP_LEVEL[:-1]), _TOP_LEVEL[-1]])
            self._faults.append(Fault(key, "", f"unknown key; known are {known}", file))
        self._take_services(file, content.get("services", {}))
        self._take_routes(file, content.get("routes", []))
        self._take_limits(file, content.get("limits", []))

    def _refuse(self, file: str, reason: str) -> None:
        self._faults.append(Fault("", "", reason, file))

    def _take_services(self, file: str, services: Any) -> None:
        if not isinstance(services, dict):
            reason = "expected a mapping of names to services"
            self._faults.append(Fault("services", "", reason, file))
            return
        for name, raw in services.items():
            place = Place(file, f"services.{name}")
            try:
                spec = decode_service(raw, place.where, file)
            except ConfigurationError as error:
                self._faults.extend(error.faults)
            else:
                self._keep(self._services, name, spec, place)

    def _take_routes(self, file: str, routes: Any) -> None:
        if not isinstance(routes, list):
            self._faults.append(Fault("routes", "", "expected a list of routes", file))
            return
        for index, raw in enumerate(routes):
            try:
                spec = decode_route(raw, f"routes[{index}]{_hint(raw)}", file)
            except ConfigurationError as error:
                self._faults.extend(error.faults)
                continue
            made = not spec.name
            if made:
                spec = msgspec.structs.replace(spec, name=default_name(spec.methods, spec.path))
            place = Place(file, f"routes[{index}] ({spec.name})")
            self._keep(self._routes, spec.name, spec, place, made=made)

    def _take_limits(self, file: str, limits: Any) -> None:
        try:
            specs = decode_limits(limits, "limits", file)
        except ConfigurationError as error:
            self._faults.extend(error.faults)
            return
        if specs and self._limits[0]:
            self._faults.append(Fault("limits", "", f"are given in {self._limits[1]} too", file))
        elif specs:
            self._limits = (specs, file)

    def _keep(
        self,
        kept: dict[str, tuple[Any, Place]],
        name: str,
        spec: object,
        place: Place,
        *,
        made: bool = False,
    ) -> None:
        if name in kept:
            reason = f"the name {name!r} is taken by {kept[name][1]}"
            if made:
                reason += "; it was made from methods and path, so give this route a name"
            self._faults.append(Fault(place.where, "name", reason, place.file))
        else:
            kept[name] = (spec, place)


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdin.buffer) if path == STANDARD_INPUT else path.open("rb")


def _hint(raw: Any) -> str:
    """What a reader would call a route that does not decode."""
    if isinstance(raw, dict):
        for key in ("name", "path"):
            if isinstance(raw.get(key), str) and raw[key]:
                return f" ({raw[key]})"
    return ""


def _readable(document: Document) -> dict[str, Any]:
    ordered = document.canonical()
    return {
        "services": {name: _service(spec) for name, spec in ordered.services.items()},
        "routes": [_route(spec) for spec in ordered.routes],
        **({"limits": [_limit(one) for one in ordered.limits]} if ordered.limits else {}),
    }


def _service(spec: ServiceSpec) -> dict[str, Any]:
    content: dict[str, Any] = _tidy(plain(spec))
    if "on" in content.get("retry", {}):
        causes = content["retry"]["on"]
        content["retry"]["on"] = [int(one) if one.isdecimal() else one for one in causes]
    return content


def _route(spec: RouteSpec) -> dict[str, Any]:
    content = _tidy(plain(spec))
    if spec.rate_limit:
        limits = [_limit(one) for one in spec.rate_limit]
        content["rate_limit"] = limits[0] if len(limits) == 1 else limits
    return {key: content[key] for key in _ROUTE_KEYS if key in content}


def _limit(spec: LimitSpec) -> Any:
    content = plain(spec)
    return content["limit"] if content.keys() == {"limit"} else content


def _tidy(content: Any) -> Any:
    """Whole seconds without their ``.0``."""
    if isinstance(content, dict):
        return {key: _tidy(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_tidy(value) for value in content]
    return int(content) if isinstance(content, float) and content.is_integer() else content
