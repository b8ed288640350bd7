"""``/services/`` and ``/routes/``: configuration objects by name.

Every write looks, checks ``If-Match`` and writes while other publishers wait
(:func:`routing.revision.editing`), and leads to one revision at most.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar, get_args

from django.db.models import Model
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from gateway_project.api import listing
from gateway_project.api.access import ActionView, needed, permissions_on, require
from gateway_project.api.bodies import JsonBodies, content_of, merge
from gateway_project.api.objects import (
    ROUTE,
    SERVICE,
    Kind,
    Spec,
    taken,
)
from gateway_project.api.schema import IF_MATCH, ApiSchema
from gateway_project.api.serializers import RouteSerializer, ServiceSerializer
from gateway_project.api.versions import is_unchanged, require_match, tag_of
from routing import revision
from routing.document import BalancerName, Document
from routing.errors import ConfigurationError
from routing.models import Route, Service
from routing.reading import Compiled
from routing.suspension import suspended

_DESCRIBED = extend_schema_view(
    create=extend_schema(summary="Add one; its name must be free."),
    update=extend_schema(summary="Replace it, or add it under this name.", parameters=[IF_MATCH]),
    partial_update=extend_schema(
        summary="Change the fields that are given (RFC 7396).", parameters=[IF_MATCH]
    ),
    destroy=extend_schema(summary="Remove it.", parameters=[IF_MATCH]),
)


class _ObjectViewSet(JsonBodies, ActionView, GenericViewSet[Any]):
    """What services and routes have in common."""

    schema = ApiSchema()
    pagination_class = listing.Pages
    filter_backends = [listing.QueryFilter]
    lookup_field = "name"
    lookup_value_regex = "[^/]+"
    model: ClassVar[type[Model]]
    kind: ClassVar[Kind]
    put_creates = True

    def list(self, request: Request) -> Response:
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        specs = self.kind.find(revision.compile_rows().document)
        # A row that went away between the two queries is not there any more.
        shown = [row.name for row in rows if row.name in specs]
        return self.get_paginated_response([self.kind.content(name, specs[name]) for name in shown])

    def retrieve(self, request: Request, name: str) -> Response:
        spec = self._stored(revision.compile_rows().document, name)
        if is_unchanged(request, tag_of(spec)):
            return Response(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag_of(spec)})
        return self._answer(name, spec)

    def create(self, request: Request) -> Response:
        content = content_of(request)
        name = self.kind.name_of_new(content)
        with revision.editing() as stored:
            if name in self.kind.find(stored.document):
                raise taken(name)
            return self._apply(stored, content, name, HTTPStatus.CREATED)

    def update(self, request: Request, name: str) -> Response:
        content = content_of(request)
        with revision.editing() as stored:
            before = self.kind.find(stored.document).get(name)
            require_match(request, tag_of(before) if before else None)
            if before is None:
                require(request, needed(self.model, "add"))
            status = HTTPStatus.OK if before else HTTPStatus.CREATED
            return self._apply(stored, content, name, status)

    def partial_update(self, request: Request, name: str) -> Response:
        patch = content_of(request)
        with revision.editing() as stored:
            before = self._stored(stored.document, name)
            require_match(request, tag_of(before))
            return self._apply(stored, self._merged(name, before, patch), name, HTTPStatus.OK)

    def destroy(self, request: Request, name: str) -> Response:
        with revision.editing() as stored, suspended():
            require_match(request, tag_of(self._stored(stored.document, name)))
            self.get_queryset().select_for_update().get(name=name).delete()
            revision.publish("api", request.user.get_username(), f"delete {self.kind.name} {name}")
        return Response(status=HTTPStatus.NO_CONTENT)

    def _stored(self, document: Document, name: str) -> Spec:
        spec = self.kind.find(document).get(name)
        if spec is None:
            raise NotFound(f"There is no {self.kind.name} {name!r}.")
        return spec

    def _merged(self, name: str, before: Spec, patch: Any) -> Any:
        merged = merge(self.kind.content(name, before), patch)
        if isinstance(patch, dict):
            kept = (field for field in self.kind.nulls if patch.get(field, "") is None)
            merged.update(dict.fromkeys(kept))
        return merged

    def _apply(self, stored: Compiled, raw: Any, name: str, status: HTTPStatus) -> Response:
        """Make the object *name* what *raw* says, and answer with it as it is stored then."""
        document = self.kind.document(raw, name)
        try:
            diff = revision.apply(
                document,
                stored=stored,
                actor=self.request.user.get_username(),
                source="api",
                comment=f"{self.request.method} {self.kind.name} {name}",
            )
        except ConfigurationError as error:
            raise self.kind.refusal(error, name) from None
        return self._answer(name, self._stored(diff.document, name), status)

    def _answer(self, name: str, spec: Spec, status: HTTPStatus = HTTPStatus.OK) -> Response:
        return Response(
            self.kind.content(name, spec), status=status, headers={"ETag": tag_of(spec)}
        )


@_DESCRIBED
class ServiceViewSet(_ObjectViewSet):
    """Services, each with its instances as a whole."""

    queryset = Service.objects.all()
    serializer_class = ServiceSerializer
    model = Service
    kind = SERVICE
    permissions = permissions_on(Service)
    filters = {
        "balancer": listing.choice("balancer", get_args(BalancerName)),
        "instance": listing.text("instances__url"),
    }
    orders = ("name", "balancer")


@_DESCRIBED
class RouteViewSet(_ObjectViewSet):
    """Routes, each with its rate limits."""

    queryset = Route.objects.all()
    serializer_class = RouteSerializer
    model = Route
    kind = ROUTE
    permissions = permissions_on(Route)
    filters = {
        "service": listing.text("service__name"),
        "enabled": listing.boolean("enabled"),
        "auth_required": listing.boolean("auth_required"),
    }
    orders = ("name", "path", "priority")
