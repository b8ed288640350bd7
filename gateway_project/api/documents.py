"""``/apply/`` and ``/export/``: the whole configuration as one document, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from gateway_project.api.access import ActionView, needed, require
from gateway_project.api.bodies import JsonParser, OtherYamlParser, YamlParser, as_text, content_of
from gateway_project.api.listing import flag, known_parameters
from gateway_project.api.problems import Refusal, errors_of
from gateway_project.api.schema import IF_MATCH, ApiSchema
from gateway_project.api.serializers import DiffSerializer, DocumentSerializer
from gateway_project.api.versions import quoted, require_match
from quotas.models import RateLimit
from routing import files, revision
from routing.document import Document, digest
from routing.errors import ConfigurationError
from routing.models import Route, Service

_READ = (*needed(Service, "view"), *needed(Route, "view"))
# A document may hold limits over all routes too.
_WRITTEN = (Service, Route, RateLimit)
_WRITE = tuple(name for model in _WRITTEN for name in needed(model, "add", "change"))
_PRUNE = tuple(name for model in _WRITTEN for name in needed(model, "delete"))


class ApplyView(ActionView):
    """Makes the rows those of a document."""

    schema = ApiSchema()
    parser_classes = [JsonParser, YamlParser, OtherYamlParser]
    permissions: ClassVar[dict[str, tuple[str, ...]]] = {"create": _READ}

    @extend_schema(
        summary="Make services and routes those of a document, in one transaction.",
        description="As `manage.py apply`. A faulty document changes nothing. `If-Match` takes "
        "the ETag of an export.",
        request={
            "application/json": DocumentSerializer,
            "application/yaml": DocumentSerializer,
        },
        parameters=[
            OpenApiParameter("dry_run", bool, description="Only answer what would change."),
            OpenApiParameter("prune", bool, description="Remove what the document does not name."),
            IF_MATCH,
        ],
        responses={200: DiffSerializer},
    )
    def create(self, request: Request) -> Response:
        known_parameters(request, ("dry_run", "prune"))
        dry_run, prune = flag(request, "dry_run"), flag(request, "prune")
        if not dry_run:
            require(request, (*_WRITE, *(_PRUNE if prune else ())))
        wanted = files.parse([("", as_text(content_of(request)))])
        with revision.editing() as stored:
            require_match(request, _tag(stored.document))
            diff = revision.apply(
                wanted,
                prune=prune,
                dry_run=dry_run,
                stored=stored,
                actor=request.user.get_username(),
                source="api",
                comment="apply",
            )
        changes = [change.as_data() for change in diff.changes]
        warnings = [{"field": one.place, "reason": one.reason} for one in diff.warnings]
        return Response(
            {
                "revision": diff.revision,
                "dry_run": dry_run,
                "changes": changes,
                "warnings": warnings,
            }
        )


class _TextRenderer(BaseRenderer):
    """Text that is written already."""

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return str(data).encode()


class YamlDocument(_TextRenderer):
    """The first, for whoever does not say."""

    media_type = "application/yaml"
    format = "yaml"


class JsonDocument(_TextRenderer):
    media_type = "application/json"
    format = "json"


class ExportView(ActionView):
    """The live configuration."""

    schema = ApiSchema()
    renderer_classes = [YamlDocument, JsonDocument]
    permissions: ClassVar[dict[str, tuple[str, ...]]] = {"list": _READ}

    @extend_schema(
        summary="The live configuration in the form `apply` takes.",
        operation_id="export_retrieve",
        parameters=[OpenApiParameter("format", str, enum=["yaml", "json"])],
        responses={
            (200, "application/yaml"): DocumentSerializer,
            (200, "application/json"): DocumentSerializer,
        },
    )
    def list(self, request: Request) -> Response:
        known_parameters(request, ("format",))
        try:
            document = revision.compile_rows(strict=True).document
        except ConfigurationError as error:
            detail = "The stored configuration has faults; it cannot be exported."
            raise Refusal(
                HTTPStatus.CONFLICT, "configuration_faulty", detail, errors_of(error)
            ) from None
        is_json = isinstance(request.accepted_renderer, JsonDocument)
        dump = files.dump_json if is_json else files.dump_yaml
        return Response(dump(document), headers={"ETag": _tag(document)})


def _tag(document: Document) -> str:
    return quoted(digest(document.encode()))
