"""The OpenAPI schema and its pages. Leans on drf-spectacular and its sidecar's files.

Services and routes are described by the document's own structs, so that the schema cannot say
anything else than what is validated.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, OpenApiParameter
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.generics import GenericAPIView

from gateway_project.api.access import StaffView
from gateway_project.api.problems import MEDIA_TYPE
from gateway_project.api.serializers import (
    DocumentSerializer,
    ProblemSerializer,
    RouteSerializer,
    ServiceSerializer,
)
from routing.document import Document

IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="ETag of what you read; 412 when it has changed since.",
)
_NAME = {"type": "string", "description": "Unique; letters, digits, '.', '_' and '-'."}
_SHORT_LIMIT = {"type": "integer", "minimum": 1, "description": "So many per minute, by caller."}


class ApiSchema(AutoSchema):
    """What every operation has: problems as its errors, a tag from its place."""

    def get_tags(self) -> list[str]:
        """The first step after ``/api/gateway/``."""
        return [self.path.removeprefix("/api/gateway/").partition("/")[0]]

    def _is_list_view(self, serializer: Any = None) -> bool:
        # `list` of a view without rows is one answer: an export, a report.
        listed: bool = super()._is_list_view(serializer)
        return listed and isinstance(self.view, GenericAPIView)

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        if self.method == "PUT" and getattr(self.view, "put_creates", False):
            bodies["201"] = {**bodies["200"], "description": "It was not there and is now."}
        problem = self._get_response_for_code(ProblemSerializer, "default", [MEDIA_TYPE])
        return {**bodies, "default": {**problem, "description": "What went wrong."}}


class _SpecExtension(OpenApiSerializerExtension):
    """A serializer that carries a ``spec``: the struct's own JSON Schema."""

    def map_serializer(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        found = _spec_schema(self.target.spec)
        if self.target.partial:
            found.pop("required", None)
        return found


class _ServiceExtension(_SpecExtension):
    target_class = ServiceSerializer


class _RouteExtension(_SpecExtension):
    target_class = RouteSerializer


class _DocumentExtension(OpenApiSerializerExtension):
    """The document as files hold it: without the mark of its format."""

    target_class = DocumentSerializer

    def map_serializer(self, auto_schema: Any, direction: str) -> dict[str, Any]:
        found = _schema_of(Document)
        del found["properties"]["format"]
        return found


def _spec_schema(spec: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema of *spec* with a name."""
    found = _schema_of(spec)
    found["properties"] = {**found["properties"], "name": _NAME}
    return found


def _schema_of(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema of *struct* with everything it refers to in its place."""
    whole = msgspec.json.schema(struct)
    found: dict[str, Any] = _inlined(whole["$defs"][struct.__name__], whole["$defs"])
    return found


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inlined(one, definitions) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    kept: dict[str, Any] = {
        key: inspect.cleandoc(value) if key == "description" else _inlined(value, definitions)
        for key, value in schema.items()
        if key != "title"
    }
    if kept.get("required") == []:
        del kept["required"]
    if "enum" in kept:
        kept["type"] = "string"
    if limits := kept.get("properties", {}).get("rate_limit"):
        one = [_SHORT_LIMIT, limits["items"]]
        kept["properties"]["rate_limit"] = {"anyOf": [*one, {**limits, "items": {"anyOf": one}}]}
    return kept


class SchemaView(StaffView, SpectacularAPIView):
    """The OpenAPI document, in YAML or JSON."""


class DocsView(StaffView, SpectacularSwaggerSplitView):
    """Swagger UI. Its script is a request of its own: the pages' policy allows nothing inline."""

    url_name = "api:schema"
